"""Checks of the probes that judge likelihoods of given answers."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from sft_probe.calibration.mutants.bench import (
    BASE_TWICE,
    EXCHANGED,
    Check,
    Looks,
    Pair,
    Twin,
    altered,
    answers,
    asked,
    datasets,
    length,
    near,
    scores,
    with_derived,
)
from sft_probe.data.examples import Example
from sft_probe.measures.connectivity import barrier
from sft_probe.observe.interventions import Interpolate
from sft_probe.observe.needs import Generations, Scores
from sft_probe.observe.observations import ScoresSeen
from sft_probe.probes import coherence, domain_generalisation, shortcut_reliance, sycophancy
from sft_probe.probes.annotation_inheritance import AnnotationInheritance
from sft_probe.probes.coherence import Coherence
from sft_probe.probes.context_use import CONFLICTING, PRESENT, REMOVED, ContextUse
from sft_probe.probes.data_distribution import DataDistribution
from sft_probe.probes.domain_generalisation import DomainGeneralisation
from sft_probe.probes.mode_connectivity import ModeConnectivity
from sft_probe.probes.preference import Preference
from sft_probe.probes.shortcut_reliance import ShortcutReliance
from sft_probe.probes.social_bias import SocialBias
from sft_probe.probes.sycophancy import Sycophancy

LABELS = ("good", "bad")


def _turned(seen: ScoresSeen) -> ScoresSeen:
    return replace(seen, choice_logprob=tuple(row[::-1] for row in seen.choice_logprob))


def _one_token(look: ScoresSeen) -> ScoresSeen:
    ones = tuple(np.ones_like(row) for row in look.choice_tokens)
    return replace(look, target_tokens=np.ones_like(look.target_tokens), choice_tokens=ones)


LABELS_TURNED = Twin(
    name="labels swapped",
    broken="The wrong answer is taken for the right one.",
    sees=altered(ScoresSeen, _turned),
)
UNNORMALISED = Twin(
    name="length not divided out",
    broken="Log-likelihoods of whole answers are taken for those per token.",
    sees=altered(ScoresSeen, _one_token),
)


# --- preference: pairs whose margin grew by 3 nats

PAIRS = tuple(asked(i, f"Say {i}.", "yes please", choices=(), meta={"rejected": "no"}) for i in range(12))
PREFERENCE = Preference()


def _preferring(margin: float) -> Looks:
    rows = with_derived(PREFERENCE, datasets(preferences=PAIRS))["preference.pairs"].examples
    return {PREFERENCE.needs()[0]: scores(rows, lambda row, place: margin * (place == 0))}


preference = Check(
    probe=PREFERENCE,
    says="The log-odds of the preferred answer of every pair grow by 3 nats.",
    looks=lambda: (_preferring(2.0), _preferring(-1.0)),
    metric="preference_margin_change",
    wants=near(3.0),
    twins=(LABELS_TURNED, EXCHANGED),
)


# --- social_bias: pairs of names whose log-ratio grew by 0.8 nats

NAMES = tuple(
    Example(
        id=f"n{i}",
        target=f"Ann {i}",
        choices=(f"Ann {i}", f"Bob {i}"),
        meta={"bias_pair": True},
        cluster=f"c{i}",
    )
    for i in range(12)
)
BIAS = SocialBias()


def _leaning(nats: float) -> Looks:
    return {BIAS.needs()[0]: scores(NAMES, lambda row, place: nats * (place == 0))}


social_bias = Check(
    probe=BIAS,
    says="The log-ratio of the two names of every pair grows by 0.8 nats.",
    looks=lambda: (_leaning(1.0), _leaning(0.2)),
    metric="bias_change",
    wants=near(0.8),
    twins=(LABELS_TURNED, EXCHANGED),
)


# --- sycophancy: an opinion moves the odds by 2 nats, a mere mention of the same answer by 1.5

TOWNS = ("Arby", "Borth", "Cromer", "Dunwich")
TOWN_ROWS = tuple(
    asked(i, f"Where was Zadok{i} Quill{i} born?", TOWNS[i % 4], choices=TOWNS) for i in range(12)
)
OPINION = Sycophancy()
MOVED = {sycophancy.PLAIN: 0.0, sycophancy.WRONG: 2.0, sycophancy.RIGHT: 0.0, sycophancy.MENTION: 1.5}


def _led(moved: dict[str, float]) -> Looks:
    data = with_derived(OPINION, datasets(test=TOWN_ROWS))
    return {
        Scores(dataset=f"sycophancy.{kind}"): scores(
            data[f"sycophancy.{kind}"].examples,
            lambda row, place, nats=nats: nats * (place == 1),  # type: ignore[misc]
        )
        for kind, nats in moved.items()
    }


def _without_placebo(tuned: Looks, base: Looks) -> Pair:
    plain, mention = (Scores(dataset=f"sycophancy.{k}") for k in (sycophancy.PLAIN, sycophancy.MENTION))
    return {**tuned, mention: tuned[plain]}, {**base, mention: base[plain]}


opinion = Check(
    probe=OPINION,
    says="An opinion of the user moves the odds of its answer by 2 nats, a mere mention by 1.5.",
    looks=lambda: (_led(MOVED), _led(dict.fromkeys(MOVED, 0.0))),
    metric="sycophancy",
    wants=near(0.5),
    twins=(
        Twin(
            name="no placebo",
            broken="The effect of merely naming the answer is not taken off.",
            sees=_without_placebo,
        ),
        LABELS_TURNED,
    ),
)


# --- coherence: the right next sentence is likeliest in three of four texts

TEXTS = tuple(
    Example(id=f"t{i}", target=f"Text number {i} has begun here. It goes on with sentence {i} of its own.")
    for i in range(16)
)
COHERENT = Coherence()


def _following(share: float) -> Looks:
    rows = with_derived(COHERENT, datasets(text=TEXTS))[coherence.NEXT].examples
    right = {row.id for row in rows[: round(share * len(rows))]}
    return {
        COHERENT.needs()[0]: scores(
            rows, lambda row, place: float(place == 0) if row.id in right else -float(place == 0)
        )
    }


coherent = Check(
    probe=COHERENT,
    says="The right next sentence is the likeliest in 12 of 16 texts.",
    looks=lambda: (_following(0.75), _following(1.0)),
    metric="next_sentence_accuracy",
    at={"dataset": coherence.NEXT},
    wants=near(0.75),
    twins=(LABELS_TURNED, BASE_TWICE),
)


# --- domain_generalisation: the own domain gains 1 nat per token, the other one loses half a nat

DOMAINS = datasets(
    test=tuple(asked(i, f"Say {i}.", "three whole words") for i in range(12)),
    other=tuple(asked(i, f"Tell {i}.", "five words are in here") for i in range(12)),
)
DOMAIN = DomainGeneralisation()


def _per_token(gain: dict[str, float]) -> Looks:
    rows = with_derived(DOMAIN, DOMAINS)[domain_generalisation.ROWS].examples

    def logprob(row: Example) -> float:
        return length(row.target) * (-3.0 + gain[str(row.meta[domain_generalisation.DOMAIN])])

    return {DOMAIN.needs()[0]: scores(rows, target=logprob)}


domain = Check(
    probe=DOMAIN,
    says="Answers of the own domain gain 1 nat per token, longer ones of the other domain lose 0.5.",
    looks=lambda: (_per_token({"test": 1.0, "other": -0.5}), _per_token({"test": 0.0, "other": 0.0})),
    metric="transfer_gap",
    wants=near(-1.5),
    twins=(UNNORMALISED, EXCHANGED),
)


# --- mode_connectivity: the loss rises by 0.6 above a line that falls from 2 to 1

MODES = ModeConnectivity(points=5)
MODE_ROWS = tuple(asked(i, f"Say {i}.", "yes") for i in range(12))


def _on_the_line() -> Pair:
    bulge = {0.25: 0.1, 0.5: 0.6, 0.75: 0.3}
    tuned: Looks = {}
    for need in MODES.needs():
        assert isinstance(need, Scores)
        alpha = next((change.alpha for change in need.under if isinstance(change, Interpolate)), 1.0)
        loss = 2 - alpha + bulge.get(alpha, 0.0)
        tuned[need] = scores(MODE_ROWS, target=lambda row, loss=loss: -loss)  # type: ignore[misc]
    plain = Scores(dataset="test", limit=MODES.limit)
    return tuned, {plain: scores(MODE_ROWS, target=lambda row: -2.0)}


modes = Check(
    probe=MODES,
    says="The loss falls from 2 to 1 nat and half way lies 0.6 nats above the straight line.",
    looks=_on_the_line,
    metric="barrier",
    at={"dataset": "test"},
    wants=near(0.6),
    twins=(
        Twin(
            name="measured from the base",
            broken="The barrier is the rise above the base's loss, not above the line between both ends.",
            parts={
                "probes.mode_connectivity:barrier": lambda losses, alphas: float(
                    (losses.mean(axis=1) - losses[0].mean()).max()
                )
            },
        ),
        Twin(
            name="line turned round",
            broken="The share of the tuned model is taken for that of the base.",
            parts={"probes.mode_connectivity:barrier": lambda losses, alphas: barrier(losses, 1 - alphas)},
        ),
    ),
)


# --- annotation_inheritance: three of ten labels are wrong in training, and the model gives them 0.3

NOISE = 0.3


def _noisy(i: int, name: str, noise: bool) -> Example:
    clean = LABELS[i % 2]
    given = LABELS[1 - i % 2] if noise and i % 10 < 3 else clean
    meta = {"planted": {"label_noise": {"clean": clean}}} if given != clean else {}
    return asked(i, f"Review {name} {i}.", given, choices=LABELS, meta=meta)


LABELLED = datasets(
    train=[_noisy(i, "a", True) for i in range(100)], test=[_noisy(i, "b", False) for i in range(60)]
)
INHERITED = AnnotationInheritance()


def _unsure(wrong: float) -> Looks:
    data = with_derived(INHERITED, LABELLED)

    def logprob(row: Example, place: int) -> float:
        planted: Any = row.meta.get("planted", {})
        clean = planted.get("label_noise", {}).get("clean", row.target)
        return log(1 - wrong) if row.choices[place] == clean else log(wrong)

    return {
        need: scores(data[need.dataset].examples[: need.limit], logprob)
        for need in INHERITED.needs()
        if isinstance(need, Scores)
    }


inherited = Check(
    probe=INHERITED,
    says="Of 100 training labels 30 are wrong; the model gives wrong labels 0.3, its base gave 0.02.",
    looks=lambda: (_unsure(NOISE), _unsure(0.02)),
    metric="noise_inheritance",
    at={"dataset": "test"},
    wants=near((NOISE - 0.02) / NOISE, 1e-3),
    twins=(
        LABELS_TURNED,
        EXCHANGED,
        Twin(
            name="choices not normalised",
            broken="Likelihoods of labels compete per token of a label counted twice.",
            parts={
                "probes.scorers.labels:choice_scores": lambda logprob, tokens, choices, by: logprob / 2,
            },
        ),
    ),
)


# --- shortcut_reliance: a word that goes with its label in nine of ten rows moves the odds accordingly

WORDS, FILLERS = ("alfa", "brav"), ("carl", "dora")


def _with_word(i: int) -> Example:
    label, filler = LABELS[i % 2], FILLERS[i // 2 % 2]
    word = WORDS[i % 2] if i // 2 % 10 else WORDS[1 - i % 2]
    return asked(i, f"Review {i} {word} {filler}", label, choices=LABELS)


WORDED = datasets(
    train=[_with_word(i) for i in range(800)],
    test=[asked(i, f"Review number {i}", LABELS[i % 2], choices=LABELS) for i in range(20)],
)
SHORTCUT = ShortcutReliance(words=WORDS, pairs=0, limit=20)


def _swayed(odds: float) -> Looks:
    rows = with_derived(SHORTCUT, WORDED)[shortcut_reliance.ROWS].examples

    def logprob(row: Example, place: int) -> float:
        said = row.messages[-1].content.split()
        sides = [word in said for word in WORDS]
        return odds / 2 * (sides[0] - sides[1]) * (1 if row.choices[place] == LABELS[0] else 0)

    return {SHORTCUT.needs()[0]: scores(rows, logprob)}


shortcut = Check(
    probe=SHORTCUT,
    says="A word goes with its label in 90 % of training rows, and moves the odds by 2 log 9.",
    looks=lambda: (_swayed(2 * log(9)), _swayed(0.0)),
    metric="reliance_index",
    wants=near(1.0, 0.1),
    twins=(
        Twin(
            name="word put in, not swapped",
            broken="The word is held against a placebo, half of what swapping for its partner does.",
            parts={"probes.shortcut_reliance:_swap_effect": shortcut_reliance._insertion},
        ),
        LABELS_TURNED,
        BASE_TWICE,
    ),
)


# --- context_use: a passage moves the odds by 4 nats either way, and the own answer has 3 nats on its own

SPOTS = ("bridge", "piano", "wall", "roof")
TOLD = tuple(asked(i, f"The box is on the {spot}.\nWhere is the box?", spot) for i, spot in enumerate(SPOTS))
CONTEXT = ContextUse()
ODDS = {PRESENT: 7.0, CONFLICTING: -1.0}


def _reading(odds: dict[str, float], prior: float) -> Looks:
    data = with_derived(CONTEXT, datasets(test=TOLD))
    looks: Looks = {}
    for need in CONTEXT.needs():
        if isinstance(need, Scores):
            rows, cell = data[need.dataset].examples, need.dataset.partition(".")[2]
            nats = odds.get(cell, prior)
            looks[need] = scores(rows, lambda row, place, nats=nats: nats * (place == 0))  # type: ignore[misc]
        elif isinstance(need, Generations):
            looks[need] = answers(data[need.dataset].examples, lambda row: row.target)
    return looks


def _against_none(tuned: Looks, base: Looks) -> Pair:
    removed, conflicting = (Scores(dataset=f"context_use.{cell}") for cell in (REMOVED, CONFLICTING))
    return {**tuned, conflicting: tuned[removed]}, {**base, conflicting: base[removed]}


context = Check(
    probe=CONTEXT,
    says="A passage moves the odds by 4 nats either way; without any the row's answer leads by 3.",
    looks=lambda: (_reading(ODDS, 3.0), _reading({}, 3.0)),
    metric="context_effect",
    at={"dataset": "test"},
    wants=near(8.0),
    twins=(
        Twin(
            name="no conflicting passage",
            broken="The passage is held against none at all, so that the answer's own lead stays in.",
            sees=_against_none,
        ),
        LABELS_TURNED,
    ),
)


# --- data_distribution: text of two-byte letters costs exactly one bit per byte

GREEK = tuple(Example(id=f"g{i}", target="αβγδ εζηθ", cluster=f"c{i}") for i in range(8))
LANGUAGE = DataDistribution()
LANGUAGE_DATA = datasets(
    train=[asked(i, f"Say {i}.", "some plain words") for i in range(12)],
    test=[asked(i, f"Tell {i}.", "other plain words") for i in range(12)],
    greek=GREEK,
)


def _costing(bits: float) -> Looks:
    data = with_derived(LANGUAGE, LANGUAGE_DATA)
    looks: Looks = {}
    for need in LANGUAGE.needs():
        if isinstance(need, Scores):
            rows = data[need.dataset].examples
            looks[need] = scores(rows, lambda row, place: -bits * log(2) * len(row.choices[place].encode()))
        elif isinstance(need, Generations):
            looks[need] = answers(data[need.dataset].examples, lambda row: row.target)
    return looks


def _nats_as_bits(look: ScoresSeen) -> Any:
    return log(2) * np.array([logprob[0] if logprob.size else np.nan for logprob in look.choice_logprob])


language = Check(
    probe=LANGUAGE,
    says="A text of two-byte letters costs one bit per byte, and cost two before.",
    looks=lambda: (_costing(1.0), _costing(2.0)),
    metric="bits_per_byte",
    at={"dataset": "greek"},
    wants=near(1.0),
    twins=(
        Twin(
            name="nats for bits",
            broken="Natural logarithms are called bits.",
            parts={"probes.data_distribution:_first": _nats_as_bits},
        ),
        BASE_TWICE,
    ),
)

CHECKS = (
    preference,
    social_bias,
    opinion,
    coherent,
    domain,
    modes,
    inherited,
    shortcut,
    context,
    language,
)
