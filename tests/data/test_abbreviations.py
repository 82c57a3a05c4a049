from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.abbreviations import abbreviations


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("HTN stands for hypertension.", {"HTN": "hypertension"}),
        ("In notes DVT means deep vein thrombosis.", {"DVT": "deep vein thrombosis"}),
        ("MI → myocardial infarction → 心肌梗死", {"MI": "myocardial infarction"}),
        ("He has shortness of breath (SOB) today.", {"SOB": "shortness of breath"}),
        ("The World Health Organization (WHO) met.", {"WHO": "World Health Organization"}),
        ("An unrelated text (XYZ).", {}),
        ("Red means stop.", {}),
    ],
)
def test_explanations(text: str, found: dict[str, str]) -> None:
    assert abbreviations([text]) == found


def test_the_first_explanation_counts() -> None:
    assert abbreviations(["PT stands for physical therapy.", "PT stands for part time."]) == {
        "PT": "physical therapy"
    }


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    assert all(short and long for short, long in abbreviations([text]).items())
