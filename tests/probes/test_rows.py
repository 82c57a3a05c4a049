from math import isnan, nan

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.probes.rows import Answered, Metric, clusters_of
from sft_probe.stats.intervals import Interval

RIGHT = Metric(name="right", unit="1", better="higher", share=True, absent="nothing to judge")
EXAMPLES = tuple(
    Example(id=str(i), target="t", stratum=stratum, cluster=cluster)
    for i, (stratum, cluster) in enumerate([("a", "x"), ("a", ""), ("b", "x"), ("", "")])
)
SAID = Answered(dataset="test", examples=EXAMPLES, predictions=("p",) * 4)


def test_an_undefined_value_takes_the_reason_of_its_metric() -> None:
    row = RIGHT.row(Interval(value=nan, why="no items"))
    assert (row.why, row.better, row.unit) == ("nothing to judge", "higher", "1")
    assert Metric(name="m", unit="1").row(Interval(value=nan, why="no items")).why == "no items"
    assert RIGHT.row(Interval(value=0.5, why="one cluster")).why == "one cluster"


def test_strata_without_a_value_or_a_name_have_no_row() -> None:
    values = np.array([1.0, 0.0, nan, 1.0])
    found = SAID.measurements({RIGHT: values}, {RIGHT: np.zeros(4)})
    assert [(row.stratum, row.n) for row in found.rows] == [("", 3), ("a", 2)]
    assert [item.item for item in found.items] == ["0", "1", "3"]


def test_the_null_is_the_mean_of_the_base() -> None:
    found = SAID.measurements({RIGHT: np.ones(4)}, {RIGHT: np.array([1.0, 0, 0, nan])})
    assert [(row.stratum, row.null_value) for row in found.rows] == [("", 1 / 3), ("a", 0.5), ("b", 0)]
    absent = SAID.measurements({RIGHT: np.ones(4)}, {RIGHT: np.full(4, nan)})
    assert isnan(absent.rows[0].null_value)


def test_examples_without_a_cluster_are_their_own() -> None:
    assert clusters_of(EXAMPLES).tolist() == [0, 1, 0, 2]
