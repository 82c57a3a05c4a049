"""Everything a report reads, read once: tables, runs, arms, and what the study kept beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from sft_probe.errors import SpecError, StoreError, nearest
from sft_probe.report.marks import Marks
from sft_probe.report.summaries import before_and_after
from sft_probe.store.documents import read_document, read_rows, read_study
from sft_probe.store.runs import BASE, BETWEEN, RunStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sft_probe.store.failures import Failure
    from sft_probe.store.manifest import RunManifest


class Stage(NamedTuple):
    """One training of an arm, from its step `first` to its step `last`."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to fine-tune, as the report shows it.

    position: its place in the study, which fixes its colour and marker in every figure.
    family: what two arms must share for their learning rates to be comparable.
    stages: if there are several trainings one after the other.
    """

    name: str
    label: str
    position: int
    seeds: tuple[int, ...]
    learning_rate: float | None
    family: str
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Material:
    """What `load` found. `measurements` and `items` hold arms only, each with rows at step 0 (the base).

    between: rows on pairs of runs, of the run `between`; empty if no weights were kept.  train_rows: as
    `documents.read_rows`; empty where none were kept.
    """

    measurements: pd.DataFrame
    between: pd.DataFrame
    items: pd.DataFrame
    train_log: pd.DataFrame
    runs: tuple[RunManifest, ...]
    unfinished: tuple[str, ...]
    failures: tuple[Failure, ...]
    arms: tuple[Arm, ...]
    reference: str
    study: Mapping[str, Any]
    study_text: str
    environment: Mapping[str, Any]
    audit: Sequence[Mapping[str, Any]]
    probes: Mapping[str, Mapping[str, Any]]
    train_rows: pd.DataFrame
    show_unsafe: bool = False
    marks: Marks = field(default_factory=Marks)

    @property
    def seeds(self) -> int:
        """The largest number of seeds any arm has."""
        return max((len(arm.seeds) for arm in self.arms), default=0)

    @property
    def parameters(self) -> int:
        """Of the largest model of a run; 0 where the runs do not say."""
        return max((run.total_parameters for run in self.runs), default=0)

    def items_of(self, probe: str, metric: str) -> pd.DataFrame:
        """The items of one metric of one probe."""
        return self._items_by_metric.get((probe, metric), self.items.head(0))

    def flips(self, probe: str, metric: str) -> pd.DataFrame:
        """`before_and_after` of one metric."""
        key = (probe, metric)
        if key not in self._flips:
            self._flips[key] = before_and_after(self.items_of(probe, metric), probe, metric)
        return self._flips[key]

    @cached_property
    def _items_by_metric(self) -> dict[tuple[str, str], pd.DataFrame]:
        groups = self.items.groupby(["probe", "metric"], sort=False, observed=True)
        return {(str(probe), str(metric)): rows for (probe, metric), rows in groups}

    @cached_property
    def _flips(self) -> dict[tuple[str, str], pd.DataFrame]:
        return {}

    @property
    def watched(self) -> bool:
        """True if training was watched: some run has steps between the first and the last look."""
        return any(len(run.steps) > 2 for run in self.runs)


def load(output_dir: Path, *, reference: str | None = None) -> Material:
    """Read a study's folder. reference: the arm that others are set against, if not the study's own.

    Raises: StoreError if no run is finished or a file is damaged, SpecError if there is no such arm.
    """
    store = RunStore(output_dir)
    runs = tuple(run for run in store.runs() if run.arm != BETWEEN)
    if not runs:
        raise StoreError(
            "no run is finished in this folder.", file=output_dir, remedy="Run the study first or let it end."
        )
    study_text = read_study(output_dir)
    study = yaml.safe_load(study_text) or {}
    arms = _arms(store, [run for run in runs if run.arm != BASE], tuple(study.get("arms") or ()))
    asked = reference or study.get("reference_arm")
    names = [arm.name for arm in arms]
    if reference and reference not in names:
        message = f"no run of an arm '{reference}' is finished."
        raise SpecError(message, field="reference", remedy=nearest(reference, names))
    measured = store.measurements()
    several = measured["arm"] == BETWEEN
    return Material(
        measurements=with_base(_ending_together(measured[~several], runs), runs),
        between=measured[several].reset_index(drop=True),
        items=with_base(_ending_together(store.items(coded=True), runs), runs),
        train_log=store.train_log(),
        runs=runs,
        unfinished=store.unfinished(),
        failures=store.failures(),
        arms=arms,
        reference=asked if asked in names else next(iter(names), ""),
        study=study,
        study_text=study_text,
        environment=read_document(output_dir, "environment") or {},
        audit=read_document(output_dir, "audit") or [],
        probes=read_document(output_dir, "probes") or {},
        train_rows=read_rows(output_dir),
    )


def _arms(store: RunStore, runs: Sequence[RunManifest], order: tuple[str, ...]) -> tuple[Arm, ...]:
    """Arms in the order of the study, those it does not name after them."""
    names = dict.fromkeys(run.arm for run in runs)
    ordered = sorted(names, key=lambda name: order.index(name) if name in order else len(order))
    arms = []
    for position, name in enumerate(ordered):
        own = [run for run in runs if run.arm == name]
        config = store.config(own[0].run)
        stages = config.get("stages") or []
        parts = [config.get(key) for key in ("method", "method_options", "regulariser")]
        parts += [stages] if stages else []
        arms.append(
            Arm(
                name=name,
                label=own[0].label or name,
                position=position,
                seeds=tuple(sorted(run.seed for run in own)),
                learning_rate=(config.get("training") or {}).get("learning_rate"),
                family=repr(tuple(parts)),
                stages=tuple(Stage(*(stage[key] for key in Stage._fields)) for stage in stages),
            )
        )
    return tuple(arms)


def _ending_together(frame: pd.DataFrame, runs: Sequence[RunManifest]) -> pd.DataFrame:
    """Seeds that stopped early, each at a step of its own, end where the last seed of their arm does."""
    ends = {run.run: max(run.steps, default=0) for run in runs}
    of_arm: dict[str, int] = {}
    for run in runs:
        of_arm[run.arm] = max(of_arm.get(run.arm, 0), ends[run.run])
    last = {run.run: of_arm[run.arm] for run in runs}
    codes, names = pd.factorize(frame["run"])
    own, arms = (np.array([known.get(name, -1) for name in names])[codes] for known in (ends, last))
    return frame.assign(step=frame["step"].where(frame["step"].to_numpy() != own, arms))


def with_base(frame: pd.DataFrame, runs: Sequence[RunManifest]) -> pd.DataFrame:
    """Rows of the arms; the base run's rows stand in where a run did not look at step 0 with a probe."""
    tuned = [run for run in runs if run.arm != BASE]
    frame = _knowing(_knowing(frame, "run", [run.run for run in tuned]), "arm", [run.arm for run in tuned])
    base = frame[frame["arm"] == BASE]
    rows = frame[frame["arm"] != BASE]
    starts = rows.loc[rows["step"] == 0, ["run", "probe"]].drop_duplicates()
    seen = set(zip(starts["run"], starts["probe"], strict=True))
    added = [
        own.assign(run=_all(own["run"], run.run), arm=_all(own["arm"], run.arm), seed=run.seed)
        for probe in base["probe"].unique()
        for own in (base[base["probe"] == probe],)
        for run in tuned
        if (run.run, probe) not in seen
    ]
    return pd.concat([rows, *added], ignore_index=True) if added else rows.reset_index(drop=True)


def _knowing(frame: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    """The frame whose categories of a column, if it has any, hold these names too."""
    kind = frame[column].dtype
    if not isinstance(kind, pd.CategoricalDtype):
        return frame
    whole = sorted({*kind.categories, *names})
    return frame.assign(**{column: frame[column].cat.set_categories(whole)})


def _all(column: pd.Series, name: str) -> pd.Series:
    """A column of the same kind that says the same in every row."""
    return pd.Series(name, index=column.index, dtype=column.dtype)
