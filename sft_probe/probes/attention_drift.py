"""Do the heads look elsewhere, and at which part of the prompt?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.contexts import told_rows
from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Attention, Need
from sft_probe.observe.observations import AttentionSeen, Floats, Ints, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Measurement, Measurements

FIELD = "attention_drift_text"  # in `Example.meta`: pieces of the prompt by kind
INSTRUCTION, CONTEXT = "instruction", "context"
ABSENT = "no row has such tokens"
NO_PATTERN = "this model has no attention whose weights can be seen"

DISTANCE = Metric(name="attention_moved_share", unit="1", null=0.0, absent=NO_PATTERN)
ENTROPY = Metric(name="attention_entropy", unit="nats", absent=NO_PATTERN)
ENTROPY_CHANGE = Metric(name="attention_entropy_change", unit="nats", null=0.0, absent=NO_PATTERN)
MASS = Metric(name="attention_share", unit="1", absent=ABSENT)
MASS_CHANGE = Metric(name="attention_share_change", unit="1", null=0.0, absent=ABSENT)
HEAD = Metric(name="attention_moved_by_head_share", unit="1", null=0.0, absent=NO_PATTERN)
HEAD_ENTROPY = Metric(name="attention_entropy_by_head_change", unit="nats", null=0.0, absent=NO_PATTERN)
LAYER_METRICS = (DISTANCE, ENTROPY, ENTROPY_CHANGE)


@dataclass(frozen=True, kw_only=True)
class AttentionDrift:
    """Attention of the tokens from which the answer is predicted: against the base's, head by head, and by
    kind of token: the first one, the instruction, the context that holds the answer, the answer so far, all
    else.
    """

    name: ClassVar[str] = "attention_drift"
    about: ClassVar[About] = About(
        question="Do the heads look elsewhere, and at which part of the prompt?",
        axis="where",
        source="Total variation and entropy of attention patterns; the first token as a sink: Xiao et al. "
        "2023, Efficient Streaming Language Models with Attention Sinks. The kinds of tokens are ours",
        null="moved share and changes 0, exactly so for the base itself",
        blind_spots="Weights say where a head looks, not what it takes from there. The context is found by "
        "words that it shares with the answer. Kernels that keep their weights to themselves are left out.",
        cost="forward",
    )

    dataset: str = "test"
    limit: int = 24

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, limit=self.limit)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The first rows with a question, its parts marked.  Raises: NotApplicable without any."""
        rows = tuple(row for row in data[self.dataset].examples if row.messages)
        told = {one.example.id: one for one in told_rows(rows)}
        if not rows:
            raise NotApplicable(
                f"no row of '{self.dataset}' has a question, so there is no prompt to look at"
            )

        def marked(row: Example) -> Example:
            pieces: dict[str, tuple[str, ...]] = {INSTRUCTION: (row.messages[-1].content,)}
            if one := told.get(row.id):
                pieces = {CONTEXT: one.passage, INSTRUCTION: one.task}
            return replace(row, choices=(), meta={**row.meta, FIELD: pieces})

        return {self._rows: Dataset(self._rows, tuple(marked(row) for row in rows[: self.limit]))}

    def needs(self) -> tuple[Need, ...]:
        """Patterns of all heads."""
        return (self._attention,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per layer, per head and per kind of token, with the base's value as null."""
        found, before = seen[self._attention], base[self._attention]
        if not found.layers:
            none = (metric.row(metric.interval(np.empty(0))) for metric in LAYER_METRICS)
            return Measurements(tuple(replace(row, dataset=self.dataset) for row in none))
        clusters = clusters_of(found.examples)
        rows = [
            replace(row, dataset=self.dataset, layer=layer)
            for index, layer in enumerate(found.layers)
            for make in (_layer_rows, _head_rows)
            for row in make(found, before, index, clusters)
        ]
        return Measurements(tuple(rows))

    @property
    def _rows(self) -> str:
        return f"{self.name}.rows"

    @property
    def _attention(self) -> Attention:
        return Attention(dataset=self._rows, field=FIELD)


def _layer_rows(
    found: AttentionSeen, before: AttentionSeen, index: int, clusters: Ints
) -> Iterator[Measurement]:
    """Means over the heads of a layer."""
    yield DISTANCE.row(DISTANCE.interval(found.distance[index].mean(axis=0), clusters))
    after, reference = (side.entropy[index].mean(axis=0) for side in (found, before))
    yield _row(ENTROPY, after, reference, clusters)
    yield ENTROPY_CHANGE.row(ENTROPY_CHANGE.interval(after - reference, clusters))
    for kind, name in enumerate(found.kinds):
        there = found.present[kind]
        after, reference = (
            np.where(there, side.mass[index][:, kind].mean(axis=0), np.nan) for side in (found, before)
        )
        change = MASS_CHANGE.interval(after - reference, clusters)
        yield replace(_row(MASS, after, reference, clusters), module=name)
        yield MASS_CHANGE.row(change, module=name)


def _head_rows(
    found: AttentionSeen, before: AttentionSeen, index: int, clusters: Ints
) -> Iterator[Measurement]:
    for head, moved in enumerate(found.distance[index]):
        change = found.entropy[index, head] - before.entropy[index, head]
        for metric, values in ((HEAD, moved), (HEAD_ENTROPY, change)):
            yield metric.row(metric.interval(values, clusters), module=f"head {head}")


def _row(metric: Metric, values: Floats, base: Floats, clusters: Ints) -> Measurement:
    row = metric.row(metric.interval(values, clusters))
    known = base[~np.isnan(base)]
    return replace(row, null_value=float(known.mean())) if len(known) else row
