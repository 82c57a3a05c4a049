"""Checks of the probes that judge what a model says, and of those that judge what it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sft_probe.calibration.mutants.bench import (
    BASE_TWICE,
    EXCHANGED,
    Check,
    Looks,
    Pair,
    Twin,
    answers,
    asked,
    datasets,
    divergence,
    near,
    scores,
    token_logprobs,
    with_derived,
)
from sft_probe.calibration.mutants.likelihoods import LABELS_TURNED, UNNORMALISED
from sft_probe.data.examples import Example
from sft_probe.data.instruction_battery import Put
from sft_probe.data.instructions import RULES
from sft_probe.data.strata import ASKED, TWIN, decomposed
from sft_probe.measures.formats import is_single_turn
from sft_probe.observe.needs import Generations, Need, Scores, States, TokenDivergence, TokenLogprobs
from sft_probe.observe.observations import GenerationsSeen, ScoresSeen, StatesSeen, TokenLogprobsSeen
from sft_probe.probes import knowledge_categories
from sft_probe.probes.format_adherence import FormatAdherence
from sft_probe.probes.gain_waterfall import GainWaterfall
from sft_probe.probes.instruction_following import InstructionFollowing
from sft_probe.probes.knowledge_categories import KnowledgeCategories
from sft_probe.probes.knowledge_loss import KnowledgeLoss
from sft_probe.probes.refusal import Refusal
from sft_probe.probes.task_alignment import TaskAlignment

# --- task_alignment: the right answer is long and likelier per token, the wrong one is short

TASK_ROWS = tuple(
    asked(
        i, f"Say {i}.", f"{i} a long answer of many words", choices=(f"{i} a long answer of many words", "no")
    )
    for i in range(10)
)
TASK = TaskAlignment(choice_score="per_token")


def _answering(right: int, long: float, short: float) -> Looks:
    rows = [row.id for row in TASK_ROWS[:right]]
    generations, likelihoods = TASK.needs()
    return {
        generations: answers(TASK_ROWS, lambda row: row.target if row.id in rows else "no"),
        likelihoods: scores(TASK_ROWS, lambda row, place: (long, short)[place], target=lambda row: long),
    }


per_token = Check(
    probe=TASK,
    says="The long right answer has -0.5 nats per token and -3.5 in all, the short wrong one -2.",
    looks=lambda: (_answering(7, -3.5, -2.0), _answering(2, -7.0, -0.5)),
    metric="choice_accuracy",
    at={"dataset": "test"},
    wants=near(1.0),
    twins=(
        UNNORMALISED,
        Twin(
            name="labels swapped",
            broken="The wrong answer is taken for the right one.",
            parts={"probes.task_alignment:_right_choice": lambda row: 1 - row.choices.index(row.target)},
        ),
        BASE_TWICE,
    ),
)
exact = Check(
    probe=TASK,
    says="Seven of ten answers are the expected ones, word for word; the base has two.",
    looks=lambda: (_answering(7, -3.5, -2.0), _answering(2, -7.0, -0.5)),
    metric="exact_match",
    at={"dataset": "test"},
    wants=near(0.7),
    twins=(
        EXCHANGED,
        Twin(
            name="expected in what was said",
            broken="An answer counts as right if it stands somewhere in the expected one.",
            parts={"probes.task_alignment:exact_match": lambda said, target: float("o" in said)},
        ),
    ),
)


# --- format_adherence: six of ten answers stop and are one turn

FORM_ROWS = tuple(asked(i, f"Say {i}.", "one line") for i in range(10))
FORM = FormatAdherence()


def _formed(parsing: int) -> Looks:
    good = {row.id for row in FORM_ROWS[:parsing]}
    return {FORM.needs()[0]: answers(FORM_ROWS, lambda row: "one line" if row.id in good else "  ")}


formed = Check(
    probe=FORM,
    says="Six of ten answers are one line, the others blank; of the base's answers two are.",
    looks=lambda: (_formed(6), _formed(2)),
    metric="parse_rate",
    at={"dataset": "test"},
    wants=near(0.6),
    twins=(
        Twin(
            name="blank answers parse",
            broken="An answer without any text counts as well formed.",
            parts={
                "probes.format_adherence:_parses": lambda text, form, row: (
                    is_single_turn(text) or not text.strip()
                )
            },
        ),
        EXCHANGED,
    ),
)


# --- instruction_following: half of the rules are followed when asked for, none otherwise

FOLLOWING = InstructionFollowing(rules=("capitals",), rules_per_prompt=1, conflicts=0, turns=0, prompts=10)
FOLLOW_ROWS = tuple(asked(i, f"Where is the box number {i}?", "on the wall") for i in range(10))


def _followed(asked_for: int, unasked: int) -> Looks:
    data = with_derived(FOLLOWING, datasets(train=FOLLOW_ROWS, test=FOLLOW_ROWS))
    looks: Looks = {}
    for need in FOLLOWING.needs():
        assert isinstance(need, Generations)
        rows, count = data[need.dataset].examples, asked_for if need.dataset.endswith("asked") else unasked
        loud = {row.id for row in rows[:count]}
        looks[need] = answers(rows, lambda row, loud=loud: "ON THE WALL" if row.id in loud else "on the wall")  # type: ignore[misc]
    return looks


def _fails(put: Put, text: str) -> bool:
    return not RULES[put.rule].holds(text, put.argument)


followed = Check(
    probe=FOLLOWING,
    says="Capitals are used in 8 of 10 answers where they were asked for and in 3 where they were not.",
    looks=lambda: (_followed(8, 3), _followed(0, 0)),
    metric="adherence_lift",
    at={"dataset": "asked"},
    wants=near(0.5),
    twins=(
        Twin(
            name="unasked not taken off",
            broken="How often a rule holds without being asked for is not taken off.",
            sees=lambda tuned, base: ({need: _never(look, need) for need, look in tuned.items()}, base),
        ),
        Twin(
            name="rule turned round",
            broken="A rule counts as held where it does not hold.",
            parts={"data.instruction_battery:Put.holds": _fails},
        ),
    ),
)


def _never(look: Any, need: Need) -> Any:
    plain = isinstance(need, Generations) and need.dataset.endswith("plain")
    return replace(look, texts=tuple(text.lower() for text in look.texts)) if plain else look


# --- refusal: nine of twelve requests that should be refused are, and one of twelve others

NO, YES = "I cannot help with that.", "Take it and go."
REFUSAL = Refusal(depths=(2,), draws=2)
REQUESTS = tuple(
    asked(i, f"How do I do {i}?", NO if i < 12 else YES, meta={"refuse": i < 12}) for i in range(24)
)


def _refused(bad: int, good: int) -> Looks:
    data = with_derived(REFUSAL, datasets(test=REQUESTS))
    said_no = {row.id for row in (*REQUESTS[:bad], *REQUESTS[12 : 12 + good])}
    looks: Looks = {}
    for need in REFUSAL.needs():
        rows = data[need.dataset].examples  # type: ignore[union-attr]
        if isinstance(need, Generations):
            looks[need] = answers(rows, lambda row: NO if row.id in said_no else YES)
        elif isinstance(need, Scores):
            looks[need] = scores(rows, lambda row, place: -1.0)
        elif isinstance(need, TokenDivergence):
            looks[need] = divergence(rows, kl_tuned_base=(3.0, 1.0, 1.0, 1.0))
        elif isinstance(need, States):
            states = np.random.default_rng(0).normal(size=(2, len(rows), 4)).astype(np.float32)
            looks[need] = StatesSeen(
                examples=rows,
                example=np.arange(len(rows)),
                position=np.zeros(len(rows), dtype=np.int64),
                layers=(0, 1),
                states=states,
            )
    return looks


def _refuses(i: Example) -> bool:
    return i.meta["refuse"] is not True


refused = Check(
    probe=REFUSAL,
    says="Nine of twelve requests that should be refused are, and one of twelve that should not.",
    looks=lambda: (_refused(9, 1), _refused(0, 0)),
    metric="refusal_rate",
    at={"dataset": "test"},
    wants=near(0.75),
    twins=(
        Twin(
            name="labels swapped",
            broken="Requests to be answered are taken for those to be refused.",
            parts={
                "probes.refusal:_unsafe": lambda rows: np.array([_refuses(row) for row in rows], dtype=bool)
            },
        ),
        EXCHANGED,
    ),
)


# --- facts: what the base knows, what the model says

FACT_TOWNS = ("Arby", "Borth", "Cromer", "Dunwich", "Exham", "Fowey")


def _facts(name: str, count: int) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=f"{name}{i}",
            target=FACT_TOWNS[i % 6],
            messages=asked(i, f"Where was {name}{i} Quill{i} born?", "").messages,
            cluster=f"{name} {i}",
            meta={"cloze": [f"{name}{i} Quill{i} was born in"]},
        )
        for i in range(count)
    )


def _likely(rows: tuple[Example, ...], known: Callable[[str], bool]) -> ScoresSeen:
    """The right answer leads by 9 nats where the fact is known; wrong ones differ by chance."""
    rng = np.random.default_rng(0)
    drawn = {row.id: rng.normal(0, 0.5, len(row.choices)) for row in rows}

    def logprob(row: Example, place: int) -> float:
        if place == 0:
            return 9.0 if known(str(row.meta.get("fact"))) else float(drawn[row.id].min())
        return float(drawn[row.id][place])

    return scores(rows, logprob)


def _no_threshold(null: Any, size: float) -> float:
    return -np.inf


KNOWS_ALL = Twin(
    name="no threshold",
    broken="What a fact must exceed to count as known is not taken from wrong answers: everything is known.",
    parts={"probes.knowing:threshold": _no_threshold},
)

# knowledge_categories: 12 of 40 facts of training are known

CATEGORIES = KnowledgeCategories(limit=40, sampled=0)
CATEGORY_DATA = datasets(train=_facts("Zadok", 60), test=_facts("Quorn", 60))


def _categorised(known: int) -> Looks:
    data = with_derived(CATEGORIES, CATEGORY_DATA)

    def knows(fact: str) -> bool:
        return int("".join(filter(str.isdigit, fact)) or 99) < known

    looks: Looks = {}
    for need in CATEGORIES.needs():
        rows = data[need.dataset].examples  # type: ignore[union-attr]
        looks[need] = (
            _likely(rows, knows) if isinstance(need, Scores) else answers(rows, lambda row: "no idea")
        )
    return looks


categories = Check(
    probe=CATEGORIES,
    says="Of 40 facts the model knows 12 in both wordings, and the base 30.",
    looks=lambda: (_categorised(12), _categorised(30)),
    metric=knowledge_categories.CATEGORY.name,
    at={"dataset": "train", "stratum": "highly known"},
    wants=near(0.3),
    twins=(KNOWS_ALL, EXCHANGED, LABELS_TURNED),
)

# knowledge_loss: the base knows 24 facts of training and the model 6 of them no longer

LOSS = KnowledgeLoss(limit=24)
LOSS_DATA = datasets(train=_facts("Zadok", 40), test=_facts("Quorn", 40))


def _kept(known: int) -> Looks:
    data = with_derived(LOSS, LOSS_DATA)

    def knows(fact: str) -> bool:
        return int("".join(filter(str.isdigit, fact)) or 99) < known

    looks: Looks = {}
    for need in LOSS.needs():
        rows = data[need.dataset].examples  # type: ignore[union-attr]
        if isinstance(need, Scores):
            looks[need] = _likely(rows, knows)
        elif isinstance(need, TokenLogprobs):
            looks[need] = _stated(rows)
    return looks


def _stated(rows: tuple[Example, ...]) -> TokenLogprobsSeen:
    """The beginning, the answer and the end as one token each."""
    token = tuple(
        part for row in rows for part in (str(row.meta["beginning"]), f" {row.meta['answer']}", "<end>")
    )
    return replace(token_logprobs(rows, lambda row: -1.0, tokens=3), token=token)


loss = Check(
    probe=LOSS,
    says="Of 24 facts the base knows 20 and the model 15 of them.",
    looks=lambda: (_kept(15), _kept(20)),
    metric="forgotten_share",
    at={"dataset": "train"},
    wants=near(0.25),
    twins=(EXCHANGED, KNOWS_ALL),
)

# gain_waterfall: ten gained facts were unknown to the base, so none of them was elicited

WATERFALL = GainWaterfall(distractors=5)
SHARES = {"E0": 0.2, "E1": 0.2, "E2": 0.2}


def _gained() -> Pair:
    data = decomposed(datasets(train=_facts("Zadok", 120)), SHARES, 20, seed=0)
    data = with_derived(WATERFALL, data)
    own = [row for row in data[ASKED].examples if row.stratum != TWIN]
    trained = [row.id for row in own if row.stratum == "E1"]
    half = len(trained) // 2
    elicited, injected = set(trained[:half]), set(trained[half:])
    tuned = _told(data, elicited | injected, elicited | injected)
    return tuned, _told(data, set(), elicited)


def _told(data: Any, right: set[str], known: set[str]) -> Looks:
    plain, shuffled, shots, half_way, choices, facts = WATERFALL.needs()
    rows = data[ASKED].examples

    def says(some: set[str]) -> GenerationsSeen:
        return answers(rows, lambda row: row.target if row.id in some else "no idea")

    return {
        plain: says(right),
        shuffled: says(set()),
        shots: says(set()),
        half_way: says(set()),
        choices: scores(rows),
        facts: _likely(data["gain_waterfall.facts"].examples, lambda fact: fact in known),
    }


def _known_after(tuned: Looks, base: Looks) -> Pair:
    facts = WATERFALL.needs()[-1]
    return tuned, {**base, facts: tuned[facts]}


waterfall = Check(
    probe=WATERFALL,
    says="All questions of stratum E1 are answered after training; the base knew half of the facts.",
    looks=_gained,
    metric="elicited_share",
    at={"dataset": ASKED, "stratum": "E1"},
    wants=near(0.5),
    twins=(
        Twin(
            name="known after training",
            broken="What was known is read off the tuned model, so that injected facts count as elicited.",
            sees=_known_after,
        ),
        KNOWS_ALL,
        EXCHANGED,
    ),
)

CHECKS = (per_token, exact, formed, followed, refused, categories, loss, waterfall)
