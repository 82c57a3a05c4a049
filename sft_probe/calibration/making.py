"""Make a certificate: cells, the statistics of their rows, broken twins, the classes of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe.calibration.cells import Task, rows, run_cells, tasks
from sft_probe.calibration.certificate import Base, ClassCount, Confusion, Evidence, Made
from sft_probe.calibration.doses import responses
from sft_probe.calibration.false_alarms import nulls
from sft_probe.calibration.kinds import LOOKED
from sft_probe.calibration.plan import Mode, planned
from sft_probe.calibration.plants.classes import ALLOWED, Ledger, ledgers
from sft_probe.calibration.plants.classes import PROBE as LEDGER_PROBE
from sft_probe.calibration.plants.classes import run as run_classes
from sft_probe.calibration.readings import judged_by
from sft_probe.calibration.response import clopper_pearson
from sft_probe.calibration.specificity import panel, reactions
from sft_probe.calibration.verdicts import certify
from sft_probe.errors import InputError, RunsFailed, SpecError
from sft_probe.registry import available, load
from sft_probe.store.lock import locked
from sft_probe.store.runs import RunStore

if TYPE_CHECKING:
    from sft_probe.calibration.certificate import Certificate
    from sft_probe.calibration.plants.base import Plant
    from sft_probe.execute.executors import Executor
    from sft_probe.study.progress import Progress

CLASS_SEEDS = (0, 1, 2)
LOOK_STEPS, PANEL_STEPS = 26, 218
"""Looks of a cell, without the panel and with it, in optimiser steps: least squares over 125 studies."""
CLASS_STEPS = 500
"""Work of the ledger's studies of one seed, likewise, and rough."""
BUILT_IN = "sft_probe."


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be certified. base: as in a study.  data: somebody's own rows, if they are planted into.

    left_out: what could not be planted, and why, by name.
    """

    mode: Mode
    plants: tuple[Plant, ...]
    folder: Path
    base: str = "planted"
    data: str = ""
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def probes(self) -> tuple[str, ...]:
        """The probes that are judged: all built-in ones, or those that read one of the plants."""
        if self.mode == "full":
            own = (name for name, entry in available("probes").items() if entry.value.startswith(BUILT_IN))
            return tuple(sorted(own))
        return tuple(sorted({reading.probe for plant in self.plants for reading in plant.readings}))

    def tasks(self) -> tuple[Task, ...]:
        """The studies that hold its cells."""
        known = {plant.name: plant for plant in self.plants}
        beside = panel(self.plants) if self.mode == "full" else None
        return tasks(planned(self.plants, self.mode), self.folder, known, beside)


def make(
    order: Order, *, command: str, executor: Executor | None = None, progress: Progress | None = None
) -> Certificate:
    """Make what is missing of the cells under the order's folder, and conclude from all of them.

    Raises: InputError if the folder is in use or nothing can be planted.
    """
    if not order.plants:
        reasons = "; ".join(dict.fromkeys(order.left_out.values()))
        raise SpecError(f"nothing can be planted into these rows: {reasons}.", field="--data")
    with locked(order.folder):
        todo = order.tasks()
        failed = run_cells(todo, executor=executor, progress=progress)
        ledger: tuple[Confusion, ...] = ()
        if order.mode == "full":
            try:
                ledger = _classes(order, progress)
            except (RunsFailed, InputError) as error:
                failed += (f"classes of knowledge: {error}",)
        return certify(evidence(order, todo, command, ledger, failed))


def evidence(
    order: Order,
    todo: tuple[Task, ...],
    command: str,
    confusions: tuple[Confusion, ...] = (),
    failed: tuple[str, ...] = (),
) -> Evidence:
    """Everything that was measured. todo: the studies that were made.  failed: what was not, and why."""
    from sft_probe.calibration.mutants import run_mutants

    table = rows(todo)
    places = judged_by(order.plants, _headlines())
    left_out = tuple(f"{name} was not planted: {why}." for name, why in order.left_out.items())
    return Evidence(
        base=_base(order),
        made=_made(order, todo, command),
        probes=order.probes,
        nulls=tuple(null for null in nulls(table, order.plants, places) if null.probe in order.probes),
        responses=responses(table, order.plants),
        reactions=reactions(table, order.plants, places),
        confusions=confusions,
        mutants=run_mutants(order.probes),
        notes=(*failed, *left_out),
    )


def seconds_left(order: Order, executor: Executor | None = None) -> float:
    """About how long the cells will take that are not there yet, from a few steps of training timed here."""
    from sft_probe.calibration.cells import finished
    from sft_probe.calibration.workers import workers

    todo = [task for task in order.tasks() if not finished(task)]
    if not todo:
        return 0.0
    step = _seconds_per_step(todo)
    classes = CLASS_STEPS * len(CLASS_SEEDS) if order.mode == "full" else 0
    return step * (sum(map(_steps, todo)) / workers(todo, executor) + classes)


def _classes(order: Order, progress: Progress | None) -> tuple[Confusion, ...]:
    if progress:
        progress.note("classes of knowledge: some minutes")
    run_classes(order.folder, CLASS_SEEDS)
    return tuple(map(_confusion, ledgers(order.folder, CLASS_SEEDS)))


def _steps(task: Task) -> float:
    """The work of a study in optimiser steps."""
    spec = task.spec()
    work = 0.0
    for cell in task.cells:
        work += PANEL_STEPS if cell.panel else LOOK_STEPS
        work += 0 if cell.kind in LOOKED else spec.training.max_steps
    return work


def _seconds_per_step(todo: list[Task]) -> float:
    import tempfile

    from sft_probe.data.chat import ensure_chat_template
    from sft_probe.execute.prepare import load_data, set_threads
    from sft_probe.execute.timing import time_training
    from sft_probe.models.load import load_base
    from sft_probe.study.arms import resolve, stages_of
    from sft_probe.train.sft import ArmRun

    task = next((task for task in todo if task.trains), todo[0])
    spec = task.spec()
    name, arm = next(iter(spec.arms.items()))
    plain = arm.model_copy(update={"edits": ()})
    run = ArmRun(arm=plain, training=resolve(spec, name), seed=0, max_length=spec.data.max_length)
    base = load_base(spec.base)
    set_threads(spec.base, base)
    ensure_chat_template(base.tokenizer, spec.data.chat_template)
    with tempfile.TemporaryDirectory() as scratch:
        data = load_data(spec.data, Path(scratch), seed=0)
        return time_training(run, stages_of(spec, name)[0], base, data, Path(scratch) / "trainer")


def _headlines() -> dict[str, tuple[str, ...]]:
    return {name: tuple(load("probes", name).about.headline) for name in available("probes")}


def _base(order: Order) -> Base:
    from sft_probe.models.load import load_base
    from sft_probe.study.spec import ModelSpec

    base = load_base(ModelSpec(model_name_or_path=order.base))
    return Base(name=order.base, parameters=base.model.num_parameters(), digest=base.digest)


def _made(order: Order, todo: tuple[Task, ...], command: str) -> Made:
    from sft_probe.execute.prepare import PACKAGES

    cells = [cell for task in todo for cell in task.cells]
    return Made(
        mode=order.mode,
        command=command,
        seconds=sum(sum(run.seconds.values()) for task in todo for run in RunStore(task.folder).runs()),
        cells=len(cells),
        seeds=tuple(sorted({cell.seed for cell in cells})),
        versions={name: version(name) for name in PACKAGES},
        data=order.data,
    )


def _confusion(ledger: Ledger) -> Confusion:
    return Confusion(
        probe=LEDGER_PROBE,
        side=ledger.side,
        rows=tuple(_counted(ledger, judged.truth, dict(judged.verdicts)) for judged in ledger.judged),
        note="; ".join(f"{truth}: {' or '.join(right)}" for truth, right in ALLOWED.items()),
    )


def _counted(ledger: Ledger, truth: str, verdicts: dict[str, int]) -> ClassCount:
    right, wrong = (clopper_pearson(*part) for part in (ledger.sensitivity(truth), ledger.specificity(truth)))
    return ClassCount(
        truth=truth,
        verdicts=verdicts,
        sensitivity=right.value,
        sensitivity_low=right.low,
        sensitivity_high=right.high,
        specificity=wrong.value,
        specificity_low=wrong.low,
        specificity_high=wrong.high,
        n=sum(verdicts.values()),
    )
