from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sft_probe.calibration.plants import classes
from sft_probe.calibration.plants.classes import ALLOWED, GAINED, LOSSES, LOST, TRUTHS, Judged, Ledger


def test_every_truth_has_a_right_verdict_and_every_planted_verdict_a_truth() -> None:
    assert set(ALLOWED) == {*TRUTHS.values(), *(truth for truth, _ in LOSSES.values())}
    verdicts = {verdict for allowed in ALLOWED.values() for verdict in allowed}
    assert verdicts == {"elicited", "injected", "memorised", "overwritten", "suppressed", "erased"}


def test_sensitivity_and_specificity_by_hand() -> None:
    """Ten known facts, one of them called injected; eight new ones, two of them called elicited."""
    ledger = Ledger(
        GAINED,
        (
            Judged("known", Counter(elicited=9, injected=1)),
            Judged("unknown", Counter(injected=4, memorised=2, elicited=2)),
            Judged("known in one wording", Counter(injected=5)),
            Judged("contradicted", Counter(overwritten=3)),
        ),
    )
    assert ledger.sensitivity("known") == (9, 10)
    assert ledger.sensitivity("unknown") == (6, 8)
    assert ledger.specificity("known") == (14, 16)  # of 8 + 5 + 3 others two are called elicited
    assert ledger.specificity("unknown") == (12, 13)  # what else may be injected does not count against it
    assert ledger.specificity("contradicted") == (23, 23)


def test_studies_of_the_classes_train_the_arms_that_are_judged_and_no_other(tmp_path: Path) -> None:
    gained, lost = classes._gained(tmp_path, 4), classes._lost(tmp_path, 4)
    assert list(gained.arms) == ["arm"]
    assert list(lost.arms) == list(LOSSES)
    assert gained.decompose
    assert lost.decompose
    told = tmp_path / "classes" / "told-seed4" / "runs" / "arm-seed4" / "model"
    assert lost.base.model_name_or_path == str(told)
    assert lost.data == classes._told(tmp_path, 4).data  # the facts that it can say are those that are asked


@pytest.mark.sweep
@pytest.mark.slow
def test_the_ledger_tells_planted_classes_apart(tmp_path: Path) -> None:
    classes.run(tmp_path, [7])
    gained, lost = classes.ledgers(tmp_path, [7])
    assert (gained.side, lost.side) == (GAINED, LOST)
    for truth in ("known", "unknown", "contradicted"):
        right, items = gained.sensitivity(truth)
        assert right > items / 2 > 0, truth
    right, items = lost.sensitivity("hidden behind a form")
    assert right > items / 2 > 0
