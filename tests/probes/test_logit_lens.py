from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.measures.lens import Translator
from sft_probe.observe.needs import Unembedding
from sft_probe.observe.observations import Observed, StatesSeen, UnembeddingSeen
from sft_probe.probes.logit_lens import LogitLens
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = LogitLens(steps=2)
READ, FIT, HEAD = PROBE.needs()
RNG = np.random.default_rng(0)
MATRIX = np.eye(12, dtype=np.float32) * 9


def head(matrix: np.ndarray | None = MATRIX) -> UnembeddingSeen:
    same = Translator(np.eye(12), np.zeros(12))
    return UnembeddingSeen(
        read=None if matrix is None else lambda states: states @ matrix,
        fit=lambda states, last, steps: same,
        text_of=str,
        why="no halves" if matrix is None else "",
    )


def states(settled: int) -> StatesSeen:
    """40 tokens, 4 per example; layers say token 0 before `settled` and the right one from there on."""
    following = np.arange(40) % 11 + 1
    layers = np.stack([np.eye(12)[following if layer >= settled else 0 * following] for layer in range(5)])
    return StatesSeen(
        examples=tuple(Example(id=str(i), target="t") for i in range(10)),
        example=np.arange(40) // 4,
        position=np.arange(40) % 4,
        layers=(0, 1, 2, 3, 4),
        states=layers.astype(np.float32),
        following=following,
    )


def observed(settled: int, matrix: np.ndarray | None = MATRIX) -> Observed:
    return Observed({READ: states(settled), FIT: states(settled), HEAD: head(matrix)})


def test_an_earlier_decision_is_seen(find: Find) -> None:
    found = PROBE.measure(observed(2), observed(4))
    for lens in ("logit", "frozen", "refit"):
        depth = find(found, "decision_depth", module=lens)
        assert (depth.value, depth.null_value, depth.n, depth.n_clusters) == (2, 4, 40, 10)
        assert find(found, "decision_depth_change", module=lens).value == -2
        assert find(found, "lens_gold_logprob", module=lens, layer=4).value > -0.01
        assert find(found, "lens_gold_logprob_change", module=lens, layer=2).value == pytest.approx(
            9, abs=0.01
        )
        assert find(found, "lens_gold_log_rank", module=lens, layer=3).value == 0
        assert find(found, "lens_kl", module=lens, layer=4).value == 0
    assert find(found, "lens_gold_logprob", module="permuted", layer=4).value < -5


def test_the_base_did_not_move(find: Find) -> None:
    base = observed(3)
    found = PROBE.measure(base, base)
    for row in found.rows:
        if row.metric.endswith("_change"):
            assert row.value == 0
        elif row.module != "permuted":
            assert row.value == pytest.approx(row.null_value)


def test_a_model_without_halves_says_why() -> None:
    found = PROBE.measure(observed(3, None), observed(3))
    assert {row.why for row in found.rows} == {"no halves"}
    assert all(np.isnan(row.value) for row in found.rows)


def test_needs_name_both_data_sets() -> None:
    assert (READ.dataset, FIT.dataset, HEAD) == ("test", "train", Unembedding())
