"""The simulation of `analyses/statistics` in small, and the frame around it."""

from __future__ import annotations

from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest

from analyses.statistics.report import write_report
from analyses.statistics.run import all_cells, kept, simulate
from analyses.statistics.simulate import Cell, Outcome, Said, holds, rejects, run
from sft_probe.stats.contrasts import change_interval
from sft_probe.stats.intervals import Interval, mean_interval, share_interval
from sft_probe.stats.seeds import over_seeds, over_seeds_and_items

DATA_SETS = 400
SLACK = 3.5  # Monte-Carlo standard errors


def coin(share: float, repeats: bool = False) -> Cell:
    """A cell whose rate is known."""
    return Cell(
        method="coin",
        design=f"{share:g}",
        kind="interval",
        draw=lambda rng, count: (rng.random(count) < share).astype(float),
        judge=lambda row, rng: Said(float(row), 1.0),
        replicates=4000,
        repeats=repeats,
    )


def test_a_cell_counts_what_it_is_told() -> None:
    found = run(coin(0.95))
    assert found.rate == pytest.approx(0.95, abs=0.015)
    assert found.error == pytest.approx((found.rate * (1 - found.rate) / 4000) ** 0.5)
    assert found == run(coin(0.95, repeats=True))
    assert run(coin(0.5), 100).replicates == 100


def outcome(rate: float, kind: str = "interval") -> Outcome:
    return Outcome(
        method="m",
        design=f"{rate}",
        kind=kind,
        rate=rate,
        error=0.002,
        replicates=10_000,
        silent=0.0,
        width=nan,
    )


@pytest.mark.parametrize(
    ("found", "off"),
    [
        (outcome(0.93), 0),
        (outcome(0.97), 0),
        (outcome(0.92), -0.01),
        (outcome(0.99), 0.02),
        (outcome(0.06, "test"), 0),
        (outcome(0.0, "test"), 0),
        (outcome(0.07, "test"), 0.01),
    ],
)
def test_the_pass_rule(found: Outcome, off: float) -> None:
    assert found.off == pytest.approx(off)
    assert found.passed == (off == 0)


def test_what_is_undefined_is_not_counted() -> None:
    assert isnan(holds(Interval(value=0.5), 0.5).hit)
    assert isnan(rejects(nan).hit)
    assert holds(Interval(value=0.5, low=0.4, high=0.6), 0.6).hit == 1


def test_finished_cells_are_not_run_again(tmp_path: Path) -> None:
    cell = next(cell for cell in all_cells() if cell.method == "over_seeds")
    file = tmp_path / "cells.jsonl"
    simulate([cell], file, 50, fresh=False)
    simulate([cell], file, 50, fresh=False)
    assert len(file.read_text("utf-8").splitlines()) == 1
    simulate([cell], file, 80, fresh=False)
    assert kept(file)[cell.key].replicates == 80
    page = write_report(tmp_path, kept(file).values(), 2).read_text("utf-8")
    assert "| over_seeds |" in page
    assert "1 of 2 cells are done" in page
    assert (tmp_path / "coverage.svg").is_file()


@pytest.mark.parametrize(("n", "reason"), [(0, "no items"), (1, "one item")])
def test_no_item_and_one_have_no_limits(n: int, reason: str) -> None:
    values = np.ones(n)
    for found in (mean_interval(values), share_interval(values), change_interval(values, values)):
        assert isnan(found.low)
        assert found.why == reason
    assert over_seeds(values).why == ("no seeds" if n == 0 else "one seed")
    assert over_seeds_and_items(np.ones((1, 3))).why == "one seed"


@pytest.mark.slow
def test_intervals_cover_and_tests_keep_their_size_in_small() -> None:
    """One cell of each function that the full simulation passes; allowance for 400 data sets."""
    first = {cell.method: cell for cell in all_cells() if cell.key in REPRESENTATIVE}
    assert len(first) == len(REPRESENTATIVE)
    for cell in first.values():
        found = run(cell, DATA_SETS)
        allowed = SLACK * (0.05 * 0.95 / DATA_SETS) ** 0.5
        if found.kind == "interval":
            assert 0.93 - allowed < found.rate, cell.key
        else:
            assert found.rate < 0.06 + allowed, cell.key


REPRESENTATIVE = {
    "mean_interval · 5 clusters of 5, correlation 0.3",
    "share_interval · 40 clusters of 5, rate 0.5, correlation 0.3",
    "change_interval · 200 items, gained 0.03, lost 0.08",
    "over_seeds · 3 seeds",
    "over_seeds_and_items · 3 seeds, 100 items, seeds differ by 0.1",
    "difference_interval · 5 against 50 items, standard deviations 1 and 3",
    "auc_interval · 100 against 100 items, area 0.8",
    "jackknife_interval · correlation of 20 pairs, true value 0.8, at most 20 groups",
    "bootstrap_interval · ratio of two means over 40 clusters",
    "hierarchical_interval · mean over 3 seeds and 40 items, seeds differ by 0.1",
    "half_time · 3 seeds, 100 right or wrong answers",
    "seed_flip_rate · 3 seeds, 50 items",
    "excess_churn · 2 seeds, 200 items, no more than drawing anew",
    "mcnemar mid-p · 200 items, churn 0.1",
    "change_test · 10 clusters of 5, churn 0.3, correlation 0.3",
    "change_equivalence, no loss · 500 items, gained 0.02, lost 0.04, margin 0.02",
    "sign_test · 10 normal items",
    "label_test · 5 against 5 items, one distribution",
    "jonckheere · 5 doses of 3 runs",
    "spearman · 10 pairs",
    "adjust: any claim · 60 true nulls, tests correlated by 0",
    "first_loss · 5 looks at 20 normal values",
    "change_point · 6 looks at 20 answers, rate 0.3 throughout",
}
