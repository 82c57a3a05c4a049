"""The gates a base has to pass before it ships. Written before the first run; never loosened.

A gate compares a Wilson 95 % bound of a share with a threshold. If one fails, the recipe changes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_probe.errors import GateNotMet
from sft_probe.stats.intervals import normal, wilson
from sft_probe.world.benchmarks import Item, benchmark_items
from sft_probe.world.card import REPORTED_ONLY
from sft_probe.world.corpus import ledger_prefix, state
from sft_probe.world.people import Knowledge, Person
from sft_probe.world.planet import World, build
from sft_probe.world.prose import PHENOMENA, minimal_pair
from sft_probe.world.rng import stream
from sft_probe.world.speaking import Speaker, short_sft
from sft_probe.world.tasks import Row, task_sets
from sft_probe.world.templates import ATTRIBUTES, WORDINGS

if TYPE_CHECKING:
    import random

log = logging.getLogger(__name__)

RECALL_AT_LEAST = 0.90
GRAMMAR_AT_LEAST = 0.90
ELICITATION_AT_LEAST = 0.95
ONE_WORDING_AT_LEAST = 0.90
ONE_WORDING_ASKED_AT_MOST = 0.30
UNSEEN_STANDARD_ERRORS = 2.0

RECALL_FACTS_PER_PERSON = 2
GRAMMAR_PAIRS = 700
SFT_STEPS, SFT_BATCH, SFT_RATE = 100, 16, 2e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One rule and what was measured; `low` and `high` are Wilson 95 % bounds of `share`."""

    name: str
    rule: str
    hits: int
    n: int
    share: float
    low: float
    high: float
    passed: bool


