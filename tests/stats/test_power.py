from math import isnan, sqrt

import numpy as np
import pytest
from scipy import stats

from sft_probe.stats.contrasts import mcnemar
from sft_probe.stats.power import detectable_effect, mcnemar_power, planned_effect


@pytest.mark.parametrize(("n", "points"), [(200, 6.3), (500, 4.0), (1000, 2.8), (2000, 2.0)])
def test_detectable_change_at_ten_per_cent_churn(n: int, points: float) -> None:
    assert 100 * detectable_effect(sqrt(0.1 / n)) == pytest.approx(points, abs=0.05)
    assert planned_effect(n) == pytest.approx(detectable_effect(sqrt(0.1 / n)), rel=0.02)


@pytest.mark.parametrize("df", [1, 2, 4, 30])
def test_few_degrees_of_freedom_have_their_exact_power(df: int) -> None:
    effect, critical = detectable_effect(1.0, df=df), stats.t.ppf(0.975, df)
    assert stats.nct.sf(critical, df, effect) == pytest.approx(0.8, abs=1e-4)


def test_miller_asks_for_969_questions() -> None:
    # omega^2 = 1/9 per question and delta = 0.03 (arXiv 2411.00640)
    assert detectable_effect(sqrt(1 / 9 / 969)) == pytest.approx(0.03, abs=1e-4)


def test_what_makes_a_study_blind() -> None:
    plain = planned_effect(600)
    assert planned_effect(600, clusters=60) > 1.5 * plain
    assert planned_effect(600, seeds=3, seed_sd=0.02) > planned_effect(600, seeds=10, seed_sd=0.02) > plain
    assert planned_effect(600, clusters=600) == plain
    assert isnan(planned_effect(1))
    assert isnan(planned_effect(600, seeds=1, seed_sd=0.02))


def test_exact_power_of_mcnemar_by_simulation() -> None:
    counts = np.random.default_rng(0).multinomial(500, [0.075, 0.025, 0.9], size=4000)
    found = np.mean([mcnemar(int(g), int(lost)).mid <= 0.05 for g, lost, _ in counts])
    assert mcnemar_power(500, 0.075, 0.025) == pytest.approx(found, abs=0.015)
    assert mcnemar_power(500, 0.05, 0.05) < 0.055
    assert mcnemar_power(500, 0.0, 0.0) == 0
