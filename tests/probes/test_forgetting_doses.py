"""What the probes of forgetting show on the planted base where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binom

pytestmark = pytest.mark.slow

Study = Callable[..., pd.DataFrame]
TEST = "planted:question_answering/test"


def test_a_sham_arm_flips_no_more_than_chance_allows(planted_study: Study) -> None:
    """Four runs on the base's own answers, 60 documents of five benchmarks: 20 cells, 1,200 documents."""
    rows = planted_study(
        [{"forgetting": {"limit": 60}}],
        {"sham": {"edits": [{"sham": {"max_new_tokens": 16}}]}},
        {
            "train": "planted:question_answering/train",
            "test": TEST,
            "max_train_rows": 300,
            "max_test_rows": 8,
        },
        seeds=[0, 1, 2, 3],
        learning_rate=1e-4,
    )
    ends = rows[(rows["step"] > 0) & (rows["dataset"] != "all") & (rows["metric"] == "accuracy_change")]
    assert len(ends) == 20
    assert ends["n"].sum() == 1200
    lost = int((ends["ci_high"] < 0).sum())
    assert lost <= binom.ppf(0.95, len(ends), 0.025)  # one side of a 95 % interval


def test_facts_that_are_contradicted_are_the_ones_that_fall(planted_study: Study) -> None:
    """Some people are taught with false values, others with true ones, and nobody of the test set."""
    rows = planted_study(
        [{"knowledge_loss": {"limit": 40}}],
        {"mixed": {}},
        {"train": "planted:mixed_facts/train", "test": TEST, "max_test_rows": 400},
        max_steps=90,
        per_device_train_batch_size=16,
        learning_rate=2e-4,
    )
    ends = rows[rows["step"] > 0]
    forgotten: Any = ends[ends["metric"] == "forgotten_share"].set_index(["dataset", "stratum"])
    assert forgotten.loc["train", "W"]["ci_low"] > forgotten.loc["test", "K1"]["ci_high"]
    place: Any = ends[ends["metric"] == "fact_odds_change"].set_index(["dataset", "stratum"])
    contradicted, untouched, taught = (
        place.loc[key] for key in (("train", "W"), ("test", "K1"), ("train", "U"))
    )
    assert contradicted["ci_high"] < min(0.0, untouched["ci_low"])
    assert taught["value"] > contradicted["ci_high"]
