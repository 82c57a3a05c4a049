"""Two runs, or two arms, at the end of training: what differs between them on the same items."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sft_probe.errors import StoreError, nearest
from sft_probe.report.differences import (
    Difference,
    Place,
    Side,
    common,
    decided,
    differ,
    first_look,
    last_look,
    side,
)
from sft_probe.report.findings import MARGIN
from sft_probe.report.headlines import headlines
from sft_probe.report.material import Arm, with_base
from sft_probe.store.documents import read_document, read_study
from sft_probe.store.runs import BASE, BETWEEN, RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from sft_probe.store.manifest import RunManifest

FEW_STRATA = 6  # with more of them their rows would bury the others


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of the two, with the base where it did not look at step 0 itself.

    runs: one, or the seeds of one arm.  base: digest of the base's weights, if known.
    """

    label: str
    study: str
    runs: tuple[RunManifest, ...]
    measurements: pd.DataFrame = field(repr=False)
    items: pd.DataFrame = field(repr=False)
    base: str = ""
    margin: float = MARGIN
    probes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @cached_property
    def side(self) -> Side:
        """What was seen at the end of training; of the base itself, what there is."""
        look = first_look if self.runs[0].arm == BASE else last_look
        return side(look(self.measurements), look(self.items))

    @property
    def steps(self) -> int:
        """The last step of any of its runs."""
        return max((max(run.steps, default=0) for run in self.runs), default=0)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds."""
        return tuple(run.seed for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`b` minus `a` wherever both were measured. differences: one family of tests."""

    a: Compared
    b: Compared
    differences: tuple[Difference, ...]
    margin: float

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """Both as arms of a figure."""
        one, two = (
            Arm(name=name, label=side.label, position=place, seeds=side.seeds, learning_rate=None, family="")
            for place, (name, side) in enumerate((("a", self.a), ("b", self.b)))
        )
        return one, two

    @property
    def other_base(self) -> bool:
        """True if the two are known to start from different weights."""
        return bool(self.a.base and self.b.base and self.a.base != self.b.base)

    @property
    def one_seed(self) -> bool:
        """True if one of the two is a single training run."""
        return min(len(self.a.runs), len(self.b.runs)) == 1


def compare(a: str, b: str, *, everything: bool = False) -> Comparison:
    """Set two runs (their folders) or two arms (`STUDY:arm`, all finished seeds) against each other.

    everything: all metrics, not only those that stand for each probe, and all strata.
    Raises: StoreError if one of them is not a finished run or arm, or nothing was measured on both.
    """
    one, two = selected(a), selected(b)
    places = list(_told(one, two, everything))
    if not places:
        raise StoreError(
            f"nothing was measured on both '{a}' and '{b}'.",
            remedy="Measure both with the same probes and data sets.",
        )
    margin = min(one.margin, two.margin)
    found = decided([differ(place, one.side, two.side, margin=margin) for place in places])
    return Comparison(a=one, b=two, differences=found, margin=margin)


def selected(selector: str) -> Compared:
    """A run by its folder, an arm by `STUDY:arm`. Raises: StoreError."""
    folder = Path(selector).resolve()
    if folder.is_dir():
        return _of_run(folder, selector)
    study, colon, arm = selector.rpartition(":")
    if not colon or not Path(study).is_dir():
        raise StoreError(
            f"there is no folder '{selector}'.",
            remedy="Name a folder below `<output_dir>/runs`, or STUDY:arm.",
        )
    return _of_arm(Path(study).resolve(), arm)


def _of_run(folder: Path, selector: str) -> Compared:
    if folder.parent.name != "runs" or (folder / "runs").is_dir():
        raise StoreError(
            "this is not the folder of a run.",
            file=selector,
            remedy="Name one below `<output_dir>/runs`, or an arm as STUDY:arm.",
        )
    store = RunStore(folder.parent.parent)
    found = [run for run in store.runs() if run.run == folder.name and run.arm != BETWEEN]
    if not found:
        failure = store.failure(folder.name)
        raise StoreError(
            f"this run failed: {failure.reason}" if failure else "this run is not finished.",
            file=selector,
            remedy="Run the study again to complete it.",
        )
    (run,) = found
    label = run.label or run.arm
    return _read(store, (run,), label if run.arm == BASE else f"{label}, seed {run.seed}")


def _of_arm(output_dir: Path, arm: str) -> Compared:
    store = RunStore(output_dir)
    known = [run for run in store.runs() if run.arm != BETWEEN]
    runs = tuple(run for run in known if run.arm == arm)
    if not runs:
        raise StoreError(
            f"no run of an arm '{arm}' is finished.",
            file=output_dir,
            remedy=nearest(arm, {run.arm for run in known}),
        )
    return _read(store, runs, runs[0].label or arm)


def _read(store: RunStore, runs: tuple[RunManifest, ...], label: str) -> Compared:
    study = yaml.safe_load(read_study(store.output_dir)) or {}
    environment = read_document(store.output_dir, "environment") or {}
    ids = {BASE, *(run.run for run in runs)}
    tuned = runs[0].arm != BASE
    measurements, items = (read(ids) for read in (store.measurements, store.items))
    return Compared(
        label=label,
        study=str(study.get("name") or store.output_dir.name),
        runs=runs,
        measurements=with_base(measurements, runs) if tuned else measurements,
        items=with_base(items, runs) if tuned else items,
        base=str((environment.get("base") or {}).get("sha256", "")),
        margin=float(study.get("equivalence_margin", MARGIN)),
        probes=read_document(store.output_dir, "probes") or {},
    )


def _told(a: Compared, b: Compared, everything: bool) -> Iterator[Place]:
    """What is compared, the whole data set before its strata."""
    both = common(a.side, b.side)
    told = headlines({**a.probes, **b.probes}, b.measurements)
    strata: dict[Place, list[Place]] = {}
    for place in both:
        if everything or place.metric in told.get(place.probe, ()):
            strata.setdefault(place._replace(stratum=""), []).append(place)
    for whole, parts in strata.items():
        few = everything or len(parts) - (whole in parts) <= FEW_STRATA
        yield from (
            sorted(parts, key=lambda place: place != whole) if few else [p for p in parts if p == whole]
        )
