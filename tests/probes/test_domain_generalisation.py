from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import DataError, NotApplicable
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import Observed, ScoresSeen
from sft_probe.probes.domain_generalisation import ROWS, DomainGeneralisation
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]


def rows(name: str, choices: Sequence[str] = ()) -> Dataset:
    made = (Example(id=f"{name}{i}", target="yes", choices=tuple(choices)) for i in range(4))
    return Dataset(name, tuple(made))


DATA = DataSets(
    {"train": rows("train"), "test": rows("test", ("yes", "no")), "near": rows("near"), "far": rows("far")}
)
PROBE = DomainGeneralisation(near=("near",))


def seen(logprob: Mapping[str, float], right: float = 0.5) -> Observed:
    """Two tokens each; of the four choices of the test set the share `right` is right."""
    examples = PROBE.derive(DATA)[ROWS].examples
    choices = [
        np.array([-1.0, -2.0] if i % 4 < 4 * right else [-2.0, -1.0]) if row.choices else np.empty(0)
        for i, row in enumerate(examples)
    ]
    values = [2 * logprob[row.id.partition("/")[0]] for row in examples]
    wiggle = np.tile([-0.1, 0.1, -0.1, 0.1], len(examples) // 4)
    found = ScoresSeen(
        examples=examples,
        target_logprob=np.array(values) + wiggle,
        target_tokens=np.full(len(examples), 2),
        target_greedy=np.zeros(len(examples), dtype=bool),
        choice_logprob=tuple(choices),
        choice_tokens=tuple(np.ones(len(c), dtype=np.int64) for c in choices),
    )
    return Observed({Scores(dataset=ROWS): found})


BEFORE = seen({"test": -3, "near": -2, "far": -1})
AFTER = seen({"test": -1, "near": -1, "far": -2}, right=0.75)


def test_changes_by_domain_and_distance(find: Find) -> None:
    found = PROBE.measure(AFTER, BEFORE)
    assert find(found, "domain_logprob_change", dataset="far").value == pytest.approx(-1)
    by_distance = [
        find(found, "domain_logprob_change", dataset="", stratum=name).value
        for name in ("own", "near", "far")
    ]
    assert by_distance == pytest.approx([2, 1, -1])
    assert find(found, "domain_accuracy", dataset="test").value == 0.75
    assert find(found, "domain_accuracy", dataset="test").null_value == 0.5
    assert find(found, "domain_accuracy_change", dataset="test").value == 0.25


def test_the_worst_domain_is_another_than_the_tuned_one(find: Find) -> None:
    found = PROBE.measure(AFTER, BEFORE)
    assert find(found, "worst_domain_logprob_change").value == pytest.approx(-1)
    assert find(found, "worst_domain_accuracy").why == "no example has choices"
    assert find(found, "transfer_gap").value == pytest.approx(0 - 2)


def test_calibration_stands_beside_what_chance_gives(find: Find) -> None:
    found = PROBE.measure(AFTER, BEFORE)
    sure = 1 / (1 + np.exp(-1))
    assert find(found, "domain_calibration_error", dataset="test").value == pytest.approx(abs(0.75 - sure))
    assert find(found, "domain_calibration_error", dataset="test").null_value == pytest.approx(sure - 0.5)
    assert find(found, "domain_calibration_error_by_chance", dataset="test").value > 0


def test_a_study_with_one_domain_has_no_other() -> None:
    with pytest.raises(NotApplicable, match="besides"):
        DomainGeneralisation().derive(DataSets({"train": rows("train"), "test": rows("test")}))
    with pytest.raises(DataError, match="nar"):
        DomainGeneralisation(near=("nar",)).derive(DATA)
