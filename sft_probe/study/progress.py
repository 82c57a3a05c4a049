"""How lower layers tell what they are doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to a long job. Units are abstract work; only their share of the total matters."""

    def start(self, total_units: float) -> None:
        """Begin, with the amount of work ahead."""

    def activity(self, arm: str, seed: int, step: int, what: str) -> None:
        """Say what is being done now."""

    def advance(self, units: float) -> None:
        """Say that so much work is done."""

    def note(self, text: str) -> None:
        """Say something worth keeping on the screen, such as the chosen device."""

    def close(self) -> None:
        """End; called on success and on failure."""


class Silent:
    """A listener that says nothing."""

    def start(self, total_units: float) -> None:
        """Ignore."""

    def activity(self, arm: str, seed: int, step: int, what: str) -> None:
        """Ignore."""

    def advance(self, units: float) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def close(self) -> None:
        """Ignore."""
