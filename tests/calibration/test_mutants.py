"""Every probe has a broken twin, and its planted check tells the twin from the probe."""

from collections import Counter
from contextlib import ExitStack

import pytest

from sft_probe.calibration.certificate import Mutant
from sft_probe.calibration.mutants import all_checks, run_mutants
from sft_probe.calibration.mutants.bench import BASE_TWICE, EXCHANGED, judged, replaced
from sft_probe.calibration.verdicts import certify
from sft_probe.registry import available

from .sample import evidence, null, response

OURS = [name for name, entry in available("probes").items() if entry.value.startswith("sft_probe.")]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mutants() -> tuple[Mutant, ...]:
    return run_mutants()


def test_every_probe_has_a_twin_of_its_own_kind(mutants: tuple[Mutant, ...]) -> None:
    """Twins that any probe could have do not count: one must break what this probe does."""
    shared = {EXCHANGED.name, BASE_TWICE.name}
    own = {mutant.probe for mutant in mutants if mutant.name not in shared}
    assert own == set(OURS)


def test_no_twin_passes_for_its_probe(mutants: tuple[Mutant, ...]) -> None:
    passed = [
        f"{m.probe}: {m.name} says {m.twin_value} like {m.probe_value}" for m in mutants if not m.caught
    ]
    assert not passed


def test_every_probe_says_what_was_planted(mutants: tuple[Mutant, ...]) -> None:
    assert all(check.passes(check.value()) for check in all_checks())


def test_a_broken_probe_turns_its_certificate_red() -> None:
    """Were the twin shipped in place of the probe, the probe would not be calibrated."""
    tried = 0
    for check in all_checks():
        name = check.probe.name
        good = {"probes": (name,), "nulls": (null(name),), "responses": (response(name),)}
        for twin in (twin for twin in check.twins if twin.parts):
            with ExitStack() as stack:
                for place, part in twin.parts.items():
                    stack.enter_context(replaced(place, part))
                found = certify(evidence(**good, mutants=tuple(judged((check,))))).of(name)
            assert found is not None
            assert found.verdict == "not calibrated", (name, twin.name)
            tried += 1
        assert certify(evidence(**good, mutants=tuple(judged((check,))))).missed == ()
    assert tried > 25


def test_twins_are_told_apart_by_name(mutants: tuple[Mutant, ...]) -> None:
    names = Counter((mutant.probe, mutant.check, mutant.name) for mutant in mutants)
    assert max(names.values()) == 1


def test_parts_are_put_back() -> None:
    """The checks of a probe give the same values after its twins have been tried."""
    checks = [check for check in all_checks() if check.probe.name == "token_shift"]
    before = [check.value() for check in checks]
    assert all(mutant.caught for mutant in run_mutants({"token_shift"}))
    assert [check.value() for check in checks] == before
