"""Every exception of the package. Each has an exit code, so that the command line needs no table."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class SftProbeError(Exception):
    """Base of all errors raised on purpose. The command line prints `str(error)`, never a traceback."""

    exit_code: ClassVar[int] = 1


class GateNotMet(SftProbeError):
    """A check that was written down beforehand did not hold."""

    exit_code: ClassVar[int] = 2


class NotApplicable(SftProbeError):
    """What was given lacks what a probe needs; the reason stands in the report, and the others go on."""


class InputError(SftProbeError):
    """Something the user gave cannot be used: one sentence with file, row, field and remedy."""

    exit_code: ClassVar[int] = 3

    def __init__(
        self,
        message: str,
        *,
        file: str | Path | None = None,
        row: int | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message, self.file, self.row, self.field, self.remedy = message, file, row, field, remedy
        place = ", ".join(
            text
            for text in (
                str(file) if file is not None else "",
                f"row {row}" if row is not None else "",
                f"field '{field}'" if field else "",
            )
            if text
        )
        sentence = f"{place}: {message}" if place else message
        super().__init__(f"{sentence} {remedy}" if remedy else sentence)


class SpecError(InputError):
    """A study file says something that is not a study."""


class DataError(InputError):
    """A data set cannot be read as examples."""


class ModelError(InputError):
    """A model or tokenizer cannot be loaded or lacks what is asked of it."""


class UnknownArchitecture(ModelError):
    """`models/anatomy.py` does not know where the parts of this model live."""


class UnknownComponent(InputError):
    """No probe, method or format of this name is registered."""


class DuplicateComponent(SftProbeError):
    """Two installed packages offer a component under one name."""


class StoreError(InputError):
    """A run folder is missing, unfinished or damaged."""


class DamagedRun(StoreError):
    """A finished run is not what was written; measuring it anew mends that."""


class LockedError(InputError):
    """Another process is writing to the folder."""


class Diverged(SftProbeError):
    """Training left the numbers in which a model learns anything."""


class RunsFailed(SftProbeError):
    """Some runs of a study failed; the others are finished and kept."""


def first_line(error: BaseException) -> str:
    """An unexpected error as one sentence: its kind and the first line of its message."""
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".:")
    return f"{text}."


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy sentence that names the nearest known word, or all known words if none is near."""
    names = sorted(known)
    if close := get_close_matches(word, names, n=1, cutoff=0.5):
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}."
