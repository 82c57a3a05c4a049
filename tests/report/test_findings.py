from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from sft_probe.report.claims import of_no_loss
from sft_probe.report.findings import Findings, find
from sft_probe.report.material import load
from sft_probe.report.sentences import verdict
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
    strict = replace(found.material, study={**found.material.study, "equivalence_margin": 0.0005})
    text = " ".join(verdict(find(strict), Words()))
    assert "and LoRA r8, 1e-3 (smallest detectable: " in text
    assert "no forgetting" not in text.lower()


def test_no_forgetting_needs_an_equivalence_test(found: Findings) -> None:
    assert found.margin == 0.02
    assert found.unharmed == {"full": 1, "full_high": 0, "lora": 1}
    text = " ".join(verdict(found, Words()))
    assert "No forgetting beyond 2.0 points, by a test of equivalence: " in text
    assert "no evidence of forgetting" not in text


def test_all_claims_are_one_family(found: Findings) -> None:
    abouts = {claim.about for claim in found.claims}
    assert {"learned", "form", "kept", "no_loss", "growth"} <= abouts
    p = np.array([claim.p for claim in found.claims])
    adjusted = np.array([claim.adjusted for claim in found.claims])
    np.testing.assert_allclose(adjusted, false_discovery_control(p))
    assert all(claim.shown in (0, claim.sign) for claim in found.claims)


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


def test_a_loss_on_one_benchmark_is_told_though_the_others_hide_it(tmp_path: Path) -> None:
    nothing = load(write_study(tmp_path, arms=("lora",), steps=(0, 30)))
    base = nothing.items[nothing.items["step"] == 0]
    after = base.assign(step=30)
    own = after["probe"].eq("forgetting") & after["dataset"].eq("world_facts")
    number = after["item"].str.extract(r"(\d+)$", expand=False).astype(int)
    others = after["probe"].eq("forgetting") & after["metric"].eq("correct") & ~own & after["value"].eq(0)
    after.loc[own & after["metric"].eq("correct") & (number % 4 == 0), "value"] = 0.0
    after.loc[others & (number % 2 == 0), "value"] = 1.0
    found = find(replace(nothing, items=pd.concat([base, after], ignore_index=True)))
    assert found.shown_kept == {"lora": 0}
    assert found.lost_on == {"lora": ("world_facts",)}
    text = " ".join(verdict(found, Words()))
    assert "on single ones accuracy fell: LoRA r8, 1e-3 on world_facts" in text
    assert "no evidence of forgetting" not in text


def test_likelier_answers_are_told_where_strict_scoring_shows_nothing(tmp_path: Path) -> None:
    nothing = load(write_study(tmp_path, arms=("lora",), steps=(0, 30)))
    base = nothing.items[nothing.items["step"] == 0]
    scored = base[base["metric"].eq("exact_match")]
    likely = scored.assign(metric="answer_logprob", value=-4.0)
    noise = pd.Series(range(len(scored)), index=scored.index) % 5 / 10
    later = pd.concat([base.assign(step=30), likely.assign(step=30, value=-3.0 + noise)])
    items = pd.concat([base, likely, later], ignore_index=True)
    text = " ".join(verdict(find(replace(nothing, items=items)), Words()))
    assert "No arm showed a gain" in text
    assert "likelier all the same in LoRA r8, 1e-3: +1.20 (" in text


def test_right_choices_that_lose_ground_are_told_before_any_answer_flips(tmp_path: Path) -> None:
    nothing = load(write_study(tmp_path, arms=("lora",), steps=(0, 30)))
    base = nothing.items[nothing.items["step"] == 0]
    items = pd.concat([base, base.assign(step=30)], ignore_index=True)
    rows = nothing.measurements.copy()
    margins = rows["metric"].eq("margin_change") & rows["step"].eq(30)
    rows.loc[margins, ["value", "ci_low", "ci_high"]] = 0.0, -0.4, 0.4
    rows.loc[margins & rows["dataset"].eq("world_facts"), ["value", "ci_low", "ci_high"]] = -1.0, -1.4, -0.6
    found = find(replace(nothing, items=items, measurements=rows))
    assert {arm: [*tasks] for arm, tasks in found.less_sure_on.items()} == {"lora": ["world_facts"]}
    text = " ".join(verdict(found, Words()))
    assert "in nats: LoRA r8, 1e-3 on world_facts \u22121.00 (\u22121.40\u00a0to\u00a0\u22120.600)" in text
    assert "no evidence of forgetting" not in text


def test_no_sentence_is_more_certain_than_the_interval_beside_it(found: Findings) -> None:
    for arm in found.arms:
        for shown, change in (
            (found.shown_learned[arm.name], found.learned[arm.name]),
            (found.shown_kept[arm.name], found.kept[arm.name]),
        ):
            if shown:
                assert min(shown * change.estimate.low, shown * change.estimate.high) > 0
        if found.unharmed[arm.name]:
            assert found.kept[arm.name].estimate.low > -found.margin


def test_an_interval_beyond_the_margin_is_no_proof_of_no_loss(found: Findings) -> None:
    change = replace(found.kept["lora"], no_loss=1e-4)
    assert of_no_loss("lora", change, 0.02).sign == 1
    wide = replace(change, estimate=change.estimate._replace(low=-0.021))
    assert of_no_loss("lora", wide, 0.02).sign == 0
