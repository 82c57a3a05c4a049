from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import DataError, NotApplicable
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Observed
from sft_probe.probes.base import About
from sft_probe.probes.forgetting import Forgetting
from sft_probe.probes.selection import select
from sft_probe.probes.task_alignment import TaskAlignment
from sft_probe.schema import Measurements
from sft_probe.testing.tiny import tiny_data


@dataclass(frozen=True, kw_only=True)
class Shouting:
    """Scores the questions in capitals."""

    name: ClassVar[str] = "shouting"
    about: ClassVar[About] = replace(Forgetting.about, axis="what")
    fewest: int = 1

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The test questions in capitals."""
        rows = data["test"].examples
        if len(rows) < self.fewest:
            raise NotApplicable(f"fewer than {self.fewest} test rows")
        loud = (
            replace(row, messages=tuple(m._replace(content=m.content.upper()) for m in row.messages))
            for row in rows
        )
        return {"shouting.loud": Dataset("shouting.loud", tuple(loud))}

    def needs(self) -> tuple[Need, ...]:
        """Its own data."""
        return (Scores(dataset="shouting.loud"),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Nothing."""
        return Measurements()


def test_a_probe_brings_its_own_data() -> None:
    data = tiny_data(6)
    chosen = select([Shouting(), Forgetting()], data)
    assert [probe.name for probe in chosen.probes] == ["shouting", "forgetting"]
    assert chosen.data["shouting.loud"].examples[0].prompt.isupper()
    assert {name: chosen.data[name] for name in data} == dict(data)
    assert not chosen.not_applicable


def test_a_probe_that_does_not_apply_says_why_and_the_others_go_on() -> None:
    chosen = select([Shouting(fewest=100), TaskAlignment()], tiny_data(6))
    assert [probe.name for probe in chosen.probes] == ["task_alignment"]
    assert chosen.not_applicable == {"shouting": "fewer than 100 test rows"}
    assert "shouting.loud" not in chosen.data


def test_a_data_set_that_is_missing_is_an_error_unless_the_probe_is_optional() -> None:
    probes, data = [TaskAlignment(dataset="tset")], tiny_data(6)
    with pytest.raises(DataError, match="no data set named 'tset'"):
        select(probes, data)
    chosen = select(probes, data, optional={"task_alignment"})
    assert "no data set named 'tset'" in chosen.not_applicable["task_alignment"]
