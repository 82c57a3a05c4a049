"""What can be registered is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.registry import Kind, available

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")


@pytest.mark.parametrize("kind", ["methods", "regularisers", "edits"])
def test_every_part_of_training_stands_on_its_page(kind: Kind) -> None:
    assert [name for name in available(kind) if f"`{name}`" not in PAGE] == []
