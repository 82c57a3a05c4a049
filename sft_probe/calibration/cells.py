"""Cells of a certificate: one training run per plant, dose and seed, and runs in which nothing is planted.

DIR/cells/<plant>-seed<n>…/   a study whose arms are doses; `cells.json` says which run is which cell

Cells of a plant that share seed and data are arms of one study, so that the base is looked at once for them.
A study that was finished is left as it is, and one that was cut short goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from sft_probe.calibration.kinds import DOSE, LOOKED, changed
from sft_probe.errors import InputError, RunsFailed
from sft_probe.store.atomic import write_json
from sft_probe.store.runs import RunStore

if TYPE_CHECKING:
    from pathlib import Path

    from sft_probe.calibration.plants.base import Plant
    from sft_probe.execute.executors import Executor
    from sft_probe.study.progress import Progress
    from sft_probe.study.spec import StudySpec

CELLS, INDEX = "cells", "cells.json"
OWN_COLUMNS = ("plant", "dose", "kind")


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One run. kind: "dose", or the name of a null.  panel: whether it is looked at with other probes too."""

    plant: str
    dose: float
    seed: int
    kind: str = DOSE
    panel: bool = False

    @property
    def arm(self) -> str:
        """Its arm in the study."""
        return f"{self.kind}-{self.dose:g}"

    @property
    def run(self) -> str:
        """Its run in the study."""
        return f"{self.arm}-seed{self.seed}"

    @property
    def id(self) -> str:
        """Its name among all cells, which can be a folder."""
        return f"{self.plant}-{self.run}"


@dataclass(frozen=True)
class Task:
    """Cells that one study holds. study: as a study.yaml says it."""

    folder: Path
    study: Mapping[str, Any]
    cells: tuple[Cell, ...]

    @property
    def digest(self) -> str:
        """sha256 of what is asked for."""
        content = json.dumps([self.study, [asdict(cell) for cell in self.cells]], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def trains(self) -> bool:
        """Whether anything is trained in it."""
        return any(cell.kind not in LOOKED for cell in self.cells)

    def spec(self) -> StudySpec:
        """The study, checked. Raises: SpecError."""
        from sft_probe.study.yaml import parse_study

        named = {"name": self.folder.name, "output_dir": str(self.folder), **self.study}
        return parse_study(yaml.safe_dump(named, sort_keys=False), file=self.folder.name)


def tasks(
    cells: Iterable[Cell], folder: Path, plants: Mapping[str, Plant], panel: Panel | None = None
) -> tuple[Task, ...]:
    """Studies that hold the cells, seed by seed. panel: what else is measured in cells that ask for it."""
    found: dict[str, list[tuple[Cell, dict[str, Any]]]] = {}
    for cell in sorted(cells, key=lambda c: c.seed):
        study = changed(plants[cell.plant], cell.dose, cell.seed, cell.kind)
        study = panel.added(study) if panel and cell.panel else study
        arm = study.pop("arms")["arm"]
        looked = cell.kind in LOOKED
        shared = json.dumps([cell.plant, looked, study], sort_keys=True)
        found.setdefault(shared, []).append((cell, {**study, "arms": {cell.arm: arm}}))
    return tuple(_task(folder / CELLS, members, taken) for taken, members in _numbered(found.values()))


def run_cells(
    todo: Sequence[Task], *, executor: Executor | None = None, progress: Progress | None = None
) -> tuple[str, ...]:
    """Make what is not there yet. Returns one sentence for each cell that failed.

    executor: where studies are made: `local` shares whole studies out among processes, any other gets the
    runs of one study after the other; all are made in this process if none is given.
    """
    from sft_probe.calibration.workers import one_by_one, side_by_side
    from sft_probe.study.progress import Silent

    listener = progress or Silent()
    open_tasks = [task for task in todo if not finished(task)]
    listener.start(sum(len(task.cells) for task in todo))
    listener.advance(sum(len(task.cells) for task in todo) - sum(len(task.cells) for task in open_tasks))
    try:
        run = side_by_side if executor is not None and executor.name == "local" else one_by_one
        run(open_tasks, executor, listener)
    finally:
        listener.close()
    return tuple(sentence for task in todo for sentence in failures(task.folder))


def run_task(task: Task, executor: Executor | None = None, progress: Progress | None = None) -> None:
    """Make the cells of one study, and note in `cells.json` which failed, and why."""
    from sft_probe.calibration.nulls import look_again
    from sft_probe.execute.local import run_study

    reasons: list[str] = []
    _write_index(task, done=False)
    try:
        spec = task.spec()
        if task.trains:
            run_study(spec, progress=progress, executor=executor)
        for cell in task.cells:
            if cell.kind in LOOKED:
                look_again(spec, cell)
    except RunsFailed:
        failed = RunStore(task.folder).failures()
        reasons += [f"{task.folder.name}, {failure.run}: {failure.reason}" for failure in failed]
    except InputError as error:
        reasons.append(f"{task.folder.name}: {error}")
    _write_index(task, done=True, failed=reasons)


def finished(task: Task) -> bool:
    """Whether a study stands there complete, made of the same settings. What failed is tried again."""
    index = _index(task.folder)
    return bool(index) and index["done"] and not index["failed"] and index["digest"] == task.digest


def failures(folder: Path) -> tuple[str, ...]:
    """Why cells of one study failed, one sentence each."""
    return tuple((_index(folder) or {}).get("failed", ()))


def rows(done: Iterable[Task]) -> pd.DataFrame:
    """What was measured in cells: the columns of `RunStore.measurements`, for the last look of each run, with
    `plant`, `dose`, `kind` and `base`, the value that the same row had before training.

    done: studies that were made; others that lie beside them, of another order, are not looked at.
    """
    folders = sorted(task.folder for task in done)
    frames = [_rows(folder) for folder in folders if (folder / INDEX).is_file()]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*OWN_COLUMNS, "seed"])


