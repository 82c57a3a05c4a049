import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from sft_probe.measures.annotators import (
    centred_log,
    chance_divergences,
    divergences,
    doubt_inheritance,
    majority,
    matrix_distance,
    mean_prediction,
    mixture_weights,
    noise_matrix,
    prior_slope,
)

WEIGHTS = arrays(float, (5, 3), elements=st.floats(0, 1)).filter(lambda w: (w.sum(1) > 0.01).all())


def shares(weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = weights / weights.sum(1, keepdims=True)
    return found


@settings(max_examples=25)
@given(WEIGHTS, WEIGHTS)
def test_divergences_are_scipys(people: np.ndarray, model: np.ndarray) -> None:
    people, model = shares(people), shares(model + 0.01)
    found = divergences(people, model)
    assert found.kl == pytest.approx(entropy(people, model, axis=1), abs=1e-9)
    middle = (people + model) / 2
    both = entropy(people, middle, axis=1) + entropy(model, middle, axis=1)
    assert found.jsd == pytest.approx(both / 2, abs=1e-9)
    assert (found.jsd <= np.log(2) + 1e-12).all()
    assert divergences(model, people).jsd == pytest.approx(found.jsd)
    assert divergences(people, people).kl == pytest.approx(0)


def test_an_impossible_label_costs_a_finite_amount() -> None:
    found = divergences(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]))
    assert np.isfinite(found.kl).all()
    assert found.jsd[0] == pytest.approx(np.log(2))
    even = divergences(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]]))
    assert even.jsd[0] == pytest.approx(jensenshannon([0, 1], [0.5, 0.5]) ** 2)  # scipy gives the root


@pytest.mark.parametrize("annotators", [5, 20, 100])
def test_few_annotators_keep_even_a_perfect_model_away(annotators: int) -> None:
    rng = np.random.default_rng(0)
    true = rng.dirichlet((5, 5, 5), 400)
    people = rng.multinomial(annotators, true) / annotators
    floor = chance_divergences(true, np.full(400, annotators), rng)
    seen = divergences(people, true)
    assert floor.kl.mean() == pytest.approx(seen.kl.mean(), rel=0.15)
    assert floor.jsd.mean() == pytest.approx(seen.jsd.mean(), rel=0.15)
    if annotators >= 20:
        assert floor.kl.mean() == pytest.approx(2 / (2 * annotators), rel=0.15)  # (K - 1) / (2 m)


def test_a_known_distribution_has_no_floor() -> None:
    floor = chance_divergences(
        np.array([[0.3, 0.7], [0.5, 0.5]]), np.array([np.inf, 3]), np.random.default_rng(0)
    )
    assert floor.kl[0] == 0
    assert floor.kl[1] > 0.1


def test_a_tie_has_no_majority() -> None:
    assert majority(np.array([[0.6, 0.4, 0], [0.4, 0.4, 0.2], [0, 0, 1]])).tolist() == [0, -1, 2]


def test_matrices_by_hand() -> None:
    matrix = noise_matrix(np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]]))
    assert matrix.tolist() == [[0.8, 0.2, 0], [0, 1, 0], [0, 0, 1]]
    seen = mean_prediction(np.array([[0.9, 0.1, 0], [0.7, 0.3, 0], [0, 0.5, 0.5]]), np.array([0, 0, 1]))
    assert seen[:2].tolist() == [[pytest.approx(0.8), pytest.approx(0.2), 0], [0, 0.5, 0.5]]
    assert np.isnan(seen[2]).all()
    assert matrix_distance(seen, matrix) == pytest.approx((0 + 1) / 2)
    assert np.isnan(matrix_distance(np.full((2, 2), np.nan), np.eye(2)))


@pytest.mark.parametrize("passed_on", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("labels", [2, 4])
def test_doubt_recovers_what_was_passed_on(passed_on: float, labels: int) -> None:
    rng, rate, n = np.random.default_rng(1), 0.3, 20_000
    matrix = np.full((labels, labels), rate / (labels - 1)) + np.eye(labels) * (
        1 - rate - rate / (labels - 1)
    )
    gold = rng.integers(0, labels, n)
    answer = np.where(rng.random(n) < 0.9, gold, (gold + 1) % labels)
    noisy_right = matrix[gold, answer]
    right = (answer == gold).astype(float)
    confidence = np.full(n, right.mean() - passed_on * (right.mean() - noisy_right.mean()))
    assert doubt_inheritance(right, confidence, noisy_right) == pytest.approx(passed_on)
    assert np.isnan(doubt_inheritance(right, confidence, right))


@given(arrays(float, 3, elements=st.floats(0.05, 1)), st.floats(-2, 2))
def test_the_slope_on_the_prior_is_recovered(weights: np.ndarray, slope: float) -> None:
    prior = weights / weights.sum()
    lean = np.exp(slope * np.log(prior))
    found = prior_slope(centred_log(lean / lean.sum())[None], prior)
    even = np.abs(centred_log(prior)).max() < 0.05
    assert np.isnan(found[0]) if even else found[0] == pytest.approx(slope, abs=1e-6) or np.isnan(found[0])


def test_with_two_labels_the_slope_is_a_ratio_of_log_odds() -> None:
    found = prior_slope(centred_log(np.array([[0.8, 0.2], [0.5, 0.5]])), np.array([0.9, 0.1]))
    assert found == pytest.approx([np.log(4) / np.log(9), 0])
    assert np.isnan(prior_slope(np.zeros((1, 2)), np.array([0.52, 0.48]))).all()


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.1), st.integers(0, 99))
def test_the_mixture_of_annotators_is_found_again(weights: list[float], seed: int) -> None:
    said = np.random.default_rng(seed).integers(0, 3, (120, 3))
    true = np.array(weights) / sum(weights)
    model = (true[None, :, None] * np.eye(3)[said]).sum(1)
    assert mixture_weights(model, said) == pytest.approx(true, abs=0.02)


def test_mixtures_by_hand() -> None:
    said = np.array([[0, 1], [1, 0], [0, -1]])
    model = np.array([[0.6, 0.2, 0.2], [0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
    assert mixture_weights(model[:2], said[:2]) == pytest.approx([1.35 / 1.8, 0.45 / 1.8])
    assert mixture_weights(model, np.zeros((3, 2), dtype=int)) == pytest.approx([0.5, 0.5])  # never apart
    assert np.isnan(mixture_weights(model[:0], said[:0])).all()
    assert mixture_weights(model, said).sum() == pytest.approx(1)
