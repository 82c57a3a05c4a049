"""What probes measure, in the trackers that a trainer reports to, under names that stay the same.

A number is called `probe/<probe>/<metric>`, then `/<dataset>`, `/<stratum>` and `/<module>` where it has
them, in letters that every tracker takes. Rows by layer stay in the run's tables: trackers have no such axis.
The trainer's own integrations begin before its callbacks and also end before them, so each writer here
remembers which run it belongs to and can still write to it once training has ended.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sft_probe.errors import SpecError, nearest

if TYPE_CHECKING:
    from transformers import TrainingArguments

    from sft_probe.schema import Measurement, Measurements

STEP = "train/global_step"  # the axis that transformers gives to wandb and trackio


class Tracker(Protocol):
    """Writes numbers to one run of one tracker."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep values of one step."""
        ...

    def reopen(self) -> None:
        """The trainer's own integration has ended its part; one more look may come."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


def tracked_name(probe: str, row: Measurement) -> str:
    """The name of a number in every tracker."""
    parts = ("probe", probe, row.metric, row.dataset, row.stratum, row.module)
    return "/".join(re.sub(r"[^0-9A-Za-z_.:-]+", "_", part) for part in parts if part)


class Trackers:
    """The trackers of one training."""

    def __init__(self, trackers: tuple[Tracker, ...]) -> None:
        self._trackers = trackers

    def log(self, step: int, looks: Mapping[str, Measurements]) -> None:
        """Pass on what was measured at one step; undefined numbers and rows by layer are left out."""
        values = {
            tracked_name(probe, row): row.value
            for probe, found in looks.items()
            for row in found.rows
            if row.layer < 0 and isfinite(row.value)
        }
        for tracker in self._trackers:
            tracker.log(values, step)

    def reopen(self) -> None:
        """Called when training ends, before the last look."""
        for tracker in self._trackers:
            tracker.reopen()

    def close(self) -> None:
        """Close every writer."""
        for tracker in self._trackers:
            tracker.close()


def check_trackers(names: Iterable[str]) -> None:
    """Raises: SpecError for a tracker that transformers does not know, or whose package is not installed."""
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            remedy = nearest(name, INTEGRATION_TO_CALLBACK)
            raise SpecError(f"there is no tracker '{name}'.", field="report_to", remedy=remedy)
        if name in WRITERS and find_spec(name) is None:
            raise SpecError(
                f"the tracker '{name}' is not installed.", field="report_to", remedy=f"pip install {name}."
            )


def open_trackers(args: TrainingArguments) -> Trackers | None:
    """Writers for what the trainer reports to, None if for nothing that is known here."""
    known = [name for name in args.report_to or () if name in WRITERS]
    return Trackers(tuple(WRITERS[name](args) for name in known)) if known else None


class _TensorBoard:
    """A second event file in the folder that the trainer's integration has just begun."""

    def __init__(self, args: TrainingArguments) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(log_dir=str(_event_folder(args)))

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def reopen(self) -> None:
        """It is a writer of its own."""

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """The run that is active when training begins; it takes numbers after its end as well."""

    def __init__(self, args: TrainingArguments) -> None:
        import mlflow

        self._log, active = mlflow.log_metrics, mlflow.active_run()
        self._run: str | None = active.info.run_id if active else None

    def log(self, values: Mapping[str, float], step: int) -> None:
        if values and self._run:  # without a run, mlflow would begin one
            self._log(dict(values), step=step, run_id=self._run)

    def reopen(self) -> None:
        """A finished run takes numbers, too."""

    def close(self) -> None:
        """The trainer's integration ends the run."""


class _Wandb:
    """The process's run, which stays open after training."""

    def __init__(self, args: TrainingArguments) -> None:
        import wandb

        self._log = wandb.log

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._log({**values, STEP: step})

    def reopen(self) -> None:
        """The run is still open."""

    def close(self) -> None:
        """Whoever began the run ends it."""


class _Trackio:
    """The current run, taken up again after the trainer's integration has finished it."""

    def __init__(self, args: TrainingArguments) -> None:
        import trackio

        self._trackio, self._args = trackio, args
        self._run, self._reopened = trackio.context_vars.current_run.get(), False

    def log(self, values: Mapping[str, float], step: int) -> None:
        if self._run is not None:
            self._trackio.log({**values, STEP: step})

    def reopen(self) -> None:
        if self._run is not None:
            self._trackio.init(
                project=self._args.project,
                name=self._run.name,
                space_id=self._args.trackio_space_id,
                resume="allow",
            )
            self._reopened = True

    def close(self) -> None:
        if self._reopened:
            self._trackio.finish()


WRITERS: Mapping[str, Callable[[TrainingArguments], Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _Wandb,
    "trackio": _Trackio,
}


def _event_folder(args: TrainingArguments) -> Path:
    """Where the trainer's integration writes: as it is told, or the newest folder under `runs`."""
    if told := os.environ.get("TENSORBOARD_LOGGING_DIR"):
        return Path(told).expanduser()
    runs = Path(str(args.output_dir)) / "runs"
    begun = [folder for folder in runs.iterdir() if folder.is_dir()] if runs.is_dir() else []
    return max(begun, key=lambda folder: folder.stat().st_mtime, default=runs)


@contextmanager
def tracked_as(study: str, run: str, folder: Path) -> Iterator[None]:
    """Let the trackers of one arm keep its events under `folder` and its run in an experiment of the study.

    What a user has set in the environment stays. A run of wandb that begins inside ends with it, so that the
    next arm gets its own.
    """
    events = os.environ.get("TENSORBOARD_LOGGING_DIR") or str(folder)
    own = {"TENSORBOARD_LOGGING_DIR": str(Path(events) / run)}
    named = {"MLFLOW_EXPERIMENT_NAME": study, "WANDB_PROJECT": re.sub(r"[/\\#?%:]+", "-", study)}
    own |= {name: value for name, value in named.items() if name not in os.environ}
    before, begun = {name: os.environ.get(name) for name in own}, _wandb_run()
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if begun is None and _wandb_run() is not None:
            sys.modules["wandb"].finish()


def _wandb_run() -> Any:
    return getattr(sys.modules.get("wandb"), "run", None)
