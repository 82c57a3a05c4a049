"""A battery: several probes that share one look at the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sft_probe.errors import SpecError
from sft_probe.observe.gathering import gathered
from sft_probe.observe.ranks import Ranks
from sft_probe.registry import make
from sft_probe.schema import Measurements

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from sft_probe.observe.needs import Need
    from sft_probe.observe.observations import Observed
    from sft_probe.probes.base import Probe


class Looks(Protocol):
    """What a battery needs of an observer."""

    def look(self, model: nn.Module, needs: Iterable[Need]) -> Observed:
        """Observe a model."""
        ...

    def look_at_base(self, needs: Iterable[Need]) -> Observed:
        """Observe the base, once per need."""
        ...


def make_probe(name: str, options: Mapping[str, object]) -> Probe:
    """A registered probe with its options checked by name.

    Raises: UnknownComponent for the probe, SpecError for an option or its value.
    """
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    probe: Probe = make("probes", name, given, f"probes.{name}")
    return probe


def _nothing(probe: str) -> None:
    """Default for `on_probe`."""


@dataclass(frozen=True)
class Battery:
    """Probes and the observer they share.

    seconds: wall time so far, by "look" (all forward passes) and by probe (judging what was seen).
    Raises: SpecError for two probes of one name, whose rows could not be told apart.
    """

    probes: tuple[Probe, ...]
    observer: Looks
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len({probe.name for probe in self.probes}) < len(self.probes):
            raise SpecError("the same probe is asked for twice.", field="probes")

    def measure(
        self,
        model: nn.Module,
        *,
        skip: Collection[str] = (),
        on_probe: Callable[[str], None] = _nothing,
    ) -> dict[str, Measurements]:
        """Look once at `model` for all probes not named in `skip`; probe name to what it measured.

        Where several processes train the model, all look and the first one judges; the others get nothing.
        """
        probes = [probe for probe in self.probes if probe.name not in skip]
        needs = tuple(dict.fromkeys(need for probe in probes for need in probe.needs()))
        on_probe("look")
        found: dict[str, Measurements] = {}
        with gathered(model):
            with _timing(self.seconds, "look"):
                base, seen = self.observer.look_at_base(needs), self.observer.look(model, needs)
            for probe in probes if Ranks.here().first else ():
                on_probe(probe.name)
                with _timing(self.seconds, probe.name):
                    found[probe.name] = probe.measure(seen, base)
        return found


@contextmanager
def _timing(seconds: dict[str, float], key: str) -> Iterator[None]:
    """Add the wall time of a block to `seconds[key]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[key] = seconds.get(key, 0.0) + time.perf_counter() - start
