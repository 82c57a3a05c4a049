from __future__ import annotations

from collections.abc import Callable
from math import isnan, nan

import pandas as pd
import pytest

from analyses.outcomes import Outcome
from analyses.where_it_lives.rules import by_kind, carried, doublings_saved, judged

Tidy = Callable[..., pd.DataFrame]
YES, NO, OPEN = Outcome.REPRODUCED, Outcome.NOT_REPRODUCED, Outcome.INCONCLUSIVE


def found(tidy: Tidy, *signs: float, learn: float = 8.0, revive: float = 2.0) -> pd.DataFrame:
    """Effects as published where a seed's sign is 1, turned round where it is -1."""
    ones = list(signs)
    parts = [
        tidy(
            "full",
            "grafting",
            "graft_necessity",
            {60: values},
            dataset="world_facts",
            module=kind,
            layer=layer,
        )
        for kind, values in (("mlp", [-2.0 * s for s in ones]), ("attention", [-0.5 * s for s in ones]))
        for layer in (1, 2)
    ]
    for kind, harm in (("mlp", -1.0), ("attention", -0.2)):
        own = tidy("full", "grafting", "graft_sufficiency", {60: ones}, dataset="world_facts", module=kind)
        parts.append(own.assign(value=[harm * s for s in ones], null_value=-0.1))
    for size, share in ((1, 0.3), (2, 0.6), (5, 0.9)):
        own = tidy("full", "grafting", "graft_carried", {60: ones}, stratum=f"{size}", dataset="train")
        parts.append(own.assign(value=[share * s for s in ones], null_value=size / 20))
    for arm, score in (("lora", 0.4), ("full", 0.1)):
        metrics = {"intruder_score": score, "intruder_score_gaussian": 0.2, "intruder_score_rotated": 0.1}
        for metric, value in metrics.items():
            values = [value * s if metric == "intruder_score" else value for s in ones]
            parts.append(tidy(arm, "intruder_dimensions", metric, {60: values}, module="all"))
    for metric, value in {
        "shrunk_drift_change": -0.3,
        "shrunk_task_loss_change": 0.1,
        "shrunk_drift_extra": -0.2,
    }.items():
        parts.append(tidy("lora", "intruder_shrinkage", metric, {60: [value * s for s in ones]}))
    swapped = [(learn, revive) if s > 0 else (revive, learn) for s in ones]
    parts.append(tidy("full", "relearning", "steps_to_learn", {60: [pair[0] for pair in swapped]}))
    parts.append(tidy("full", "relearning", "steps_to_revive", {60: [pair[1] for pair in swapped]}))
    parts.append(tidy("full", "relearning", "relearned_share", {60: ones}, stratum="lost", module="step 16"))
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("signs", "outcome"),
    [((1.0, 1.0, 1.0), YES), ((-1.0, -1.0, -1.0), NO), ((1.0, -1.0, 1.0), OPEN), ((1.0,), OPEN)],
)
def test_every_rule_can_end_in_each_way(tidy: Tidy, signs: tuple[float, ...], outcome: Outcome) -> None:
    assert [finding.outcome for finding in judged(found(tidy, *signs))] == [outcome] * 8


def test_grafts_are_summed_over_layers_and_at_most_four_blocks_are_counted(tidy: Tidy) -> None:
    rows = found(tidy, 1.0, 1.0)
    assert list(by_kind(rows, "full", "graft_necessity")["mlp"]) == [-4.0, -4.0]
    own = carried(rows, "full")
    assert (list(own["blocks"]), list(own["share"]), list(own["even"])) == ([2, 2], [0.6, 0.6], [0.1, 0.1])


def test_news_that_was_never_learned_took_all_steps_and_losses_that_never_returned_give_none(
    tidy: Tidy,
) -> None:
    assert doublings_saved(found(tidy, 1.0, learn=nan, revive=4.0), "full")[0] == 2.0  # 16 / 4
    assert isnan(doublings_saved(found(tidy, 1.0, revive=nan), "full")[0])


def test_a_seed_that_lost_too_little_to_try_leaves_its_rule_open(tidy: Tidy) -> None:
    rows = found(tidy, 1.0, 1.0, 1.0)
    tried = rows["metric"].isin(["steps_to_learn", "steps_to_revive"]) & (rows["seed"] == 1)
    assert judged(rows[~tried])[-1].outcome is OPEN


@pytest.mark.slow
def test_the_smallest_run_ends_with_a_page(smallest: Callable[..., str]) -> None:
    from analyses.where_it_lives.run import main

    page = smallest(
        main,
        "max_steps=2",
        "data.max_test_rows=4",
        "probes=[{grafting: {dataset: train, limit: 4, tasks: [world_facts], task_limit: 4, most: 1}},"
        " intruder_dimensions, {intruder_shrinkage: {kept: generic, limit: 4}},"
        " {task_alignment: {limit: 4, max_new_tokens: 4}}]",
        "revive={steps: 1, documents: 4, tasks: [world_facts]}",
    )
    assert page.count("**inconclusive**") == 8
    assert "![old facts by kind](old_facts_by_kind.svg)" in page
