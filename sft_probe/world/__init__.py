"""The planted world: a synthetic English world with known truth, and the base that read about it.

Generating the world needs no torch; `pretrain` and `evaluate_gates` import it when called.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from sft_probe.world.card import write_card
from sft_probe.world.files import WorldFiles, materialise
from sft_probe.world.planet import World, build

if TYPE_CHECKING:
    from sft_probe.world.gates import GateReport
    from sft_probe.world.pretraining import Recipe

__all__ = [
    "World",
    "WorldFiles",
    "base_path",
    "build",
    "evaluate_gates",
    "materialise",
    "pretrain",
    "write_card",
    "write_report",
]


def base_path() -> Path:
    """The folder of the base model that ships with the package."""
    return Path(str(resources.files("sft_probe.world") / "base"))


def pretrain(work: Path, out: Path, recipe: Recipe | None = None, *, threads: int = 2) -> Path:
    """Pretrain a base (resumable in `work`) and write it to `out`; see `world.pretraining`."""
    from sft_probe.world.pretraining import pretrain as run

    return run(work, out, recipe, threads=threads)


def evaluate_gates(model_path: Path, seed: int = 0) -> GateReport:
    """Score a base against the gates that were written down before it was trained."""
    from sft_probe.world.gates import evaluate_gates as run

    return run(model_path, seed)


def write_report(report: GateReport, folder: Path) -> Path:
    """Put a gate report as `gates.json` beside the weights it is about."""
    from sft_probe.world.gates import write_report as run

    return run(report, folder)
