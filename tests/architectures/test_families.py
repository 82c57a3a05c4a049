"""Tiny models of every family: what is listed is what works, and what works passes all checks."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from sft_probe.testing.families import FAMILIES, TinyFamily
from sft_probe.testing.survey import Architecture, survey

LISTED = {
    row["model_type"]: Architecture(**row)
    for row in json.loads((resources.files("sft_probe.testing") / "architectures.json").read_text())["rows"]
}
FAST = {"llama", "gpt2", "opt", "gemma3_text", "qwen3_moe", "bloom", "mamba", "lfm2"}


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(
            family, id=family.model_type, marks=() if family.model_type in FAST else pytest.mark.slow
        )
        for family in FAMILIES
    ],
)
def test_what_is_listed_is_what_works(family: TinyFamily, tmp_path: Path) -> None:
    """Runs all checks of `sft_probe.testing.architectures`; one that fails would stand in the row."""
    assert survey(family, tmp_path) == LISTED[family.model_type]


def test_every_family_is_listed_once() -> None:
    assert list(LISTED) == [family.model_type for family in FAMILIES]


def test_most_families_work_and_the_others_say_why() -> None:
    whole = [row for row in LISTED.values() if (row.full, row.lora, row.states) == ("yes", "yes", "yes")]
    assert len(whole) >= 50
    assert [
        row.family for row in LISTED.values() if "no" in (row.full, row.lora, row.states) and not row.why
    ] == []
    assert [row.family for row in LISTED.values() if row.shared_prefix == "no" and not row.why] == []
