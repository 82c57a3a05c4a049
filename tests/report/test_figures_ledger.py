"""The figures of forgetting, on a study whose effects are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sft_probe.report.charts import Chart, draw
from sft_probe.report.figures_frontier import frontier_charts
from sft_probe.report.figures_ledger import ledger_charts
from sft_probe.report.figures_relearning import relearning_charts
from sft_probe.report.findings import Findings, find
from sft_probe.report.frontier import MIXTURES, STEPS, frontier
from sft_probe.report.ledger import ledgers, onsets
from sft_probe.report.material import load
from sft_probe.report.predictors import compare, per_run
from sft_probe.report.words import Words

from .synthetic import ARMS, LEDGER, PROBES, write_study

WORDS = Words("en")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    folder = write_study(tmp_path_factory.mktemp("ledger"), probes=(*PROBES, *LEDGER), steps=(0, 3, 30, 100))
    return find(load(folder))


def charts(found: Findings, words: Words) -> dict[str, Chart]:
    made = [*ledger_charts(found, words), *frontier_charts(found, words), *relearning_charts(found, words)]
    return {one.name: one for one in made if isinstance(one, Chart)}


@pytest.fixture(scope="module")
def made(whole: Findings) -> dict[str, Chart]:
    return charts(whole, WORDS)


def test_every_figure_is_drawn(whole: Findings, made: dict[str, Chart]) -> None:
    names = {"ledger", "forgetting_curve", "matched", "predictors", "transfer", "relearning"}
    assert set(made) == names
    for own in made.values():
        assert all("<svg" in panel for panel in draw(own).panels)
        assert own.table.rows
        assert {len(row) for row in own.table.rows} == {len(own.table.columns)}
    assert {name: one.title for name, one in charts(whole, Words("zh")).items()}.keys() == names


def test_flows_add_up_to_all_documents(whole: Findings, made: dict[str, Chart]) -> None:
    found = ledgers(whole)
    assert set(found) == set(ARMS)
    for ledger in found.values():
        assert sum(ledger.shares.values()) == pytest.approx(1)
    assert found["full_high"].lost > 0.15
    assert found["lora"].lost < 0.05
    assert found["full_high"].chance == {"form": 0.0, "suppressed": 0.2, "erased": 0.8}
    assert "came back" in made["ledger"].title


def test_flips_beyond_those_of_another_seed(whole: Findings) -> None:
    found = ledgers(whole)
    assert found["full_high"].excess.high < 0  # every seed draws anew what it loses
    assert found["lora"].excess.low < 0.01
    assert 0 < found["full_high"].seed_flips.value < 0.5


def test_losses_begin_where_they_are_shown(whole: Findings, made: dict[str, Chart]) -> None:
    first = onsets(whole, "retained")
    assert first["full_high"].step == 3
    assert np.isnan(first["lora"].step)
    assert first["full_high"].p < 0.01
    assert "step 3" in made["forgetting_curve"].title


def test_arms_are_compared_where_they_learned_equally_much(whole: Findings) -> None:
    found = frontier(whole)
    assert found is not None
    assert 0.3 < found.level < 1
    over_steps = {m.path.arm: m for m in found.matched if m.path.kind == STEPS}
    mixed = {m.path.arm: m for m in found.matched if m.path.kind == MIXTURES}
    assert over_steps["full_high"].learned.low <= found.level <= over_steps["full_high"].learned.high
    assert over_steps["full_high"].kept.high < 0
    assert over_steps["full_high"].against.high < 0
    assert 0.5 < mixed["full"].where < 1 == mixed["full_high"].where
    assert over_steps["lora"].volume.value > over_steps["full_high"].volume.value
    assert np.isnan(over_steps["full"].against.value)  # the reference itself


def test_what_drives_the_loss_foretells_it(whole: Findings) -> None:
    table = per_run(whole.material)
    assert len(table) == 2 * len(ARMS)
    assert {"weight_norm", "cka_drift", "learning_rate", "training_loss", "label_free"} <= set(table)
    (first, *_) = compare(whole.material)
    assert first.outcome == "label_free"
    assert (first.runs, first.arms) == (8, 4)
    assert all(found.r2.value <= 1 for found in first.by_predictor.values() if not found.r2.why)
    assert first.null > -1


def test_domains_that_fell_are_named(made: dict[str, Chart]) -> None:
    assert "generic" in made["transfer"].title


def test_studies_without_these_probes_have_none_of_the_figures(found: Findings) -> None:
    names = {one.name for one in (*ledger_charts(found, WORDS), *frontier_charts(found, WORDS))}
    assert names <= {"ledger", "predictors"}
    assert relearning_charts(found, WORDS) == []


def test_too_few_runs_are_not_compared(tmp_path: Path) -> None:
    few = find(load(write_study(tmp_path, arms=("full", "lora"), steps=(0, 3))))
    assert compare(few.material) == ()
