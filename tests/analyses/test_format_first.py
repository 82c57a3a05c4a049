from __future__ import annotations

from collections.abc import Callable
from math import isnan

import pandas as pd
import pytest

from analyses.format_first.rules import LEARNED, judged, time_to, times
from analyses.outcomes import Outcome

Tidy = Callable[..., pd.DataFrame]
STEPS = (0, 1, 2, 4, 8, 16, 32)
IN_ORDER = (2, 4, 8, 16, 8)
REVERSED = (16, 8, 4, 2, 2)
YES, NO, OPEN = Outcome.REPRODUCED, Outcome.NOT_REPRODUCED, Outcome.INCONCLUSIVE


def learned(tidy: Tidy, *seeds: tuple[int, ...]) -> pd.DataFrame:
    """Each thing rises evenly up to a step of its own. seeds: these steps, in the order of `LEARNED`."""
    return pd.concat(
        [
            tidy(
                "full",
                by_step={step: [min(1.0, step / seed[i]) for seed in seeds] for step in STEPS},
                **place,
            )
            for i, place in enumerate(LEARNED.values())
        ]
    )


def test_the_time_is_when_nine_tenths_of_the_change_are_made(tidy: Tidy) -> None:
    found = times(learned(tidy, IN_ORDER))
    assert list(found.loc[0]) == pytest.approx([0.9 * step for step in IN_ORDER])
    assert isnan(time_to(pd.Series([0.5, 0.7, 0.5], index=[0, 4, 8])))  # nothing was learned in the end
    # from 0.2 to 1.0: 0.92 lies between 0.6 at step 4 and 1.0 at step 8
    assert time_to(pd.Series([0.2, 0.6, 1.0], index=[0, 4, 8])) == pytest.approx(4 + 4 * 0.8)


@pytest.mark.parametrize(
    ("seeds", "outcome"),
    [
        ((IN_ORDER, IN_ORDER, IN_ORDER), YES),
        ((REVERSED, REVERSED, REVERSED), NO),
        ((IN_ORDER, REVERSED, IN_ORDER), OPEN),
        ((IN_ORDER,), OPEN),
    ],
)
def test_every_rule_can_end_in_each_way(
    tidy: Tidy, seeds: tuple[tuple[int, ...], ...], outcome: Outcome
) -> None:
    assert [finding.outcome for finding in judged(learned(tidy, *seeds))] == [outcome] * 5


def test_a_seed_that_learned_nothing_leaves_the_rules_open(tidy: Tidy) -> None:
    rows = learned(tidy, IN_ORDER, IN_ORDER, IN_ORDER)
    form = (rows["metric"] == "stop_rate") & (rows["seed"] == 0)
    rows.loc[form, "value"] = 1.0
    outcomes = {finding.prediction.key: finding.outcome for finding in judged(rows)}
    assert (outcomes["1"], outcomes["4"], outcomes["5"]) == (OPEN, OPEN, OPEN)
    assert (outcomes["2"], outcomes["3"]) == (YES, YES)


@pytest.mark.slow
def test_the_smallest_run_ends_with_a_page(smallest: Callable[..., str]) -> None:
    from analyses.format_first.run import main

    page = smallest(
        main,
        "max_steps=2",
        "schedule={points: 1}",
        "data.max_train_rows=24",
        "data.max_test_rows=4",
        "probes=[{task_alignment: {dataset: train, max_new_tokens: 4}}, "
        "{format_adherence: {dataset: train, max_new_tokens: 4}}, "
        "{data_distribution: {dataset: train, limit: 8, max_new_tokens: 4}}]",
    )
    assert page.count("**inconclusive**") == 5
    assert "![order](order.svg)" in page
