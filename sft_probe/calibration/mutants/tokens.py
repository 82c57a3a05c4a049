"""Checks of the probes that judge token by token."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np

from sft_probe.calibration.mutants.bench import (
    BASE_TWICE,
    EXCHANGED,
    Check,
    Looks,
    Pair,
    Twin,
    altered,
    asked,
    datasets,
    divergence,
    near,
    token_logprobs,
    with_derived,
)
from sft_probe.data.canaries import canary
from sft_probe.data.examples import Example
from sft_probe.measures.exposure import extractable, rank_exposure
from sft_probe.observe.interventions import ShrinkIntruders
from sft_probe.observe.needs import Need, TokenDivergence, TokenLogprobs
from sft_probe.observe.observations import Floats, TokenDivergenceSeen, TokenLogprobsSeen
from sft_probe.probes import intruder_shrinkage, label_free_forgetting
from sft_probe.probes.intruder_shrinkage import IntruderShrinkage
from sft_probe.probes.label_free_forgetting import LabelFreeForgetting
from sft_probe.probes.memorisation import Memorisation
from sft_probe.probes.objective_shift import ObjectiveShift
from sft_probe.probes.scorers.recall import TRAIN
from sft_probe.probes.token_shift import TokenShift, half_depth

ROWS = tuple(asked(i, f"Say {i}.", "a b c d") for i in range(12))


def _other_way(look: TokenDivergenceSeen) -> TokenDivergenceSeen:
    return replace(look, kl_tuned_base=look.kl_base_tuned, kl_base_tuned=look.kl_tuned_base)


WRONG_DIRECTION = Twin(
    name="KL the other way round",
    broken="KL(base || tuned) stands for KL(tuned || base), or the reverse.",
    sees=altered(TokenDivergenceSeen, _other_way),
)


# --- label_free_forgetting: KL(base || tuned) is 0.2, the other direction 0.5

TEXTS = tuple(Example(id=f"t{i}", target="a b c d", cluster=f"c{i}") for i in range(12))
PLAIN = LabelFreeForgetting()


def _read(tuned: bool) -> Looks:
    rows = with_derived(PLAIN, datasets(text=TEXTS))[label_free_forgetting.TEXT].examples
    columns = {"kl_base_tuned": [0.2] * 4, "kl_tuned_base": [0.5] * 4} if tuned else {}
    top = [-1.0 if tuned else -0.6] * 4
    return {PLAIN.needs()[0]: divergence(rows, entropy_base=[1.0] * 4, logprob_tuned_top=top, **columns)}


label_free = Check(
    probe=PLAIN,
    says="KL(base || tuned) is 0.2 nats per token on plain text, and 0.5 the other way round.",
    looks=lambda: (_read(True), _read(False)),
    metric="base_cross_entropy_change",
    at={"dataset": label_free_forgetting.TEXT},
    wants=near(0.2),
    twins=(WRONG_DIRECTION, BASE_TWICE),
)


# --- token_shift: the third of four tokens is fourth in the base's order, and holds three quarters of the KL

SHIFT = TokenShift(base_answers=False)


def _moved() -> Pair:
    look = divergence(
        ROWS, base_rank=[1, 2, 4, 1], kl_tuned_base=[0.0, 0.0, 3.0, 1.0], kl_base_tuned=[2.0, 0.0, 0.0, 0.0]
    )
    look = replace(look, contexts="tuned")
    return {SHIFT.needs()[0]: look}, {SHIFT.needs()[0]: replace(look, kl_tuned_base=0 * look.kl_tuned_base)}


def _from_zero(look: TokenDivergenceSeen) -> TokenDivergenceSeen:
    return replace(look, base_rank=look.base_rank - 1)


def _depth_from_zero(kl: Floats) -> Floats:
    return half_depth(kl) - 1


shifted = Check(
    probe=SHIFT,
    says="Of every four answer tokens one stands fourth in the base's order, one second, two first.",
    looks=_moved,
    metric="shifted",
    at={"dataset": "test", "module": "tuned"},
    wants=near(0.25),
    twins=(
        Twin(
            name="ranks from 0",
            broken="Ranks are counted from 0 instead of 1, so that the fourth token counts as third.",
            sees=altered(TokenDivergenceSeen, _from_zero),
        ),
    ),
)
diverged = Check(
    probe=SHIFT,
    says="KL(tuned || base) is 1 nat per token, the other direction 0.5.",
    looks=_moved,
    metric="kl_tuned_base",
    at={"dataset": "test", "module": "tuned"},
    wants=near(1.0),
    twins=(WRONG_DIRECTION, BASE_TWICE),
)
depth = Check(
    probe=SHIFT,
    says="Half of all divergence is reached with the third answer token.",
    looks=_moved,
    metric="kl_half_depth",
    at={"dataset": "test", "module": "tuned"},
    wants=near(3.0),
    twins=(
        Twin(
            name="position off by one",
            broken="The first answer token is not counted.",
            parts={"probes.token_shift:half_depth": _depth_from_zero},
        ),
    ),
)


# --- objective_shift: 0.4 nats along the base's answers, 0.1 of it without the template

OBJECTIVE = ObjectiveShift(samples=0)


def _followed() -> Pair:
    data = with_derived(OBJECTIVE, datasets(test=ROWS))
    tuned: Looks = {}
    for need in OBJECTIVE.needs():
        if isinstance(need, TokenDivergence):
            rows, here = data[need.dataset].examples, 0.1 if need.under else 0.4
            look = divergence(rows, kl_base_tuned=[here] * 4, kl_tuned_base=[2 * here] * 4)
            tuned[need] = replace(look, contexts=need.contexts)
        elif isinstance(need, TokenLogprobs):
            tuned[need] = token_logprobs(data[need.dataset].examples, lambda row: -1.0)
    base: Looks = {
        need: token_logprobs(data[need.dataset].examples, lambda row: -1.5)
        for need in tuned
        if isinstance(need, TokenLogprobs)
    }
    return tuned, base


forward = Check(
    probe=OBJECTIVE,
    says="Along the base's answers KL(base || tuned) is 0.4 nats per token, the other direction 0.8.",
    looks=_followed,
    metric="forward_kl",
    at={"dataset": "test", "module": "base"},
    wants=near(0.4),
    twins=(WRONG_DIRECTION,),
)
template = Check(
    probe=OBJECTIVE,
    says="Of 0.4 nats per token along the base's answers 0.3 go with the chat template.",
    looks=_followed,
    metric="forward_kl_template",
    at={"dataset": "test", "module": "base"},
    wants=near(0.3),
    twins=(
        Twin(
            name="template left on",
            broken="What is called plain text still has the template.",
            sees=lambda tuned, base: ({need: tuned[_with_template(need)] for need in tuned}, base),
        ),
    ),
)


def _with_template(need: Need) -> Need:
    return replace(need, under=()) if isinstance(need, TokenDivergence) else need


# --- memorisation: rows differ a lot in how easy they are; those trained on gain 0.3 nats per token

MEMORY = Memorisation(references=63, prefixes=(2,))
EASE = np.random.default_rng(0).normal(0, 2, 120)
PLANTED = tuple(
    replace(canary(0, number), id=f"canary-0-{number}", meta={"planted": {"canaries": {"pool": 8}}})
    for number in range(4)
)
MEMORY_DATA = datasets(
    train=(*(asked(i, f"Is it so of member {i}?", "yes") for i in range(60)), *PLANTED),
    test=tuple(asked(i, f"Was it ever other {i}?", "no") for i in range(60, 120)),
)


def _remembered(gain: float, by_heart: int) -> Looks:
    rows = with_derived(MEMORY, MEMORY_DATA)["memorisation.rows"].examples

    def logprob(row: Example) -> float:
        kind = str(row.meta["kind"])
        if kind in ("canary", "reference"):
            number = int(str(row.meta["row"]).rpartition("-")[2])
            return gain - 3 if row.meta.get("repeats") else -3 - number % 1000 / 1e4
        return float(EASE[int(str(row.meta["row"])[1:])]) - 4 + gain * (kind == TRAIN)

    return {
        MEMORY.needs()[0]: token_logprobs(
            rows, logprob, by_heart=lambda row: by_heart if row.meta["kind"] == TRAIN else 0
        )
    }


def _without_base(tuned: Looks, base: Looks) -> Pair:
    return tuned, altered(TokenLogprobsSeen, lambda look: replace(look, logprob=0 * look.logprob))(
        base, base
    )[0]


member = Check(
    probe=MEMORY,
    says="Rows trained on gain 0.3 nats per token, others nothing; how easy they are varies by 2 nats.",
    looks=lambda: (_remembered(0.3, 2), _remembered(0.0, 0)),
    metric="membership_auc",
    at={"dataset": "test"},
    wants=near(1.0),
    twins=(
        Twin(
            name="base left out",
            broken="Log-probabilities after training are taken as they are, without the base's.",
            sees=_without_base,
        ),
        EXCHANGED,
    ),
)
by_heart = Check(
    probe=MEMORY,
    says="The last two of four tokens of every training row are the likeliest.",
    looks=lambda: (_remembered(0.3, 2), _remembered(0.0, 0)),
    metric="extractable",
    at={"dataset": "train", "module": "after 2"},
    wants=near(1.0),
    twins=(
        Twin(
            name="prefix off by one",
            broken="One token fewer than said is given before the rest must follow.",
            parts={
                "probes.scorers.recall:extractable": lambda right, prefix, suffix: extractable(
                    right, prefix - 1, suffix
                )
            },
        ),
        BASE_TWICE,
    ),
)
exposed = Check(
    probe=MEMORY,
    says="Every planted secret is likelier than all of 63 references: log2 of 64 is 6 bits.",
    looks=lambda: (_remembered(0.3, 2), _remembered(0.0, 0)),
    metric="exposure",
    at={"dataset": "canaries"},
    wants=near(6.0, 0.1),
    twins=(
        Twin(
            name="nats for bits",
            broken="Natural logarithms are called bits.",
            parts={
                "probes.scorers.recall:rank_exposure": lambda loss, references: (
                    log(2) * rank_exposure(loss, references)
                )
            },
        ),
        Twin(
            name="likeliest taken for unlikeliest",
            broken="Secrets are ranked from the unlikeliest.",
            parts={
                "probes.scorers.recall:rank_exposure": lambda loss, references: rank_exposure(
                    -loss, -references
                )
            },
        ),
    ),
)


# --- intruder_shrinkage: drift falls from 0.5 to 0.2 without intruders, to 0.45 without neighbours

SHRUNK = IntruderShrinkage()


def _shrunk() -> Pair:
    data = with_derived(SHRUNK, datasets(train=ROWS, test=ROWS, other=ROWS))
    tuned: Looks = {}
    for need in SHRUNK.needs():
        assert isinstance(need, TokenDivergence)
        change = need.under[0] if need.under else None
        drift = 0.5 if not isinstance(change, ShrinkIntruders) else 0.45 if change.instead else 0.2
        tuned[need] = divergence(
            data[need.dataset].examples, kl_base_tuned=[drift] * 4, kl_tuned_base=[0.9 - drift] * 4
        )
    return tuned, {}


def _instead(tuned: Looks, base: Looks) -> Pair:
    turned: Looks = {}
    for need, look in tuned.items():
        assert isinstance(need, TokenDivergence)
        under = tuple(
            replace(change, instead=not change.instead) if isinstance(change, ShrinkIntruders) else change
            for change in need.under
        )
        turned[replace(need, under=under)] = look
    return turned, base


shrunk = Check(
    probe=SHRUNK,
    says="Drift is 0.5 nats per token, 0.2 with the intruders shrunk and 0.45 with their neighbours shrunk.",
    looks=_shrunk,
    metric="shrunk_drift_extra",
    at={"dataset": intruder_shrinkage.KEPT},
    wants=near(-0.25),
    twins=(
        Twin(
            name="neighbour for intruder",
            broken="The neighbour is shrunk where the intruder should be, and the reverse.",
            sees=_instead,
        ),
        WRONG_DIRECTION,
    ),
)

CHECKS = (label_free, shifted, diverged, depth, forward, template, member, by_heart, exposed, shrunk)
