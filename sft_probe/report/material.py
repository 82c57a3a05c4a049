"""Everything a report reads, read once: tables, runs, arms, and what the study kept beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import yaml

from sft_probe.errors import SpecError, StoreError, nearest
from sft_probe.report.marks import Marks
from sft_probe.store.documents import read_document, read_study
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

    between: rows on pairs of runs, of the run `between`; empty if no weights were kept.
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
        items=with_base(_ending_together(store.items(), runs), runs),
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
    own, arms = frame["run"].map(ends), frame["arm"].map(of_arm)
    return frame.assign(step=frame["step"].where(frame["step"].ne(own), arms).astype(frame["step"].dtype))


def with_base(frame: pd.DataFrame, runs: Sequence[RunManifest]) -> pd.DataFrame:
    """Rows of the arms; the base run's rows stand in where a run did not look at step 0 with a probe."""
    base = frame[frame["arm"] == BASE]
    rows = frame[frame["arm"] != BASE]
    seen = set(zip(rows["run"][rows["step"] == 0], rows["probe"][rows["step"] == 0], strict=True))
    added = [
        base[base["probe"] == probe].assign(run=run.run, arm=run.arm, seed=run.seed)
        for run in runs
        if run.arm != BASE
        for probe in base["probe"].unique()
        if (run.run, probe) not in seen
    ]
    return pd.concat([rows, *added], ignore_index=True) if added else rows.reset_index(drop=True)