@dataclass(frozen=True)
class Panel:
    """Probes beside a plant's own, left out where data do not fit, and the data sets that they look at."""

    probes: tuple[dict[str, Any], ...]
    others: Mapping[str, str]

    def added(self, study: Mapping[str, Any]) -> dict[str, Any]:
        """A study that is looked at with these too; what it says itself stays as it is."""
        named = {_name(probe) for probe in study["probes"]}
        more = [{**probe, "optional": True} for probe in self.probes if probe["name"] not in named]
        data = {**study["data"], "others": {**self.others, **study["data"].get("others", {})}}
        return {**study, "data": data, "probes": [*study["probes"], *more]}


def _name(probe: Any) -> str:
    if isinstance(probe, str):
        return probe
    return str(probe["name"] if "name" in probe else next(iter(probe)))


def _numbered(groups: Iterable[list[Any]]) -> Iterator[tuple[int, list[Any]]]:
    """Groups with the number of those before that have the same plant, kind and seed."""
    seen: dict[str, int] = {}
    for members in groups:
        stem = _stem(members[0][0])
        yield seen.get(stem, 0), members
        seen[stem] = seen.get(stem, 0) + 1


def _stem(cell: Cell) -> str:
    return f"{cell.plant}{'-looked' if cell.kind in LOOKED else ''}-seed{cell.seed}"


def _task(folder: Path, members: list[tuple[Cell, dict[str, Any]]], taken: int) -> Task:
    arms = {name: arm for _, study in members for name, arm in study["arms"].items()}
    stem = _stem(members[0][0]) + (f"-{taken}" if taken else "")
    return Task(folder / stem, {**members[0][1], "arms": arms}, tuple(cell for cell, _ in members))


def _write_index(task: Task, *, done: bool, failed: Sequence[str] = ()) -> None:
    entries = [
        {"run": cell.run, **{name: getattr(cell, name) for name in OWN_COLUMNS}} for cell in task.cells
    ]
    index = {"digest": task.digest, "done": done, "failed": list(failed), "cells": entries}
    write_json(task.folder / INDEX, index)


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _rows(folder: Path) -> pd.DataFrame:
    table = RunStore(folder).measurements()
    cells = pd.DataFrame(_index(folder)["cells"])
    table = table[table.run.isin(cells.run)]
    last = table[table.step == table.groupby("run").step.transform("max")]
    place = ["run", "probe", "metric", "dataset", "stratum", "module", "layer"]
    first = table[table.step == 0].drop_duplicates(place)[[*place, "value"]]
    last = last.merge(first.rename(columns={"value": "base"}), how="left", on=place)
    return last.merge(cells, on="run")
