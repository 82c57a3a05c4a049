"""Why a run of a study failed. It stands where the run would, and the next attempt removes it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal

from sft_probe.store.atomic import write_json

if TYPE_CHECKING:
    from pathlib import Path

FAILURE = "failure.json"

Kind = Literal["diverged", "memory", "disk", "input", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed run.

    digest: as in `RunManifest`.  reason: one sentence.  traceback: for whoever looks for the cause.
    """

    run: str
    arm: str
    seed: int
    digest: str
    kind: Kind
    reason: str
    traceback: str = ""

    def save(self, folder: Path) -> None:
        """Write it, in one step."""
        write_json(folder / FAILURE, asdict(self))


def read_failure(folder: Path) -> Failure | None:
    """Why a run failed; None if it did not, or if nothing readable is kept of that."""
    try:
        raw = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
        return Failure(**{field.name: raw[field.name] for field in fields(Failure)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
