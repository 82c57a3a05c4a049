from __future__ import annotations

import pytest

from sft_probe.errors import SpecError
from sft_probe.study.templates import read_template, template_names
from sft_probe.study.yaml import parse_study


@pytest.mark.parametrize("name", template_names())
def test_shipped_studies_are_valid(name: str) -> None:
    assert parse_study(read_template(name)).arms


def test_the_demo_compares_what_it_promises() -> None:
    """Full and LoRA, with and without replay, at more than one learning rate, over two seeds, offline."""
    study = parse_study(read_template("demo"))
    assert study.base.model_name_or_path == "planted"
    assert len(study.seeds) == 2
    assert {arm.method for arm in study.arms.values()} == {"full", "lora"}
    assert any(arm.regulariser.replay for arm in study.arms.values())
    sources = [study.data.train, study.data.test, *study.data.others.values()]
    assert all(source.startswith("planted:") for source in sources if source)


def test_unknown_templates_are_refused() -> None:
    with pytest.raises(SpecError, match="Did you mean 'demo'"):
        read_template("demmo")
