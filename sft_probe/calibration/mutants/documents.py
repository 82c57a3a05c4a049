"""Checks of the probes that judge benchmark documents before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sft_probe.calibration.mutants.bench import (
    BASE_TWICE,
    EXCHANGED,
    Check,
    Looks,
    Pair,
    Twin,
    altered,
    asked,
    near,
    scores,
)
from sft_probe.observe.interventions import Interpolate
from sft_probe.observe.needs import Benchmark, Need, Scores
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen
from sft_probe.probes.forgetting import Forgetting
from sft_probe.probes.forgetting_curve import ForgettingCurve
from sft_probe.probes.interpolation import Interpolation
from sft_probe.probes.lost_items import LostItems
from sft_probe.probes.scorers.documents import Pair as Document

N = 20


def documents(margin: Callable[[int], float]) -> BenchmarkSeen:
    """Documents of one task, right where the right choice leads."""
    items = tuple(
        BenchmarkItem(
            task="task",
            item=f"d{i}",
            cluster=f"d{i}",
            metric="acc",
            value=float(margin(i) > 0),
            margin=margin(i),
            prompt="",
            prediction="",
            target="",
        )
        for i in range(N)
    )
    return BenchmarkSeen(items=items, aggregates={})


def _right(*right: int) -> BenchmarkSeen:
    return documents(lambda i: 1.0 if i in right else -1.0)


def _with_dropout(tuned: Looks, base: Looks) -> Pair:
    """Every third document of the base comes out the other way, as with dropout on."""
    return tuned, altered(BenchmarkSeen, _third_turned)(base, base)[0]


def _third_turned(look: BenchmarkSeen) -> BenchmarkSeen:
    items = tuple(
        replace(item, value=1 - item.value, margin=-item.margin) if place % 3 == 0 else item
        for place, item in enumerate(look.items)
    )
    return replace(look, items=items)


TRAIN_MODE = Twin(
    name="base in train mode",
    broken="The base is looked at with dropout on, so that a third of its answers come out otherwise.",
    sees=_with_dropout,
)
BEFORE, AFTER = _right(*range(12)), _right(*range(5, 13))  # five of twelve lost, one gained


def _both(need: Benchmark) -> Callable[[], Pair]:
    return lambda: ({need: AFTER}, {need: BEFORE})


FORGETTING = Forgetting(tasks=("task",))
CURVE = ForgettingCurve(tasks=("task",))

forgetting = Check(
    probe=FORGETTING,
    says="Of 20 documents the base has 12 right; the model loses five of them and gains one.",
    looks=_both(Benchmark(tasks=("task",))),
    metric="accuracy_change",
    at={"dataset": "all"},
    wants=near(-0.2),
    twins=(EXCHANGED, BASE_TWICE),
)
nothing_forgotten = Check(
    probe=FORGETTING,
    says="The weights are the same before and after, so no document changes.",
    looks=lambda: ({Benchmark(tasks=("task",)): BEFORE}, {Benchmark(tasks=("task",)): BEFORE}),
    metric="churn",
    at={"dataset": "all"},
    wants=near(0.0),
    twins=(TRAIN_MODE,),
)
curve = Check(
    probe=CURVE,
    says="Of 20 documents the base has 12 right; the model loses five of them and gains one.",
    looks=_both(Benchmark(tasks=("task",), limit=CURVE.limit)),
    metric="retained_accuracy_change",
    at={"dataset": "all"},
    wants=near(-0.2),
    twins=(EXCHANGED, TRAIN_MODE),
)


# --- lost_items: of five lost documents one is lost by form, two come back behind examples, two never

LOST = LostItems(tasks=("task",))


def _asked_again() -> Pair:
    plain, other_form, shown, mixed = LOST.needs()
    found: Looks = {plain: AFTER, other_form: _right(0), shown: _right(0, 1, 2), mixed: _right(15)}
    return found, {plain: BEFORE}


def _in_order(key: object, ways: Mapping[object, object]) -> str:
    return "erased"


def _fate_turned(pair: Document) -> str:
    fates = {(True, True): "kept", (True, False): "gained", (False, True): "lost", (False, False): "never"}
    return fates[pair.before.value > 0.5, pair.after.value > 0.5]


lost = Check(
    probe=LOST,
    says="Of five lost documents one is right in the other form, two more behind examples, two in no way.",
    looks=_asked_again,
    metric="suppressed_share",
    at={"dataset": "all"},
    wants=near(0.4),
    twins=(
        Twin(
            name="nothing revived",
            broken="Second chances are looked up nowhere, so that everything lost counts as erased.",
            parts={"probes.lost_items:verdict": _in_order},
        ),
        Twin(
            name="lost and gained exchanged",
            broken="Documents that were gained are asked again in place of those that were lost.",
            parts={"probes.scorers.documents:Pair.fate": property(_fate_turned)},
        ),
    ),
)


# --- interpolation: the loss bulges by 0.4 nats half way, and is lopsided

PATH = Interpolation(tasks=("task",))
PATH_ROWS = tuple(asked(i, f"Say {i}.", "yes") for i in range(12))
RISE = {0.25: 0.1, 0.5: 0.4, 0.75: 0.2}


def _along_the_path() -> Pair:
    tuned: Looks = {}
    for need in PATH.needs():
        if isinstance(need, Benchmark):
            tuned[need] = BEFORE
        elif isinstance(need, Scores):
            alpha = next((change.alpha for change in need.under if isinstance(change, Interpolate)), 1.0)
            loss = 2 - alpha + RISE.get(alpha, 0.0)
            tuned[need] = scores(PATH_ROWS, target=lambda row, loss=loss: -loss)  # type: ignore[misc]
    ends: Looks = {
        need: BEFORE if isinstance(need, Benchmark) else scores(PATH_ROWS, target=lambda row: -2.0)
        for need in tuned
        if not getattr(need, "under", ())
    }
    return tuned, ends


def _turned_path(tuned: Looks, base: Looks) -> Pair:
    return {_mirrored(need): look for need, look in tuned.items()}, base


def _mirrored(need: Need) -> Need:
    if not isinstance(need, Scores | Benchmark):
        return need
    under = tuple(Interpolate(1 - change.alpha) for change in need.under if isinstance(change, Interpolate))
    return replace(need, under=under)


def _ends_exchanged(tuned: Looks, base: Looks) -> Pair:
    return {need: base.get(need, look) for need, look in tuned.items()}, {need: tuned[need] for need in base}


interpolation = Check(
    probe=PATH,
    says="The loss falls from 2 to 1 nat along the way; half way it lies 0.4 nats above the straight line.",
    looks=_along_the_path,
    metric="path_loss_bulge",
    at={"dataset": "test"},
    wants=near(0.4),
    twins=(
        Twin(
            name="ends exchanged",
            broken="The base stands at the end of the way and the model at its beginning.",
            sees=_ends_exchanged,
        ),
    ),
)
mixtures = Check(
    probe=PATH,
    says="A quarter of the way from the base the log-probability of answers is -1.85 nats.",
    looks=_along_the_path,
    metric="path_answer_logprob",
    at={"dataset": "test", "module": "alpha 0.25"},
    wants=near(-1.85),
    twins=(
        Twin(
            name="way turned round",
            broken="The share of the tuned model is taken for that of the base.",
            sees=_turned_path,
        ),
    ),
)

CHECKS = (forgetting, nothing_forgotten, curve, lost, interpolation, mixtures)
