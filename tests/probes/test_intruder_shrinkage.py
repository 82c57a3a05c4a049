from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Example, Message
from sft_probe.observe.needs import Need
from sft_probe.observe.observations import Observed, TokenDivergenceSeen
from sft_probe.probes.intruder_shrinkage import KEPT, IntruderShrinkage
from sft_probe.schema import Measurement, Measurements

Find = Callable[..., Measurement]
PROBE = IntruderShrinkage()
ROWS = tuple(Example(id=f"r{i}", messages=(Message("user", "q"),), target="a b") for i in range(4))


def look(loss: float, drift: float) -> TokenDivergenceSeen:
    """Two tokens to a row."""
    tokens = 2 * len(ROWS)
    zero, one = np.zeros(tokens), np.ones(tokens)
    return TokenDivergenceSeen(
        examples=ROWS,
        example=np.repeat(np.arange(len(ROWS)), 2),
        position=np.tile(np.arange(2), len(ROWS)),
        token=("a", "b") * len(ROWS),
        kl_tuned_base=zero,
        kl_base_tuned=drift * one,
        base_rank=one.astype(np.int64),
        base_ties=zero.astype(np.int64),
        entropy_tuned=zero,
        entropy_base=zero,
        logprob_tuned=-loss * one,
        logprob_base=zero,
    )


def measured(
    plain: TokenDivergenceSeen, intruder: TokenDivergenceSeen, other: TokenDivergenceSeen
) -> Measurements:
    found: dict[Need, TokenDivergenceSeen] = {}
    for need in PROBE.needs():
        (change,) = need.under or (None,)  # type: ignore[union-attr]
        found[need] = plain if change is None else other if change.instead else intruder  # type: ignore[union-attr]
    return PROBE.measure(Observed(found), Observed(found))  # type: ignore[arg-type]


def test_effects_are_changes_from_the_model_as_it_is(find: Find) -> None:
    found = measured(look(2.0, 1.0), look(2.1, 0.4), look(2.5, 0.9))
    values = {
        ("test", "shrunk_task_loss_change"): 0.1,
        ("test", "neighbour_task_loss_change"): 0.5,
        ("test", "shrunk_task_loss_extra"): -0.4,
        (KEPT, "shrunk_drift_change"): -0.6,
        (KEPT, "neighbour_drift_change"): -0.1,
        (KEPT, "shrunk_drift_extra"): -0.5,
    }
    for (dataset, metric), value in values.items():
        for module in ("", "factor 0.3"):
            row = find(found, metric, dataset=dataset, module=module)
            assert row.value == pytest.approx(value)
            assert row.n == 4


def test_rounding_is_no_effect(find: Find) -> None:
    """Without intruders the same weights are read again, in another batch."""
    same, again = look(2.0, 1.0), look(2.0 + 3e-8, 1.0 - 4e-9)
    found = measured(same, again, again)
    for row in found.rows:
        assert (row.value, row.ci_low, row.ci_high) == (0, 0, 0)
