import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sft_probe.measures.membership import auc_null_se, caught, min_k, placements

scores = st.lists(st.integers(-5, 5), min_size=1, max_size=30).map(lambda xs: np.array(xs, dtype=float))


@given(scores, scores)
def test_placements_average_to_sklearns_area(members: np.ndarray, others: np.ndarray) -> None:
    one, two = placements(members, others)
    labels = [1] * members.size + [0] * others.size
    assert one.mean() == pytest.approx(roc_auc_score(labels, np.concatenate([members, others])))
    assert two.mean() == pytest.approx(one.mean())


def test_min_k_by_hand() -> None:
    logprob = -np.arange(1.0, 11.0)
    assert min_k(logprob) == pytest.approx(-9.5)  # the lowest two of ten
    assert min_k(logprob[:3]) == -3  # at least one token, however short the text
    assert np.isnan(min_k(logprob[:0]))


def test_null_error_of_the_area() -> None:
    assert auc_null_se(100, 100) == pytest.approx(0.041, abs=5e-4)
    assert auc_null_se(500, 500) == pytest.approx(0.018, abs=5e-4)
    rng = np.random.default_rng(0)
    drawn = [placements(*rng.normal(size=(2, 50)))[0].mean() for _ in range(800)]
    assert np.std(drawn) == pytest.approx(auc_null_se(50, 50), rel=0.1)


def test_one_of_a_hundred_others_may_pass() -> None:
    others = np.arange(100.0)
    np.testing.assert_array_equal(caught(np.array([98.0, 98.5, 99.0, 200.0]), others), [0, 1, 1, 1])
    assert np.mean(others > 98) == 0.01
    assert np.isnan(caught(np.array([1.0]), others[:99])).all()


@given(scores.filter(lambda x: x.size >= 10))
def test_the_false_positive_rate_is_kept(others: np.ndarray) -> None:
    assert caught(others, others, rate=0.1).mean() <= 0.1
