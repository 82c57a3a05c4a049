from collections.abc import Callable
from math import isnan, sqrt

import numpy as np
import pytest

from sft_probe.observe.needs import Weights
from sft_probe.observe.observations import Observed, WeightDelta, WeightsSeen
from sft_probe.probes.weight_change import WeightChange
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = WeightChange()
RNG = np.random.default_rng(0)


def delta(
    layer: int,
    module: str,
    base: np.ndarray,
    change: np.ndarray,
    factors: tuple[np.ndarray, np.ndarray] | None = None,
) -> WeightDelta:
    return WeightDelta(
        name=f"{layer}.{module}",
        layer=layer,
        module=module,
        base=base.astype(np.float32),
        delta=change.astype(np.float32),
        factors=factors,
    )


def observed(*deltas: WeightDelta) -> Observed:
    return Observed({Weights(): WeightsSeen(iterate=lambda: iter(deltas))})


def test_norms_are_pooled_and_ranks_averaged(find: Find) -> None:
    ones = np.ones((4, 4))  # squared norm 16
    seen = observed(
        delta(1, "attention", ones, np.eye(4)),
        delta(1, "attention", 3 * ones, ones),
        delta(1, "norm", np.ones(4), np.full(4, 0.5)),
        delta(2, "mlp", ones, 0 * ones),
    )
    found = PROBE.measure(seen, seen)
    norms = {
        (1, "attention"): sqrt((4 + 16) / (16 + 144)),
        (1, "norm"): 0.5,
        (1, "all"): sqrt((4 + 16 + 1) / (16 + 144 + 4)),
        (2, "mlp"): 0.0,
        (2, "all"): 0.0,
        (-1, "all"): sqrt(21 / 180),
    }
    for (layer, module), value in norms.items():
        assert find(found, "relative_norm", layer=layer, module=module).value == pytest.approx(value)
    assert len(found.rows) == 3 * len(norms)
    cosine = find(found, "weight_cosine", layer=1, module="attention").value
    both = np.concatenate([np.ones(16), 3 * np.ones(16)])
    after = both + np.concatenate([np.eye(4).ravel(), np.ones(16)])
    assert cosine == pytest.approx(both @ after / np.linalg.norm(both) / np.linalg.norm(after))
    assert find(found, "weight_cosine", layer=2, module="mlp").value == 1
    assert find(found, "stable_rank", layer=1, module="attention").value == pytest.approx((4 + 1) / 2)
    assert find(found, "stable_rank", layer=-1, module="all").n == 2
    assert find(found, "relative_norm", layer=1, module="attention").n == 2


@pytest.mark.parametrize("module", ["norm", "mlp"])
def test_vectors_and_untouched_matrices_have_no_rank(find: Find, module: str) -> None:
    seen = observed(
        delta(1, "norm", np.ones(4), np.ones(4)), delta(1, "mlp", np.ones((4, 4)), np.zeros((4, 4)))
    )
    row = find(PROBE.measure(seen, seen), "stable_rank", layer=1, module=module)
    assert isnan(row.value)
    assert row.why == "no matrix of this block changed"
    assert row.n == 0


def test_adapters_are_judged_by_their_factors(find: Find) -> None:
    left, right = (RNG.normal(size=s).astype(np.float32) for s in ((20, 3), (3, 30)))
    dense = delta(1, "mlp", np.ones((20, 30)), left @ right)
    low_rank = delta(1, "mlp", np.ones((20, 30)), left @ right, factors=(left, right))
    ranks = [
        find(PROBE.measure(observed(d), observed(d)), "stable_rank", layer=1, module="mlp").value
        for d in (dense, low_rank)
    ]
    values = np.linalg.svd((left @ right).astype(np.float64), compute_uv=False)
    assert ranks == pytest.approx([(values**2).sum() / values[0] ** 2] * 2, rel=1e-4)


def test_a_fresh_adapter_changed_nothing(find: Find) -> None:
    fresh = (np.zeros((4, 2), np.float32), np.ones((2, 4), np.float32))
    seen = observed(delta(1, "mlp", np.ones((4, 4)), np.zeros((4, 4)), factors=fresh))
    found = PROBE.measure(seen, seen)
    assert find(found, "relative_norm", layer=1, module="mlp").value == 0
    assert find(found, "stable_rank", layer=1, module="mlp").why


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_diverged_model_is_said_to_be_one(find: Find, broken: float) -> None:
    seen = observed(delta(1, "mlp", np.ones((4, 4)), np.full((4, 4), broken)))
    found = PROBE.measure(seen, seen)
    assert find(found, "relative_norm", layer=1, module="mlp").why.endswith("a weight is not finite")
    assert isnan(find(found, "stable_rank", layer=1, module="mlp").value)
