from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses.kl_predicts_forgetting.rules import FEWEST, compared, difference, findings, usable
from analyses.kl_predicts_forgetting.run import figure, main, said
from analyses.outcomes import Outcome


def runs(n: int = 40, **columns: np.ndarray) -> pd.DataFrame:
    """Forgetting is a quadratic in forward KL with a little noise; the other predictors are noise."""
    kl = np.linspace(0, 2, n)
    rng = np.random.default_rng(2)
    found = {
        "study": "a",
        "arm": [f"arm{i // 3}" for i in range(n)],
        "forward_kl": kl,
        "weight_norm": rng.normal(size=n),
        "training_loss": rng.normal(size=n),
        "accuracy": 0.1 * kl**2 + 0.005 * rng.normal(size=n),
        "label_free": kl,
    }
    return pd.DataFrame({**found, **columns})


def outcomes(table: pd.DataFrame) -> list[Outcome]:
    return [finding.outcome for finding in findings(usable(table))]


def test_a_quadratic_in_kl_is_found() -> None:
    assert outcomes(runs()) == [Outcome.REPRODUCED] * 3
    assert compared(usable(runs()))["forward_kl"].r2.value > 0.95


def test_a_quadratic_in_the_norm_is_not_credited_to_kl() -> None:
    table = runs()
    swapped = table.assign(forward_kl=table["weight_norm"], weight_norm=table["forward_kl"])
    assert outcomes(swapped)[1] is Outcome.NOT_REPRODUCED


def test_two_that_say_the_same_are_not_told_apart() -> None:
    kl = runs()["forward_kl"].to_numpy()
    rng = np.random.default_rng(3)
    noisy = runs(weight_norm=kl + 0.01 * rng.normal(size=40), forward_kl=kl + 0.01 * rng.normal(size=40))
    assert outcomes(noisy)[1] is Outcome.INCONCLUSIVE


def test_few_runs_decide_nothing() -> None:
    assert outcomes(runs(FEWEST - 1)) == [Outcome.INCONCLUSIVE] * 3


def test_a_predictor_against_itself_differs_by_nothing() -> None:
    table = runs()
    same = difference(*(table[name].to_numpy() for name in ("forward_kl", "forward_kl", "accuracy")))
    assert (same.value, same.low, same.high) == pytest.approx((0.0, 0.0, 0.0))


def test_runs_without_a_number_are_left_out() -> None:
    table = runs()
    table.loc[:4, "weight_norm"] = np.nan
    assert len(usable(table)) == 35
    assert usable(table.drop(columns="training_loss")).empty


def test_page_and_figure_show_every_predictor() -> None:
    words, drawn = said(runs()), figure(usable(runs()))
    assert "Runs: a 40 (14 arms)." in words
    assert words.count("| accuracy lost on benchmarks |") == 3
    assert "last training loss" in drawn


def test_a_folder_without_runs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--reports", str(tmp_path / "page")]) == 3
    assert str(tmp_path) in capsys.readouterr().out
