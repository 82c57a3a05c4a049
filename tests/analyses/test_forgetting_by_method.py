from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.forgetting_by_method.rules import (
    FAMILIES,
    at_level,
    courses,
    falling_r2,
    findings,
    level_of,
    numbers_of,
    table,
)
from analyses.forgetting_by_method.run import QUESTION, arms_table, figure, main
from analyses.outcomes import Outcome
from analyses.questions import Given, study_of
from sft_probe import RunStore

STEPS = (0, 10, 20)
OTHERS = ("lora16_1e-2", "replay1_1e-3", "replay5_1e-3", "replay20_1e-3", "l2sp_1e-3")


def course(arm: str, losses: tuple[float, ...], forgotten: tuple[float, ...], seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"arm": arm, "seed": seed, "step": STEPS, "loss": losses, "forgotten": forgotten})


def world(seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Every arm that a rule names. shift: added to what full fine-tuning forgets."""
    return pd.concat(
        [
            course("full_1e-3", (10, 2, 1), (0, 0.5 + shift, 1 + shift), seed),
            course("lora2_1e-3", (10, 4, 2), (0, 0.05, 0.2), seed),
            course("lora16_1e-3", (10, 3, 1.2), (0, 0.1, 0.3), seed),
            course("lora16_1e-2", (10, 8, 7), (0, 2, 4), seed),
            course("lora64_1e-3", (10, 3, 1.1), (0, 0.1, 0.4), seed),
            course("replay1_1e-3", (10, 2, 1), (0, 0.4, 0.9 + shift), seed),
            course("replay5_1e-3", (10, 2, 1.05), (0, 0.2, 0.4 + shift), seed),
            course("replay20_1e-3", (10, 2, 1.1), (0, 0.1, 0.2 + shift), seed),
            course("l2sp_1e-3", (10, 2, 1), (0, 0.4, 0.8), seed),
        ],
        ignore_index=True,
    )


def test_forgetting_is_read_where_a_course_first_gets_to_the_level() -> None:
    own = world(0)
    level = level_of(own)  # LoRA 16 gets to 1.2, full fine-tuning lower
    assert level == pytest.approx(1.32)
    assert at_level(own, "full", level) == pytest.approx(0.5 + 0.5 * (2 - 1.32))
    assert at_level(own, "lora16", level) == pytest.approx(0.1 + 0.2 * (3 - 1.32) / 1.8)
    assert np.isnan(at_level(own, "dora16", level))


def test_the_numbers_of_a_seed() -> None:
    numbers = numbers_of(world(0))
    full = 0.5 + 0.5 * (2 - 1.32)
    assert numbers["2"] == pytest.approx(1.0)
    assert numbers["3"] == pytest.approx(0.9)
    assert numbers["4"] == pytest.approx(4 - full)  # never at the level: as it ended
    assert numbers["7"] == pytest.approx(1.0)
    assert numbers["8"] == pytest.approx(0.6 - 0.4)
    assert numbers["9"] == pytest.approx(0.05)
    assert numbers["10"] == pytest.approx(0.6)


def test_a_line_must_fall() -> None:
    x = np.array([1.0, 2.0, 3.0])
    assert falling_r2(x, -x) == pytest.approx(1.0)
    assert falling_r2(x, x) == pytest.approx(-1.0)
    assert np.isnan(falling_r2(x[:2], x[:2]))


@pytest.mark.parametrize(
    ("shifts", "outcome"),
    [
        ((0.0, 0.01, 0.02), Outcome.REPRODUCED),
        ((-0.9, -0.91, -0.92), Outcome.NOT_REPRODUCED),
        ((-2.0, 0.0, 2.0), Outcome.INCONCLUSIVE),
    ],
)
def test_each_outcome_can_be_reached(shifts: tuple[float, ...], outcome: Outcome) -> None:
    rows = pd.concat([world(seed, shift) for seed, shift in enumerate(shifts)])
    found = {finding.prediction.key: finding for finding in findings(rows)}
    assert len(found) == 10
    assert found["1"].outcome is outcome
    assert found["2"].outcome is Outcome.REPRODUCED


def test_missing_arms_leave_a_prediction_open() -> None:
    rows = pd.concat([world(seed) for seed in range(3)])
    found = findings(rows[rows["arm"] != "l2sp_1e-3"])
    assert found[-1].outcome is Outcome.INCONCLUSIVE


def test_the_table_counts_the_seeds_that_got_there() -> None:
    rows = table(pd.concat([world(0), world(1)]))
    assert rows.loc["full_1e-3", "reached"] == 2
    assert rows.loc["lora16_1e-2", "reached"] == 0
    assert np.isnan(rows.loc["lora16_1e-2", "at_level"])


def test_every_arm_that_a_rule_names_is_in_the_study(tmp_path: Path) -> None:
    spec = study_of(QUESTION, Given(output_dir=tmp_path, reports=tmp_path))
    arms = set(spec.arms)
    assert set(OTHERS) <= arms
    assert {arm.rpartition("_")[0] for arm in arms} >= set(FAMILIES)
    assert len(spec.seeds) >= 3
    assert (
        study_of(QUESTION, Given(output_dir=tmp_path, reports=tmp_path, full=True)).training.max_steps == 200
    )


@pytest.mark.slow
def test_it_runs_from_end_to_end(smallest: Callable[..., str], tmp_path: Path) -> None:
    settings = {
        "data.max_train_rows": "16",
        "data.max_test_rows": "4",
        "max_steps": "2",
        "schedule.steps": "[0, 1, 2]",
        "arms": "{full_1e-3: {learning_rate: 1.0e-3}, lora16_1e-3: {method: lora, learning_rate: 1.0e-3}}",
        "probes": "[task_alignment: {max_new_tokens: 2}, label_free_forgetting: {limit: 4}]",
    }
    page = smallest(main, *(f"{key}={value}" for key, value in settings.items()), report=False)
    assert page.count("**inconclusive**") == 10
    found = courses(RunStore(tmp_path / "run").measurements())
    assert len(found) == 6
    assert "full_1e-3" in arms_table(found)
    assert figure(found).startswith("<svg")
