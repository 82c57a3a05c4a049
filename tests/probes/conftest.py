from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from sft_probe.schema import Measurement, Measurements

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]


@pytest.fixture
def find() -> Find:
    """The one row of a metric at a place: `find(found, "cka", layer=2)`; strata and modules default to ""."""

    def find_row(found: Measurements, metric: str, **where: object) -> Measurement:
        place = {"stratum": "", "module": "", **where}
        (row,) = (
            row
            for row in found.rows
            if row.metric == metric and all(getattr(row, key) == value for key, value in place.items())
        )
        return row

    return find_row


@pytest.fixture
def planted_study(tmp_path: Path) -> Study:
    """Train the planted base and return all measurement rows of a study.

    `planted_study(probes, arms, data, **settings)` in the words of study.yaml; looks are at step 0 and the
    last one, one seed, 30 steps of 8 rows at 1e-3 unless settings say otherwise.
    """

    def run(probes: list[Any], arms: dict[str, Any], data: dict[str, Any], **settings: Any) -> pd.DataFrame:
        from sft_probe.execute.local import run_study
        from sft_probe.store.runs import RunStore
        from sft_probe.study.yaml import parse_study

        study = {
            "name": "planted",
            "output_dir": str(tmp_path / "study"),
            "model_name_or_path": "planted",
            "data": data,
            "seeds": [0],
            "max_steps": 30,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-3,
            "schedule": {"points": 0},
            "arms": arms,
            "probes": probes,
            **settings,
        }
        run_study(parse_study(yaml.safe_dump(study)))
        return RunStore(tmp_path / "study").measurements()

    return run
