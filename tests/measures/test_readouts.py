import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier

from sft_probe.measures.readouts import (
    Readout,
    control_labels,
    folds_of,
    held_out_scores,
    indicators,
    is_right,
    online_code,
)

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 150)
SIGNAL = 2 * np.eye(3)[LABELS] @ RNG.normal(size=(3, 20)) + RNG.normal(size=(150, 20))
NOISE = RNG.normal(size=(150, 20))


def test_the_readout_is_ridge_regression() -> None:
    """Weights equal scikit-learn's for the penalty that was chosen, and so do the labels read."""
    readout = Readout.fit(SIGNAL, indicators(LABELS))
    z = (SIGNAL - readout.mean) / readout.scale
    penalties = np.logspace(-6, 6, 2000)
    alone = [Ridge(alpha=a).fit(z, indicators(LABELS)).coef_.T for a in penalties]
    errors = [np.abs(weights - readout.weights).max() for weights in alone]
    alpha = penalties[int(np.argmin(errors))]
    assert min(errors) < 0.01 * np.abs(readout.weights).max()
    theirs = RidgeClassifier(alpha=alpha).fit(z, LABELS).predict(z)
    assert (readout.scores(SIGNAL).argmax(axis=1) == theirs).mean() > 0.99


def test_leave_one_out_scores_are_those_of_readouts_without_the_row() -> None:
    x, targets = SIGNAL[:25], indicators(LABELS)[:25]
    readout = Readout.fit(x, targets)
    z = (x - readout.mean) / readout.scale
    values = np.linalg.eigvalsh(z @ z.T)
    fitted = readout.scores(x) - readout.offset
    wanted = targets - readout.offset
    top = np.linalg.eigh(z @ z.T)[1][:, -1]
    alpha = values[-1] * ((top @ wanted) / (top @ fitted))[0] - values[-1]
    for row in (0, 7, 24):
        rest = np.arange(25) != row
        model = Ridge(alpha=alpha).fit(z[rest], targets[rest])
        assert readout.loo[row] == pytest.approx(model.predict(z[[row]])[0], abs=1e-6)


def test_labels_are_read_where_they_are_and_not_where_they_are_not() -> None:
    folds = folds_of(np.arange(150))
    assert is_right(held_out_scores(SIGNAL, LABELS, folds).own, LABELS).mean() > 0.95
    assert is_right(held_out_scores(NOISE, LABELS, folds).own, LABELS).mean() < 0.5


def test_rotated_states_are_read_anew_but_not_by_the_old_readout() -> None:
    turn = np.linalg.qr(RNG.normal(size=(20, 20)))[0]
    folds = folds_of(np.arange(150))
    found = held_out_scores(SIGNAL, LABELS, folds, SIGNAL @ turn)
    assert is_right(found.transferred, LABELS).mean() < 0.6
    assert is_right(held_out_scores(SIGNAL @ turn, LABELS, folds).own, LABELS).mean() > 0.95
    same = held_out_scores(SIGNAL, LABELS, folds, SIGNAL)
    np.testing.assert_array_equal(same.own, same.transferred)


def test_a_readout_of_random_labels_shows_its_capacity() -> None:
    """science: on random labels a readout fits its training rows far better than chance when n is small."""
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(100, 80)), rng.integers(0, 2, 100)
    readout = Readout.fit(x, indicators(labels))
    assert is_right(held_out_scores(x, labels, folds_of(np.arange(100))).own, labels).mean() < 0.65
    assert is_right(readout.loo, labels).mean() < 0.65


def test_control_labels_go_with_the_type() -> None:
    types = RNG.integers(0, 40, 300)
    labels = np.arange(300) % 4
    control = control_labels(labels, types, np.random.default_rng(0))
    for kind in range(40):
        assert len(set(control[types == kind])) <= 1
    assert set(control) <= set(labels)
    np.testing.assert_array_equal(control, control_labels(labels, types, np.random.default_rng(0)))


def test_the_code_is_short_where_labels_can_be_read() -> None:
    read, unread = (online_code(x, LABELS, 3) for x in (SIGNAL, NOISE))
    assert read.mean() < 0.8 < unread.mean() < 2.2  # uniform: log2 3 = 1.58
    assert read[:9] == pytest.approx(np.log2(3))  # the first block, 6.25 % of 150 rows, is told uniformly
    assert max(read.max(), unread.max()) <= np.log2(3 * 76)  # the bound: nobody is surer than the rows seen


def test_whole_clusters_share_a_fold() -> None:
    clusters = RNG.integers(0, 30, 200)
    folds = folds_of(clusters)
    assert all(len(set(folds[clusters == c])) == 1 for c in range(30))
    assert set(folds) == set(range(5))


def test_constant_dimensions_do_no_harm() -> None:
    x = np.hstack([SIGNAL, np.ones((150, 2))])
    assert np.isfinite(Readout.fit(x, indicators(LABELS)).scores(x)).all()
