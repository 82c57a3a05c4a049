"""A progress bar on stderr that says which arm, seed, step and probe is running and how long is left."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

SPEED_WINDOW = 120.0  # seconds; steps and looks differ in speed, so a short window would jump


class Bar:
    """Implements `study.progress.Progress` with Rich; where stderr is a file, one line per run instead."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            speed_estimate_period=SPEED_WINDOW,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._run = ("", -1)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, total_units: float) -> None:
        """Begin, with the amount of work ahead."""
        self._bar.update(self._task, total=total_units)

    def activity(self, arm: str, seed: int, step: int, what: str) -> None:
        """Show what is being done now."""
        self._bar.update(self._task, description=f"{arm} · seed {seed} · step {step} · {what}")
        if not self.console.is_terminal and (arm, seed) != self._run:
            self.note(f"{self._bar.tasks[self._task].percentage:3.0f} %  {arm} · seed {seed}")
        self._run = (arm, seed)

    def advance(self, units: float) -> None:
        """Move the bar."""
        self._bar.advance(self._task, units)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar away; may be called twice."""
        self._bar.stop()
