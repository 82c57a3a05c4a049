"""The protocol of a probe, and what it is handed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from sft_probe.observe.needs import Need
from sft_probe.observe.observations import Observed
from sft_probe.schema import Measurements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sft_probe.data.examples import Dataset, DataSets

Axis = Literal["what", "when", "where", "cost", "how sure"]
__all__ = ["About", "Axis", "CostClass", "Deriving", "Observed", "Probe"]

CostClass = Literal["weights only", "forward", "generation", "benchmark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a probe says of itself; printed by `sft-probe ls probes`, the report and docs/probes.md."""

    question: str  # one plain sentence that ends with a question mark
    axis: Axis
    source: str  # paper
    null: str  # what the numbers look like when fine-tuning did nothing
    blind_spots: str
    cost: CostClass
    headline: tuple[str, ...] = ()
    """The metrics a figure shows, most telling first; every other one stands in the tables."""
    version: int = 1


@runtime_checkable
class Probe(Protocol):
    """A frozen dataclass whose fields are all its options. It never runs a model."""

    name: ClassVar[str]
    about: ClassVar[About]

    def needs(self) -> tuple[Need, ...]:
        """What it must see. Equal needs of several probes are looked at once."""
        ...

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Judge a model (`seen`) against its base (`base`). Pure: same input, same rows."""
        ...


@runtime_checkable
class Deriving(Probe, Protocol):
    """A probe that looks at data of its own making: counterfactuals, batteries of rules, canaries."""

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Data sets that its needs name, each called `<probe>.<something>`. Pure: same data, same rows.

        Rows carry what `measure` will want to know in `Example.meta`.
        Raises: NotApplicable with the reason if the study's data cannot give them.
        """
        ...
