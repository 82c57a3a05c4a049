"""The check must pass a sound probe and catch each kind of unsound one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Observed
from sft_probe.probes.base import About, Probe
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.testing.conformance import check_items, check_probe, check_rows
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
ABOUT = About(
    question="How likely are the answers?",
    axis="what",
    source="none, this is a test",
    null="the base's own value",
    blind_spots="everything else",
    cost="forward",
)


@dataclass(frozen=True, kw_only=True)
class Sound:
    name: ClassVar[str] = "sound"
    about: ClassVar[About] = ABOUT

    def needs(self) -> tuple[Need, ...]:
        return (Scores(dataset="test"),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        value = float(seen[Scores(dataset="test")].target_logprob.mean())
        return Measurements((Measurement(metric="logprob", value=value, unit="nats"),))


@dataclass(frozen=True, kw_only=True)
class Drawing(Sound):
    def measure(self, seen: Observed, base: Observed) -> Measurements:
        return Measurements((Measurement(metric="m", value=torch.rand(1).item(), unit="1"),))


@dataclass(frozen=True, kw_only=True)
class Meddling(Sound):
    def measure(self, seen: Observed, base: Observed) -> Measurements:
        BASE.model.train()
        return super().measure(seen, base)


@dataclass(frozen=True, kw_only=True)
class WithData(Sound):
    source: str = "test"
    called: str = "sound.rows"

    def derive(self, data: DataSets) -> dict[str, Dataset]:
        return {self.called: Dataset(self.called, data[self.source].examples)}

    def needs(self) -> tuple[Need, ...]:
        return Scores(dataset=self.called), Scores(dataset="test")


class Moody(WithData):
    def derive(self, data: DataSets) -> dict[str, Dataset]:
        order = torch.randperm(len(data["test"])).tolist()
        return {self.called: Dataset(self.called, tuple(data["test"].examples[i] for i in order))}


@dataclass
class Changeable:
    name: ClassVar[str] = "changeable"
    about: ClassVar[About] = ABOUT
    needs = Sound.needs
    measure = Sound.measure


@pytest.mark.parametrize("probe", [Sound(), WithData()])
def test_a_sound_probe_passes(probe: Probe) -> None:
    rows = check_probe(probe, tiny_tuned(BASE), BASE, DATA).rows
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("probe", "rule"),
    [
        (Drawing(), "other rows"),
        (Meddling(), "base was changed"),
        (Changeable(), "frozen"),
        (Moody(), "other derived rows"),
        (WithData(called="rows"), "derived data are called"),
    ],
)
def test_an_unsound_probe_is_caught(probe: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_probe(probe, tiny_tuned(BASE), BASE, DATA)
    BASE.model.train(False)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (Measurement(metric="m", value=1.0, unit=""), "no unit"),
        (Measurement(metric="m", value=float("inf"), unit="1"), "infinite"),
        (Measurement(metric="m", value=1.0, unit="1", ci_low=2.0, ci_high=1.0), "wrong order"),
        (Measurement(metric="m", value=1.0, unit="1", ci_low=2.0, ci_high=NAN), "half an interval"),
        (Measurement(metric="m", value=1.0, unit="1", n=2, n_clusters=3), "more clusters"),
    ],
)
def test_an_invalid_row_is_caught(row: Measurement, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_rows((row,))


def test_repeated_rows_and_items_are_caught() -> None:
    row, item = Measurement(metric="m", value=1.0, unit="1"), Item(metric="m", item="a", value=1.0)
    with pytest.raises(AssertionError, match="repeated"):
        check_rows((row, row))
    with pytest.raises(AssertionError, match="repeated"):
        check_items((item, item))
    with pytest.raises(AssertionError, match="at least one row"):
        check_rows(())
