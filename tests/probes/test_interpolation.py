from collections.abc import Callable
from math import nan

import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen, Observed, ScoresSeen
from sft_probe.probes.interpolation import Interpolation
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = Interpolation(alphas=(0.5,))
ROWS = tuple(Example(id=name, target="yes") for name in "abcd")


def scores(loss: float, exact: int) -> ScoresSeen:
    return ScoresSeen(
        examples=ROWS,
        target_logprob=np.array([-2 * loss, -2 * loss - 0.2, -2 * loss, -2 * loss + 0.2]),
        target_tokens=np.full(4, 2),
        target_greedy=np.arange(4) < exact,
        choice_logprob=(np.empty(0),) * 4,
        choice_tokens=(np.empty(0, dtype=np.int64),) * 4,
    )


def documents(right: int) -> BenchmarkSeen:
    items = tuple(
        BenchmarkItem(
            task="t",
            item=str(i),
            cluster="",
            metric="acc",
            value=float(i < right),
            margin=nan,
            prompt="",
            prediction="",
            target="",
        )
        for i in range(4)
    )
    return BenchmarkSeen(items=items, aggregates={})


def look(*mixtures: tuple[float, int, int]) -> Observed:
    """Loss, exact answers and right documents halfway and at the model, in the order of the needs."""
    needs = PROBE.needs()
    of_scores = [need for need in needs if isinstance(need, Scores)]
    others = [need for need in needs if need not in of_scores]
    pairs = zip(mixtures, of_scores, others, strict=True)
    found: dict[object, object] = {}
    for (loss, exact, right), asked, task in pairs:
        found |= {asked: scores(loss, exact), task: documents(right)}
    return Observed(found)  # type: ignore[arg-type]


def test_the_way_from_base_to_model(find: Find) -> None:
    base, tuned = look((4, 0, 4), (4, 0, 4)), look((3.5, 1, 3), (1, 4, 1))
    found = PROBE.measure(tuned, base)
    learned = [find(found, "path_exact_share", module=f"alpha {a}").value for a in ("0", "0.5", "1")]
    kept = [find(found, "path_accuracy", module=f"alpha {a}").value for a in ("0", "0.5", "1")]
    assert learned == [0, 0.25, 1]
    assert kept == [1, 0.75, 0.25]
    assert find(found, "path_loss_bulge").value == pytest.approx(3.5 - (4 + 1) / 2)
    assert {item.metric for item in found.items} == {
        f"{what} at {alpha}" for what in ("learned", "kept") for alpha in ("0", "0.5", "1")
    }


@pytest.mark.parametrize("alphas", [(), (0.0, 0.5), (0.5, 0.25), (1.5,), 0.5])
def test_mixtures_lie_between_and_in_order(alphas: object) -> None:
    with pytest.raises(SpecError, match="alphas"):
        Interpolation(alphas=alphas)  # type: ignore[arg-type]
