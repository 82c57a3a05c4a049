from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.new_facts.rules import (
    SHARES,
    blocks_of,
    facts_of,
    findings,
    fitted,
    losses,
    right,
)
from analyses.new_facts.run import QUESTION, figure, main, table
from analyses.outcomes import Outcome
from analyses.questions import Given, study_of

COLUMNS = [
    "arm",
    "seed",
    "step",
    "probe",
    "metric",
    "dataset",
    "stratum",
    "module",
    "layer",
    "value",
    "n",
]


def frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame([(*row, 1) if len(row) < len(COLUMNS) else row for row in rows], columns=COLUMNS)


def study(seed: int, harm: float = 0.5, unfitted: float = 3.0) -> list[tuple[object, ...]]:
    """Known facts fall by `harm` times the share of unknown ones. unfitted: loss of unknown rows at 15."""
    rows: list[tuple[object, ...]] = []

    def told(arm: str, kind: str, best: float, end: float) -> None:
        rows.extend(
            (arm, seed, step, "task_alignment", "exact_match", "test", kind, "", -1, value)
            for step, value in ((0, 0.0), (15, best), (60, end), (240, end))
        )

    for arm, share in SHARES.items():
        told(arm, "K1", 0.9, 0.9 - harm * share)
        told(arm, "K4", 0.3, 0.3)
        told(arm, "U", 0.0, 0.0)
    told("half", "K1", 0.91, 0.9)
    told("weak", "K1", 0.7, 0.7)
    told("weak", "K4", 0.4, 0.5)
    for kind, first in (("K1", 0.2), ("U", unfitted)):
        rows.extend(
            ("unknown_50", seed, step, "training_dynamics", "stratum_loss", "train", kind, "", -1, loss)
            for step, loss in ((15, first), (60, 0.2 if first > 1 else 0.0), (240, 0.0))
        )
    return rows


def blocks(seed: int, lost: float = 0.3, mlp: float = -0.4) -> list[tuple[object, ...]]:
    """mlp: necessity of each MLP for old facts, in nats; that of attention is -0.1."""
    rows: list[tuple[object, ...]] = [
        ("one", seed, 9, "forgetting", "accuracy_change", "world_facts", "", "", -1, -lost),
        ("one", seed, 9, "grafting", "graft_change", "world_facts", "", "", -1, -4 * lost),
    ]
    for layer in (1, 2):
        rows += [
            ("one", seed, 9, "attention_drift", "attention_moved_share", "test", "", "", layer, 0.05),
            ("one", seed, 9, "representation_drift", "relative_drift", "generic", "", "mlp", layer, 0.6),
            (
                "one",
                seed,
                9,
                "representation_drift",
                "relative_drift",
                "generic",
                "",
                "attention",
                layer,
                0.2,
            ),
            ("one", seed, 9, "grafting", "graft_necessity", "world_facts", "", "mlp", layer, mlp),
            ("one", seed, 9, "grafting", "graft_necessity", "world_facts", "", "attention", layer, -0.1),
            ("one", seed, 9, "grafting", "graft_necessity", "test", "", "mlp", layer, 5.0),
        ]
    return rows


def test_the_numbers_about_facts() -> None:
    rows = frame(study(0))
    found = facts_of(right(rows, "K1"), losses(rows, "unknown_50"), right(rows, "K4"), 0)
    assert found == pytest.approx({"1": 4.0, "2": 0.5, "3": -0.01, "4": 0.5, "5": 0.2})


def test_losses_are_averaged_over_tokens_from_look_to_look() -> None:
    record = ("unknown_50", 0, "training_dynamics", "stratum_loss", "train", "U", "", -1)
    more = [(*record[:2], step, *record[2:], loss, n) for step, loss, n in ((4, 1.0, 1), (11, 0.2, 3))]
    rows = frame([row for row in study(0) if row[4] != "stratum_loss"] + more)
    assert losses(rows, "unknown_50").to_dict() == pytest.approx({("U", 0, 15): 0.4})


def test_fitted_is_interpolated_and_bounded_by_the_last_step() -> None:
    assert fitted(pd.Series([1.2, 0.0], index=[0, 60])) == pytest.approx(50.0)
    assert fitted(pd.Series([1.2, 0.5], index=[0, 60])) == 60.0
    assert np.isnan(fitted(pd.Series(dtype=float)))


def test_the_numbers_about_blocks() -> None:
    found = blocks_of(frame(blocks(0)))
    assert found == pytest.approx({"6": 0.3, "7": 0.55, "8": 0.05, "9": 0.6})


def test_where_nothing_was_lost_nothing_is_restored() -> None:
    assert np.isnan(blocks_of(frame(blocks(0, lost=0.0)))["9"])


@pytest.mark.parametrize(
    ("harms", "outcome"),
    [
        ((0.5, 0.51, 0.52), Outcome.REPRODUCED),
        ((-0.1, -0.11, -0.12), Outcome.NOT_REPRODUCED),
        ((-0.5, 0.0, 0.6), Outcome.INCONCLUSIVE),
    ],
)
def test_each_outcome_can_be_reached(harms: tuple[float, ...], outcome: Outcome) -> None:
    rows = frame([row for seed, harm in enumerate(harms) for row in study(seed, harm)])
    inside = frame([row for seed, lost in enumerate(harms) for row in blocks(seed, lost)])
    found = {finding.prediction.key: finding.outcome for finding in findings(rows, inside)}
    assert list(found) == [str(number) for number in range(1, 10)]
    assert found["2"] is outcome
    assert found["6"] is outcome


def test_facts_fitted_alike_are_no_reproduction() -> None:
    rows = frame([row for seed in range(3) for row in study(seed, unfitted=0.21 + seed / 1000)])
    inside = frame([row for seed in range(3) for row in blocks(seed)])
    assert findings(rows, inside)[0].outcome is Outcome.NOT_REPRODUCED


def test_missing_arms_leave_predictions_open() -> None:
    rows = frame([row for seed in range(3) for row in study(seed)])
    inside = frame([row for seed in range(3) for row in blocks(seed)])
    found = findings(rows[~rows["arm"].isin(["half", "unknown_25"])], inside)
    assert [f.outcome for f in found[1:3]] == [Outcome.INCONCLUSIVE] * 2


def test_the_studies_have_the_arms_of_the_rules(tmp_path: Path) -> None:
    given = Given(output_dir=tmp_path, reports=tmp_path, full=True)
    assert {*SHARES, "half", "weak"} == set(study_of(QUESTION, given).arms)
    assert study_of(QUESTION, given, file="blocks.yaml", part="blocks").output_dir == tmp_path / "blocks"


def test_table_and_figure_show_every_arm() -> None:
    rows = frame(study(0))
    assert "| unknown_100 | 0.90, 0.40 | 0.30, 0.30 | 0.00, 0.00 |" in table(rows)
    assert figure(rows).startswith("<svg")


@pytest.mark.slow
def test_it_runs_from_end_to_end(smallest: Callable[..., str]) -> None:
    settings = ("max_steps=2", "schedule.steps=[0, 2]", "data.max_test_rows=8", "data.max_train_rows=61")
    page = smallest(main, *settings, report=False)
    assert page.count("**inconclusive**") == 9
