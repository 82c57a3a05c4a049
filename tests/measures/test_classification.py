import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from sft_probe.measures.classification import (
    balanced_accuracy,
    confusion,
    macro_f1,
    recalls,
    shifted_shares,
)

PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


def test_counts_by_hand() -> None:
    counts = confusion(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, -1, 1]), 2)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 1]]
    assert recalls(counts).tolist() == pytest.approx([1 / 2, 2 / 3])
    assert macro_f1(counts) == pytest.approx((2 / 3 + 4 / 6) / 2)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(PAIRS)
def test_the_same_as_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(pairs).T
    counts = confusion(gold, predicted, 3)
    assert balanced_accuracy(counts) == pytest.approx(balanced_accuracy_score(gold, predicted))
    assert macro_f1(counts) == pytest.approx(f1_score(gold, predicted, average="macro"))


def test_always_the_same_label_scores_one_over_k() -> None:
    counts = confusion(np.repeat([0, 1, 2], [90, 5, 5]), np.zeros(100, dtype=int), 3)
    assert balanced_accuracy(counts) == pytest.approx(1 / 3)


def test_many_tables_at_once() -> None:
    tables = np.stack([confusion(np.array([0, 1]), np.array(p), 2) for p in ([0, 1], [1, 1], [-1, -1])])
    assert balanced_accuracy(tables).tolist() == [1, 0.5, 0]
    assert macro_f1(tables).tolist() == pytest.approx([1, 1 / 3, 0])


def test_label_shares_are_recovered_from_predictions() -> None:
    given_label = np.array([[0.8, 0.3], [0.2, 0.7]])  # column: gold label, row: prediction
    joint = given_label * np.array([0.5, 0.5])
    found = shifted_shares(joint, given_label @ np.array([0.9, 0.1]))
    assert found.shares == pytest.approx([0.9, 0.1])
    assert found.condition == pytest.approx(np.linalg.cond(joint))
    assert np.isnan(shifted_shares(np.full((2, 2), 0.25), np.array([0.5, 0.5])).shares).all()
