"""Which probes a study's data allow, and the data sets those probes make for themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import DataError, NotApplicable
from sft_probe.probes.base import Deriving, Probe


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Probes that can measure, the study's data with what they derived, and why others cannot, by name."""

    probes: tuple[Probe, ...]
    data: DataSets
    not_applicable: Mapping[str, str]


def select(probes: Iterable[Probe], data: DataSets, *, optional: Collection[str] = ()) -> Selection:
    """Let each probe derive its data; one that cannot is left out with its reason.

    optional: names of probes for which a data set that the study lacks is such a reason too.
    Raises: DataError for a data set that any other probe asks for and that does not exist.
    """
    kept: list[Probe] = []
    reasons: dict[str, str] = {}
    sets: dict[str, Dataset] = dict(data)
    for probe in probes:
        try:
            derived = dict(probe.derive(data)) if isinstance(probe, Deriving) else {}
            _check(probe, DataSets({**data, **derived}), optional)
        except NotApplicable as reason:
            reasons[probe.name] = str(reason)
        else:
            kept.append(probe)
            sets |= derived
    return Selection(probes=tuple(kept), data=DataSets(sets), not_applicable=reasons)


def _check(probe: Probe, data: DataSets, optional: Collection[str]) -> None:
    for need in probe.needs():
        if name := getattr(need, "dataset", None):
            try:
                data[name]
            except DataError as error:
                if probe.name in optional:
                    raise NotApplicable(str(error)) from error
                raise
