import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.probes.rows import Answered
from sft_probe.probes.scorers.classification import CONFUSION_LABELS, Judged, label_rows, label_scores
from sft_probe.probes.scorers.labels import Labelled
from sft_probe.schema import Measurement


def table(probabilities: np.ndarray, gold: np.ndarray, *, stratum: str = "") -> tuple[Answered, Judged]:
    n, size = probabilities.shape
    names = tuple(f"l{k}" for k in range(size))
    examples = tuple(
        Example(id=f"e{i}", target=names[g], choices=names, stratum=stratum and f"{stratum}{i % 2}")
        for i, g in enumerate(gold)
    )
    labels = Labelled(labels=names, rows=np.arange(n), gold=gold, probabilities=probabilities)
    answered = Answered(dataset="test", examples=examples, predictions=("",) * n)
    return answered, Judged(labelled=labels, said=np.full(n, -1))


def rows_of(probabilities: np.ndarray, gold: np.ndarray, **more: str) -> dict[tuple[str, str], Measurement]:
    said, judged = table(probabilities, gold, **more)
    return {(row.metric, row.stratum): row for row in label_rows(said, judged, judged)}


def draw(n: int, temper: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Three labels drawn from known probabilities; temper > 1 states them more boldly than they are."""
    rng = np.random.default_rng(3)
    true = rng.dirichlet((1, 1, 1), n)
    gold = (rng.random((n, 1)) > true.cumsum(1)).sum(1)
    stated = true**temper
    return stated / stated.sum(1, keepdims=True), gold


@pytest.mark.parametrize(("temper", "calibrated"), [(1.0, True), (3.0, False)])
def test_boldness_shows_in_calibration_only(temper: float, calibrated: bool) -> None:
    found = rows_of(*draw(400, temper))
    assert (found["ece_p", ""].value > 0.05) is calibrated
    assert (found["ece_excess", ""].value < 0.03) is calibrated
    assert found["balanced_accuracy", ""].value == rows_of(*draw(400))["balanced_accuracy", ""].value
    row = found["balanced_accuracy", ""]
    assert row.ci_low < row.value < row.ci_high


def test_intervals_of_macro_f1_cover() -> None:
    rng, covered = np.random.default_rng(0), 0
    for _ in range(60):
        gold = rng.integers(0, 2, 200)
        right = rng.random(200) < 0.7  # so the F1 of both labels is 0.7
        probabilities = np.eye(2)[np.where(right, gold, 1 - gold)] * 0.8 + 0.1
        row = rows_of(probabilities, gold)["macro_f1", ""]
        covered += row.ci_low <= 0.7 <= row.ci_high
    assert covered >= 53


def test_strata_with_one_label_have_no_rows_of_their_own() -> None:
    probabilities, gold = draw(40)
    assert ("macro_f1", "s1") in rows_of(probabilities, gold, stratum="s")
    alternating = np.arange(40) % 2
    found = rows_of(
        probabilities[:, :2] / probabilities[:, :2].sum(1, keepdims=True), alternating, stratum="s"
    )
    assert ("macro_f1", "") in found
    assert ("macro_f1", "s1") not in found


def test_many_labels_keep_the_diagonal_of_the_confusion() -> None:
    size = CONFUSION_LABELS + 2
    said, judged = table(np.eye(size)[np.arange(24) % size], np.arange(24) % size)
    rows = list(label_rows(said, judged, judged))
    shares = {row.module: row.value for row in rows if row.metric == "confusion"}
    assert shares == {f"l{k} -> l{k}": 1.0 for k in range(size)}
    assert [row.why for row in rows if row.metric == "confidence_auroc"] == ["all answers are right"]


def test_impossible_gold_labels_cost_a_finite_amount() -> None:
    _, judged = table(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))
    scores = {metric.name: values for metric, values in label_scores(judged, 2).items()}
    assert np.isfinite(scores["label_nll"]).all()
    assert scores["brier"].tolist() == [2, 0]
    assert scores["overconfidence"].tolist() == [1, 0]


def test_limits_stay_where_the_score_can_be() -> None:
    gold = np.arange(60) % 2
    nearly = rows_of(np.eye(2)[np.where(np.arange(60) == 7, 1 - gold, gold)] * 0.9 + 0.05, gold)
    assert nearly["balanced_accuracy", ""].ci_high == 1
    assert nearly["brier_reliability", ""].ci_low >= 0
    perfect = rows_of(np.eye(2)[gold] * 0.9 + 0.05, gold)["balanced_accuracy", ""]
    assert (perfect.value, perfect.n) == (1, 60)
    assert np.isnan(perfect.ci_low)
    assert perfect.why.startswith("answers are all alike")
