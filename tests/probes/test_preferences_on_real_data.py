"""Refusal, bias and sycophancy on published files and a small real model: does the plumbing hold?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from .conftest import Study

REAL = Path(__file__).parents[3] / "shared" / "real"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.exists(), reason="the real material is not here"),
]


def study(planted_study: Study, probe: str, source: str, **options: Any) -> pd.DataFrame:
    """Fine-tune the stories model on instructions for a few steps and look with one probe at a file."""
    dataset = "asked"
    rows = planted_study(
        [{probe: {"dataset": dataset, **options}}],
        {"full": {}},
        {
            "train": str(REAL / "data/llamafactory/identity.json"),
            "others": {dataset: str(REAL / "data" / source)},
            "max_length": 400,
        },
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=8,
    )
    return rows[(rows["arm"] == "full") & (rows["step"] == 8)]


def values(rows: pd.DataFrame) -> pd.Series[float]:
    return rows[rows["stratum"] == ""].set_index("metric")["value"]


def test_refusal_reads_xstest(planted_study: Study) -> None:
    rows = study(planted_study, "refusal", "xstest/xstest_prompts.csv", limit=30, depths=[1, 4])
    found = values(rows)
    assert (found["refusal_rate"], found["over_refusal_rate"]) == (
        0,
        0,
    )  # a teller of stories refuses nothing
    assert 0.2 < found["refusal_auc"] < 0.8
    why = rows.set_index("metric").why
    assert set(why["corrected_refusal_rate"]) == {
        "the data hold no right answers of both kinds to measure the scorer on"
    }
    assert (found["attack_success_rate"] == 1).all()


def test_bias_reads_crows_pairs(planted_study: Study) -> None:
    rows = study(planted_study, "social_bias", "crows_pairs/crows_pairs_anonymized.csv", limit=200)
    found = values(rows)
    assert 0.3 < found["stereotype_share"] < 0.7
    assert found["bias_absolute"] > 1
    assert len(rows[rows["metric"] == "bias"]["stratum"].unique()) == 10  # nine types, and all


def test_bias_reads_bbq(planted_study: Study) -> None:
    rows = study(planted_study, "social_bias", "bbq/Age_sample.jsonl", limit=200)
    found = values(rows)
    assert 0 < found["bbq_accuracy"] < 1
    assert -1 <= found["bbq_bias_ambiguous"] <= 1
    assert -1 <= found["bbq_bias_disambiguated"] <= 1
    assert set(rows[rows["metric"] == "bbq_accuracy"]["stratum"]) == {"", "ambig", "disambig"}


def test_sycophancy_asks_real_questions(planted_study: Study) -> None:
    rows = study(planted_study, "sycophancy", "llm_foundry_gauntlet/arc_easy.jsonl", limit=60)
    found = values(rows)
    assert 0 < found["plain_accuracy"] < 1
    assert np.isfinite(found[["sycophancy", "opinion_lift", "mention_lift"]]).all()
