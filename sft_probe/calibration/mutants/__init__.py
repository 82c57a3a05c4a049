"""For every probe at least one deliberately broken twin, and the planted check that must tell them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from sft_probe.calibration.certificate import Mutant
    from sft_probe.calibration.mutants.bench import Check


def all_checks() -> tuple[Check, ...]:
    """Every check of every built-in probe."""
    from sft_probe.calibration.mutants import documents, likelihoods, said, states, tokens, weights

    modules = (likelihoods, documents, said, tokens, states, weights)
    return tuple(check for module in modules for check in module.CHECKS)


def run_mutants(probes: Collection[str] | None = None) -> tuple[Mutant, ...]:
    """The verdict on every twin of the named probes, by default of all; well under a minute."""
    from sft_probe.calibration.mutants.bench import judged

    return tuple(judged(check for check in all_checks() if probes is None or check.probe.name in probes))
