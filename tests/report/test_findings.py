from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from sft_probe.report.findings import Findings, find, verdict
from sft_probe.report.material import load
from sft_probe.report.words import Words

from .synthetic import write_study


def test_planted_effects_are_found(found: Findings) -> None:
    assert found.shown_learned == {"full": 1, "full_high": 1, "lora": 1}
    assert found.shown_kept["full_high"] == -1
    assert found.shown_kept["lora"] == 0
    best, worst = found.best(), found.worst()
    assert best is not None
    assert worst is not None
    assert (best.name, worst.name) == ("full", "full_high")


def test_strict_gain_beyond_the_lenient_one_is_form(found: Findings) -> None:
    assert found.form["full"].direction == 1
    text = " ".join(verdict(found, Words()))
    assert "form, not knowledge: 61" in text


def test_forgetting_grows_with_the_learning_rate(found: Findings) -> None:
    (growth,) = found.growth
    assert [arm.name for arm in growth.arms] == ["full", "full_high"]
    assert growth.contrast.direction == -1
    assert "1e-4" in verdict(found, Words())[-1]


def test_what_is_not_shown_is_not_denied(found: Findings) -> None:
    text = " ".join(verdict(found, Words()))
    assert "and LoRA r8, 1e-3 (smallest detectable: " in text
    assert "no forgetting" not in text.lower()


def test_a_loss_that_only_these_seeds_show_says_so(found: Findings) -> None:
    change = found.kept["full_high"]
    unsure = replace(change, anew=change.estimate._replace(low=-0.9, high=0.3))
    text = " ".join(verdict(replace(found, kept={**found.kept, "full_high": unsure}), Words()))
    assert "for new seeds \u221290.0" in text


def test_an_arm_without_effect_gets_no_claim(tmp_path: Path) -> None:
    study = write_study(tmp_path, arms=("lora",), steps=(0, 30))
    nothing = load(study)
    base = nothing.items[nothing.items["step"] == 0]
    items = pd.concat([base, base.assign(step=30)], ignore_index=True)
    text = " ".join(verdict(find(replace(nothing, items=items)), Words()))
    assert "No arm showed a gain on the task (smallest detectable:" in text
    assert "no evidence of forgetting" in text
    assert "learned the task" not in text