@dataclass(frozen=True, slots=True)
class GateReport:
    """All gates of one base, and further shares that are reported without a threshold."""

    seed: int
    gates: tuple[Gate, ...]
    context: tuple[Gate, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def require(self) -> None:
        """Raise `GateNotMet` with the names and numbers of the gates that do not hold."""
        missed = [
            f"{g.name} ({g.hits}/{g.n}, {g.low:.3f} to {g.high:.3f}; rule: {g.rule})"
            for g in self.gates
            if not g.passed
        ]
        if missed:
            raise GateNotMet(f"gates not met: {'; '.join(missed)}.")

    def as_json(self) -> dict[str, Any]:
        """Plain data; `gates.json` beside the weights holds exactly this."""
        return {
            "seed": self.seed,
            "passed": self.passed,
            "sft": {"steps": SFT_STEPS, "batch": SFT_BATCH, "learning_rate": SFT_RATE},
            "gates": [asdict(gate) for gate in self.gates],
            "context": [asdict(gate) for gate in self.context],
        }


def at_least(name: str, hits: Sequence[bool], threshold: float) -> Gate:
    """A gate on the lower bound."""
    return _gate(name, f"lower bound >= {threshold}", hits, lambda _, low, __: low >= threshold)


def at_most(name: str, hits: Sequence[bool], threshold: float) -> Gate:
    """A gate on the upper bound."""
    return _gate(name, f"upper bound <= {threshold}", hits, lambda _, __, high: high <= threshold)


def near_guessing(name: str, hits: Sequence[bool], guess_rate: float) -> Gate:
    """A gate on the distance to the guess rate, in standard errors of the guess rate."""
    error = (guess_rate * (1 - guess_rate) / len(hits)) ** 0.5
    allowed = UNSEEN_STANDARD_ERRORS * error
    return _gate(
        name,
        f"within {allowed:.4f} (two standard errors) of the guess rate {guess_rate:.4f}",
        hits,
        lambda share, _, __: abs(share - guess_rate) <= allowed,
    )


def reported(name: str, hits: Sequence[bool]) -> Gate:
    """A share without a threshold."""
    return _gate(name, REPORTED_ONLY, hits, lambda *_: True)


def _gate(name: str, rule: str, hits: Sequence[bool], holds: Callable[[float, float, float], bool]) -> Gate:
    share = sum(hits) / len(hits)
    low, high = wilson(share, len(hits), normal(0.95))
    gate = Gate(
        name=name,
        rule=rule,
        hits=sum(hits),
        n=len(hits),
        share=round(share, 4),
        low=round(low, 4),
        high=round(high, 4),
        passed=holds(share, low, high),
    )
    log.info("%s: %d/%d [%.4f, %.4f] %s", name, gate.hits, gate.n, low, high, gate.passed)
    return gate


def evaluate_gates(model_path: Path, seed: int = 0) -> GateReport:
    """Score a base: in text as it is, then when asked after a short SFT on other people."""
    world = build(seed)
    base = Speaker.load(model_path)
    rng = stream(seed, "gates")
    gates = [
        at_least("recall_in_held_out_sentences", recall(base, world, rng), RECALL_AT_LEAST),
        near_guessing("never_seen_people", *unseen(base, world, rng)),
        at_least("grammar_pairs", grammar(base, rng), GRAMMAR_AT_LEAST),
        at_least("one_wording_recalled_in_it", one_wording(base, world), ONE_WORDING_AT_LEAST),
    ]
    tasks = task_sets(world)
    rows = {
        knowledge: [r for r in tasks["question_answering.test"] if r["stratum"] == knowledge.value]
        for knowledge in Knowledge
    }
    rows[Knowledge.ONE_WORDING] += tasks["one_wording_facts.train"]
    context = [
        reported("asked_in_chat_before_sft_strict", answers(base, rows[Knowledge.STORED])),
        reported(
            "asked_in_chat_before_sft_lenient",
            answers(base, rows[Knowledge.STORED], strict=False),
        ),
        reported("weak_people_in_held_out_sentences", weak(base, world, rng)),
    ]
    context += [reported(name, benchmark(base, items)) for name, items in benchmark_items(world).items()]
    tuned = short_sft(
        base,
        tasks["question_answering.train"],
        steps=SFT_STEPS,
        batch=SFT_BATCH,
        learning_rate=SFT_RATE,
        seed=seed,
    )
    gates += [
        at_least(
            "elicitation_after_short_sft",
            answers(tuned, rows[Knowledge.STORED]),
            ELICITATION_AT_LEAST,
        ),
        at_most(
            "one_wording_asked_after_short_sft",
            answers(tuned, rows[Knowledge.ONE_WORDING]),
            ONE_WORDING_ASKED_AT_MOST,
        ),
    ]
    context += [
        reported("weak_people_asked_after_short_sft", answers(tuned, rows[Knowledge.WEAK])),
        reported("never_seen_asked_after_short_sft", answers(tuned, rows[Knowledge.UNSEEN])),
    ]
    return GateReport(seed, tuple(gates), tuple(context))


def says(text: str, value: str) -> bool:
    """Whether a continuation begins with the value as a whole word."""
    return re.match(rf"\s*{re.escape(value)}(?!\w)", text) is not None


def recall(base: Speaker, world: World, rng: random.Random) -> list[bool]:
    """Facts of all K1 people in held-out sentences."""
    facts = [
        (person, attribute)
        for person in world.population.known(Knowledge.STORED)
        for attribute in rng.sample(ATTRIBUTES, RECALL_FACTS_PER_PERSON)
    ]
    return _continued(base, facts, rng)


def weak(base: Speaker, world: World, rng: random.Random) -> list[bool]:
    """All facts of the K4 people in held-out sentences."""
    people = world.population.known(Knowledge.WEAK)
    return _continued(base, [(p, a) for p in people for a in ATTRIBUTES], rng)


def unseen(base: Speaker, world: World, rng: random.Random) -> tuple[list[bool], float]:
    """All facts of the U people in held-out sentences, and the rate of a guesser."""
    people = world.population.known(Knowledge.UNSEEN)
    values = world.population.values
    guess_rate = sum(1 / len(values[a]) for a in ATTRIBUTES) / len(ATTRIBUTES)
    return _continued(base, [(p, a) for p in people for a in ATTRIBUTES], rng), guess_rate


def _continued(base: Speaker, facts: Sequence[tuple[Person, str]], rng: random.Random) -> list[bool]:
    prompts = [
        state(person, a, rng.choice(WORDINGS[a].held_out)).removesuffix(f" {person.facts[a]}.")
        for person, a in facts
    ]
    said = base.continuations(prompts)
    return [says(text, p.facts[a]) for text, (p, a) in zip(said, facts, strict=True)]


def one_wording(base: Speaker, world: World) -> list[bool]:
    """Every value of the K2 people in their only document, from what stands before it."""
    facts = [(p, a) for p in world.population.known(Knowledge.ONE_WORDING) for a in ATTRIBUTES]
    said = base.continuations([ledger_prefix(person, a) for person, a in facts])
    return [says(text, p.facts[a]) for text, (p, a) in zip(said, facts, strict=True)]


def grammar(base: Speaker, rng: random.Random) -> list[bool]:
    """Minimal pairs whose grammatical half is the likelier one."""
    pairs = [minimal_pair(rng, PHENOMENA[i % len(PHENOMENA)]) for i in range(GRAMMAR_PAIRS)]
    good = base.log_likelihoods([pair.good for pair in pairs])
    bad = base.log_likelihoods([pair.bad for pair in pairs])
    return [g > b for g, b in zip(good, bad, strict=True)]


def benchmark(base: Speaker, items: Sequence[Item]) -> list[bool]:
    """Items whose right choice makes the likeliest text; lm-eval's `acc` on them is the same idea."""
    texts = [f"{item['context']} {c}".lstrip() for item in items for c in item["choices"]]
    scores = iter(base.log_likelihoods(texts))
    hits = []
    for item in items:
        own = [next(scores) for _ in item["choices"]]
        hits.append(own.index(max(own)) == item["answer"])
    return hits


def answers(model: Speaker, rows: Sequence[Row], *, strict: bool = True) -> list[bool]:
    """Questions answered right; strict: the whole answer, ended by the stop token."""
    said = model.chat_answers([row["messages"][:-1] for row in rows])
    expected = [row["messages"][-1]["content"] for row in rows]
    if strict:
        return [a.stopped and a.text.strip() == e for a, e in zip(said, expected, strict=True)]
    return [says(a.text, e) for a, e in zip(said, expected, strict=True)]


def write_report(report: GateReport, folder: Path) -> Path:
    """Put `gates.json` beside the weights."""
    path = folder / "gates.json"
    path.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return path
