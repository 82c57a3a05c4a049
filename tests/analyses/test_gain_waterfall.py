"""The class verdicts of `science.md` section 4.2 on the planted world, with fewer rows and seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyses.gain_waterfall.rules import classes, outcomes
from analyses.gain_waterfall.run import study
from sft_probe import RunStore, run_study


@pytest.mark.slow
def test_verdicts_are_right_in_every_seed(tmp_path: Path) -> None:
    spec = study(tmp_path, 2, full_only=True)
    data = spec.data.model_copy(update={"max_train_rows": 300, "max_test_rows": 8})
    spec = spec.model_copy(
        update={
            "data": data,
            "data_seed": 0,
            "decompose": spec.decompose.model_copy(update={"items": 40}) if spec.decompose else None,
        }
    )
    run_study(spec)
    met = outcomes(RunStore(tmp_path), classes(tmp_path))
    assert len(met) == 2
    assert met.to_numpy().all(), met.to_string()
