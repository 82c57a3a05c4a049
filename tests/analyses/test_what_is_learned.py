from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from analyses.outcomes import Outcome
from analyses.questions import Given, study_of
from analyses.what_is_learned.rules import (
    FORMED,
    LIKELY,
    QUESTIONS,
    STRICT,
    accounts,
    at_end,
    findings,
    numbers_of,
    smallest,
)
from analyses.what_is_learned.run import QUESTION, figure, main, tables

SEEDS = (0, 1, 2)


def rows(
    probe: str, metric: str, base: float, arms: Mapping[str, float], seed: int, stratum: str = ""
) -> pd.DataFrame:
    """Arms at step 60, and before it at 10 a value that no rule may read; the base at step 0."""
    found = [(arm, seed, step, value) for arm, end in arms.items() for step, value in ((10, 9.0), (60, end))]
    made = pd.DataFrame([*found, ("base", 0, 0, base)], columns=["arm", "seed", "step", "value"])
    return made.assign(probe=probe, metric=metric, stratum=stratum)


def facts(seed: int, known: float) -> list[pd.DataFrame]:
    scores = {
        "E0": {"full": 0.85, "full.format": 0.1, "full.known": known},
        "E1": {"full": 0.9, "full.format": 0.1, "full.known": known},
    }
    return [rows("gain_waterfall", "strict_accuracy", 0.0, of, seed, name) for name, of in scores.items()]


def formed(seed: int, dealt: float) -> list[pd.DataFrame]:
    return [
        rows("task_alignment", STRICT, 0.0, {"dealt": 0.5, "few": 0.8, "full": 0.9}, seed),
        rows("task_alignment", LIKELY, -10.0, {"dealt": dealt, "few": -1.5, "full": -1.0}, seed),
    ]


def studies(known: float = 0.8, dealt: float = -3.0, spread: float = 0.0) -> dict[str, pd.DataFrame]:
    made = {QUESTIONS: [part for s in SEEDS for part in facts(s, known + spread * (s - 1))]}
    made |= {task: [part for s in SEEDS for part in formed(s, dealt + 0.01 * s)] for task in FORMED}
    return {task: pd.concat(parts, ignore_index=True) for task, parts in made.items()}


def test_the_last_step_counts_and_the_base_stands_beside_it() -> None:
    found = at_end(studies()["sentiment"], "task_alignment", STRICT)
    assert found.loc[0].to_dict() == {"dealt": 0.5, "few": 0.8, "full": 0.9, "base": 0.0}


def test_steps_of_a_stratum_add_up_to_the_whole() -> None:
    held, trained = (accounts(studies()[QUESTIONS], stratum).loc[0] for stratum in ("E0", "E1"))
    assert held[["format", "elicited", "generalised", "whole"]].tolist() == pytest.approx(
        [0.1, 0.7, 0.05, 0.85]
    )
    assert trained["injected"] == pytest.approx(0.05)  # 0.9 - 0.85 on the way, 0.8 - 0.8 before it
    assert trained["whole"] == pytest.approx(0.9)


def test_the_numbers_of_each_seed() -> None:
    found = numbers_of(studies())
    assert found["1"][0] == pytest.approx(0.8 - 0.425)
    assert found["2"][0] == pytest.approx(0.6)
    assert found["4"][0] == pytest.approx(0.05)
    assert found["5"][0] == pytest.approx(0.3 - 0.2)
    assert found["6"] == pytest.approx([7 / 9 - 0.5, 7.01 / 9 - 0.5, 7.02 / 9 - 0.5])
    assert found["7"] == pytest.approx([2.0, 1.99, 1.98])
    assert found["8"] == pytest.approx([0.5] * 3)


def test_a_task_without_a_value_leaves_the_smallest_undefined() -> None:
    index = pd.MultiIndex.from_product([["a", "b"], [0]], names=["task", "seed"])
    assert smallest(pd.Series([1.0, float("nan")], index=index)).isna().all()


@pytest.mark.parametrize(
    ("given", "key", "outcome"),
    [
        ({}, "6", Outcome.REPRODUCED),
        ({"dealt": -9.0}, "6", Outcome.NOT_REPRODUCED),
        ({"spread": 0.7}, "2", Outcome.INCONCLUSIVE),
    ],
)
def test_each_outcome_can_be_reached(given: dict[str, float], key: str, outcome: Outcome) -> None:
    found = {finding.prediction.key: finding for finding in findings(studies(**given))}
    assert found[key].outcome is outcome


def test_an_arm_that_is_missing_leaves_its_predictions_open() -> None:
    found = studies()
    found[QUESTIONS] = found[QUESTIONS][found[QUESTIONS]["arm"] != "full.known"]
    assert [f.outcome for f in findings(found)[:3]] == [Outcome.INCONCLUSIVE] * 3


def test_the_studies_have_the_arms_of_the_rules(tmp_path: Path) -> None:
    given = Given(output_dir=tmp_path, reports=tmp_path, full=True)
    spec = study_of(QUESTION, given, task="summarise", part="summarise")
    assert set(spec.arms) == {"full", "few", "dealt"}
    assert spec.output_dir == tmp_path / "summarise"
    assert {"full", "full.format", "full.known"} <= set(study_of(QUESTION, given, file="facts.yaml").arms)


def test_tables_and_figure_show_every_task() -> None:
    said, drawn = tables(studies()), figure(studies())
    assert "| extraction |" in said
    assert "| held out |" in said
    assert drawn.startswith("<svg")


@pytest.mark.slow
def test_it_runs_from_end_to_end(smallest: Callable[..., str]) -> None:
    settings = ("max_steps=2", "data.max_train_rows=60", "data.max_test_rows=4", "schedule.steps=[0, 2]")
    page = smallest(main, *settings, report=False)
    assert page.count("**inconclusive**") == 8
