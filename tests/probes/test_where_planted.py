"""An arm of which only some blocks are trained moves nothing before them, and everything behind."""

from collections.abc import Callable

import pandas as pd
import pytest

Study = Callable[..., pd.DataFrame]
DATA = {
    "train": "planted:question_answering/train",
    "test": "planted:question_answering/test",
    "max_train_rows": 200,
    "max_test_rows": 60,
}
PROBES = [
    {"representation_drift": {"limit": 40}},
    {"representation_geometry": {"limit": 40, "subspace": [1]}},
    {"shift_direction": {"limit": 30, "depths": [0.5, 0.75]}},
    {"layer_readouts": {"limit": 60}},
    {"logit_lens": {"limit": 15, "fit_limit": 20, "steps": 3}},
    {"attention_drift": {"limit": 10}},
]
STILL = {  # metric and what it is where nothing moved; attention of block 4 reads what block 3 left
    "relative_drift": 0.0,
    "procrustes_angle": 0.0,
    "shift_length": 0.0,
    "readout_rotated": 0.0,
    "readout_erased": 0.0,
    "attention_moved_share": 0.0,
}


def values(rows: pd.DataFrame, metric: str, module: str = "") -> "pd.Series[float]":
    own = rows[(rows["metric"] == metric) & (rows["module"] == module) & (rows["layer"] >= 0)]
    return own.set_index("layer")["value"]


@pytest.fixture
def trained(planted_study: Study) -> pd.DataFrame:
    arms = {"upper": {"method": "layers", "method_options": {"first": 4, "last": 5}}}
    found = planted_study(PROBES, arms, DATA, max_steps=20)
    return found[found["step"] == found["step"].max()]


def test_drift_begins_where_training_did(trained: pd.DataFrame) -> None:
    for metric, still in STILL.items():
        found = values(trained, metric)
        assert (found.loc[:3] - still).abs().max() <= 1e-6, metric
    for metric in ("relative_drift", "procrustes_angle", "shift_length", "attention_moved_share"):
        assert values(trained, metric).loc[4:].min() > 0.01, metric
    lens = values(trained, "lens_gold_logprob_change", "logit")
    assert lens.loc[:3].abs().max() <= 1e-6
    assert lens.loc[4:].min() > 0
    added, random = (values(trained, f"shift_{what}_gain") for what in ("added", "random"))
    assert abs(added.loc[3]) <= 1e-6
    assert added.loc[4] > random.loc[4]
