import numpy as np
import pandas as pd
import pytest

from sft_probe.report.inclusion import counterfactual_memorisation


def items(effect: float, runs: int = 4, secrets: int = 30, *, redrawn: bool = True) -> pd.DataFrame:
    """Each run plants half of the secrets; some are easy, and each run has its own level."""
    draw = np.random.default_rng(0)
    easy, rows = draw.normal(0, 1, secrets), []
    for run in range(runs):
        chosen = draw.permutation(secrets) if redrawn else np.arange(secrets)
        level = draw.normal(0, 0.3)
        for place, secret in enumerate(chosen):
            planted = place < secrets // 2
            value = easy[secret] + level + effect * planted + draw.normal(0, 0.05)
            for step, now in ((0, easy[secret]), (40, value)):
                rows.append((f"a-seed{run}", "a", step, "canary_logprob", f"s{secret}", now, planted))
    frame = pd.DataFrame(rows, columns=["run", "arm", "step", "metric", "item", "value", "planted"])
    frame["stratum"] = np.where(frame.pop("planted"), "4 times", "0 times")
    other = frame.assign(arm="b", run="b-seed0", value=99.0)
    return pd.concat([frame, other, frame.assign(metric="exposure", value=7.0)])


@pytest.mark.parametrize("effect", [0.0, 0.8])
def test_the_effect_of_inclusion_is_recovered_from_each_secret_itself(effect: float) -> None:
    found = counterfactual_memorisation(items(effect), "a")
    assert found.effect.value == pytest.approx(effect, abs=0.25)
    assert found.effect.low < effect < found.effect.high
    assert (found.effect.low > 0) == (effect > 0)
    assert 15 < found.effect.n <= 30
    assert len(found.by_item) == found.effect.n


def test_rows_and_secrets_are_told_apart() -> None:
    secrets, rows = items(0.8), items(0.3).assign(metric="row_logprob", arm="a")
    rows = rows[rows.value != 99.0].drop_duplicates(["run", "step", "item"])
    found = counterfactual_memorisation(pd.concat([secrets, rows]), "a", of="rows")
    assert found.effect.value == pytest.approx(0.3, abs=0.25)


def test_without_a_new_draw_nothing_can_be_told() -> None:
    found = counterfactual_memorisation(items(0.8, redrawn=False), "a")
    assert np.isnan(found.effect.value)
    assert found.effect.why == "no item was included in one run and left out of another"
    assert found.by_item.empty


def test_an_arm_without_secrets_has_no_effect() -> None:
    assert np.isnan(counterfactual_memorisation(items(0.8), "c").effect.value)
