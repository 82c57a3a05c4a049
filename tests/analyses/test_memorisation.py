from __future__ import annotations

from collections.abc import Callable
from math import isnan

import pandas as pd
import pytest

from analyses.memorisation.rules import at_equal_learning, at_level, doses, judged, table
from analyses.outcomes import Outcome

Tidy = Callable[..., pd.DataFrame]
YES, NO, OPEN = Outcome.REPRODUCED, Outcome.NOT_REPRODUCED, Outcome.INCONCLUSIVE
STEPS = (0, 10, 20)
PATH = {"full": (0.0, 1.0, 2.0), "lora": (0.0, 0.5, 1.0), "head": (0.0, 0.2, 0.5)}
BITS = {"full": 4.0, "lora": 2.0, "head": 6.0}  # gained between looks


def trained(tidy: Tidy, *signs: float, path: dict[str, tuple[float, ...]] = PATH) -> pd.DataFrame:
    """Learning along a path, exposure rising evenly by so many bits; a sign of -1 turns all effects round."""
    parts = []
    for arm, bits in BITS.items():
        parts.append(
            tidy(
                arm,
                "task_alignment",
                "answer_logprob",
                {step: [value - 5.0] * len(signs) for step, value in zip(STEPS, path[arm], strict=True)},
            )
        )
        own = {"dataset": "canaries"}
        at_looks = {step: [look * bits * s for s in signs] for look, step in enumerate(STEPS)}
        parts.append(tidy(arm, "memorisation", "exposure", at_looks, **own))
        for repeats, share in ((0, 0.0), (1, 0.5), (16, 1.0)):
            last = {20: [share * bits * s for s in signs]}
            parts.append(tidy(arm, "memorisation", "exposure", last, stratum=f"{repeats} times", **own))
        parts.append(tidy(arm, "memorisation", "exposure_per_doubling", {20: [*signs]}, **own))
    return pd.concat(parts)


def test_arms_are_compared_where_the_less_able_one_got_to(tidy: Tidy) -> None:
    found = at_equal_learning(trained(tidy, 1.0), "full", "lora")
    # LoRA rises by 1 nat in all, with 4 bits there; full has risen by 1 nat after one look, with 4 bits
    assert found.loc[0].to_dict() == {"level": 1.0, "full": 4.0, "lora": 4.0}
    head = at_equal_learning(trained(tidy, 1.0), "head", "full")
    assert head.loc[0].to_dict() == {"level": 0.5, "head": 12.0, "full": 2.0}


def test_exposure_is_linear_between_looks_and_undefined_beyond_a_path() -> None:
    learned, exposed = pd.Series([0.0, 1.0, 0.5]), pd.Series([1.0, 3.0, 9.0])
    assert at_level(learned, exposed, 0.25) == 1.5
    assert isnan(at_level(learned, exposed, 1.5))


SLOWER = PATH | {"lora": (0.0, 1.0, 1.0)}  # LoRA learns as fast as full and is half as exposed there


@pytest.mark.parametrize(
    ("signs", "outcome"),
    [((1.0, 1.0, 1.0), YES), ((-1.0, -1.0, -1.0), NO), ((1.0, -1.0, 1.0), OPEN), ((1.0,), OPEN)],
)
def test_every_rule_can_end_in_each_way(tidy: Tidy, signs: tuple[float, ...], outcome: Outcome) -> None:
    rows = trained(tidy, *signs, path=SLOWER)
    assert [finding.outcome for finding in judged(rows)] == [outcome] * 5


def test_an_arm_that_learned_nothing_has_no_number(tidy: Tidy) -> None:
    rows = trained(tidy, 1.0, 1.0, 1.0, path=SLOWER | {"head": (0.0, -1.0, -2.0)})
    findings = {finding.prediction.key: finding for finding in judged(rows)}
    assert findings["5"].outcome is OPEN
    assert "undefined in a seed" in findings["5"].measured
    assert findings["4"].outcome is YES


def test_the_table_has_every_dose(tidy: Tidy) -> None:
    rows = trained(tidy, 1.0, 1.0)
    assert doses(rows) == [0, 1, 16]
    assert "| lora | 0.0 (all seeds alike; 2 seeds) | 1.0 (all seeds alike; 2 seeds) |" in table(rows)


@pytest.mark.slow
def test_the_smallest_run_ends_with_a_page(smallest: Callable[..., str]) -> None:
    from analyses.memorisation.run import main

    page = smallest(
        main,
        "max_steps=1",
        "schedule={points: 0}",
        "data.max_train_rows=16",
        "data.max_test_rows=8",
        "probes=[{task_alignment: {max_new_tokens: 2}},"
        " {memorisation: {references: 31, limit: 8, prefixes: [0]}}]",
    )
    assert page.count("**inconclusive**") == 5
    assert "![exposure](exposure.svg)" in page
