"""A component that a notebook defines is found by its name, as those of packages are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from sft_probe import registry
from sft_probe.errors import DuplicateComponent, SpecError, UnknownComponent
from sft_probe.registry import available, load, make, register


@dataclass(frozen=True)
class Loudness:
    name: ClassVar[str] = "loudness"
    limit: int = 3


@dataclass(frozen=True)
class Taken:
    name: ClassVar[str] = "weight_change"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


def test_what_is_registered_is_found_by_its_name() -> None:
    with pytest.raises(UnknownComponent):
        load("probes", "loudness")
    assert register(Loudness) is Loudness
    assert load("probes", "loudness") is Loudness
    assert make("probes", "loudness", {"limit": 5}, "probes") == Loudness(limit=5)
    assert "loudness" not in available("methods")


def test_registering_again_is_no_clash_and_gives_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    register(Loudness)
    anew = dataclass(frozen=True)(type("Loudness", (), {"name": "loudness", "__module__": __name__}))
    monkeypatch.setitem(globals(), "Loudness", anew)
    register(anew)
    assert load("probes", "loudness") is anew


def test_a_name_that_is_taken_and_a_class_that_cannot_be_found_are_refused() -> None:
    with pytest.raises(DuplicateComponent, match=r"weight_change' already, in sft_probe\.probes"):
        register(Taken)

    class Inside:
        name = "inside"

    with pytest.raises(SpecError, match="inside a function"):
        register(Inside)
    assert "inside" not in available("probes")
