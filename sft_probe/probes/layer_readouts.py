"""At which layer can the labels be read off, and with the base's own readouts still?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.measures.readouts import (
    control_labels,
    folds_of,
    held_out_scores,
    is_right,
    online_code,
)
from sft_probe.observe.needs import Need, States
from sft_probe.observe.observations import Floats, Ints, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Measurement, Measurements
from sft_probe.stats.intervals import Interval

LABEL = "layer_readouts_label"  # in `Example.meta`: what is read off
PER_LABEL = 8  # rows, the fewest with which a label is one
LABELS = 12  # at most

TRANSFER = Metric(name="readout_transfer_accuracy", unit="1", better="higher", share=True)
REFIT = Metric(name="readout_refit_accuracy", unit="1", better="higher", share=True)
ROTATED = Metric(name="readout_rotated", unit="1", null=0.0)
ERASED = Metric(name="readout_erased", unit="1", null=0.0)
CONTROL = Metric(name="readout_control_accuracy", unit="1", share=True)
SELECTIVITY = Metric(name="readout_selectivity", unit="1", better="higher", null=0.0)
CODE = Metric(name="readout_codelength", unit="bits/label", better="lower")
CODE_CHANGE = Metric(name="readout_codelength_change", unit="bits/label", better="lower", null=0.0)
ROWS = Metric(name="readout_rows_per_dimension", unit="1")


class Judged(NamedTuple):
    """One layer of one model, per row: right or not, and bits."""

    entity: Floats  # readout of other entities, its own states
    transferred: Floats  # the base's readout of other entities
    by_row: Floats  # readout of other rows, which may be of the same entity
    control: Floats  # the same for random labels of entities
    bits: Floats


@dataclass(frozen=True, kw_only=True)
class LayerReadouts:
    """Linear readouts of a label at the last token of the prompt, fitted on the base and on the model.

    label: "target", a key of `meta` or "stratum"; empty takes the first of these that has 2 to 12 values with
    8 rows or more. limit: rows. seed: of the random labels of the control task.
    """

    name: ClassVar[str] = "layer_readouts"
    about: ClassVar[About] = About(
        question="At which layer can the labels be read off, and with the base's own readouts still?",
        axis="where",
        source="Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes; "
        "Hewitt & Liang 2019 (control tasks); Voita & Titov 2020 (online code)",
        null="rotated and erased 0, exactly so for the base itself; random labels of entities are the floor",
        blind_spots="What can be read off need not be used. A readout is linear: what is kept in another "
        "form counts as erased. Labels that stand in the prompt can be read off a model that understands "
        "nothing.",
        cost="forward",
    )

    dataset: str = "test"
    label: str = ""
    limit: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 2 * PER_LABEL, limit=self.limit)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Rows with a label in `meta`.  Raises: NotApplicable if no label has enough rows."""
        asked = [row for row in data[self.dataset].examples if row.messages]
        for key in [self.label] if self.label else _candidates(asked):
            if rows := _labelled(asked, key, self.limit):
                return {self._rows: Dataset(self._rows, rows, f"made from '{self.dataset}'")}
        wanted = f"'{self.label}'" if self.label else "target, stratum or meta"
        needed = f"2 to {LABELS} values with {PER_LABEL} rows each"
        raise NotApplicable(f"{wanted} of '{self.dataset}' is no label, which has {needed}")

    def needs(self) -> tuple[Need, ...]:
        """States of both models at the last token of each prompt."""
        return (self._states,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per layer: of the model, with the base's value as null, and paired differences."""
        tuned, before = seen[self._states], base[self._states]
        examples = [tuned.examples[i] for i in tuned.example]
        names = sorted({str(row.meta[LABEL]) for row in examples})
        labels = np.array([names.index(str(row.meta[LABEL])) for row in examples], dtype=np.int64)
        task = _Task(labels, clusters_of(examples), self.seed)
        rows = [
            replace(row, dataset=self.dataset, layer=layer)
            for index, layer in enumerate(tuned.layers)
            for row in _layer_rows(task, *(side.states[index].astype(np.float64) for side in (tuned, before)))
        ]
        return Measurements(tuple(rows))

    @property
    def _rows(self) -> str:
        return f"{self.name}.rows"

    @property
    def _states(self) -> States:
        return States(dataset=self._rows, at="prompt_end")


@dataclass(frozen=True)
class _Task:
    """labels, clusters: (n,). The code tells rows cluster by cluster, so each block is of new entities."""

    labels: Ints
    clusters: Ints
    seed: int

    def judge(self, x: Floats, base: Floats) -> Judged:
        """x, base: (n, p) states of the model that is judged, and of the base."""
        entity, by_row = folds_of(self.clusters), np.arange(len(x)) % 5
        control = control_labels(self.labels, self.clusters, np.random.default_rng(self.seed))
        own = is_right(held_out_scores(x, self.labels, entity).own, self.labels)
        at_home = x is base
        order = np.argsort(self.clusters, kind="stable")
        bits = np.empty(len(x))
        bits[order] = online_code(x[order], self.labels[order], int(self.labels.max()) + 1)
        transferred = held_out_scores(base, self.labels, entity, x).transferred if not at_home else None
        return Judged(
            entity=own,
            transferred=own if transferred is None else is_right(transferred, self.labels),
            by_row=is_right(held_out_scores(x, self.labels, by_row).own, self.labels),
            control=is_right(held_out_scores(x, control, by_row).own, control),
            bits=bits,
        )


def _layer_rows(task: _Task, x: Floats, base: Floats) -> Iterator[Measurement]:
    before = task.judge(base, base)
    after = before if np.array_equal(x, base) else task.judge(x, base)

    def row(metric: Metric, values: Floats, null: Floats | None = None) -> Measurement:
        found = metric.row(metric.interval(values, task.clusters))
        return found if null is None else replace(found, null_value=float(null.mean()))

    yield row(TRANSFER, after.transferred, before.entity)
    yield row(REFIT, after.entity, before.entity)
    yield row(ROTATED, after.entity - after.transferred)
    yield row(ERASED, before.entity - after.entity)
    yield row(CONTROL, after.control, before.control)
    yield row(SELECTIVITY, after.by_row - after.control)
    yield row(CODE, after.bits, before.bits)
    yield row(CODE_CHANGE, after.bits - before.bits)
    yield ROWS.row(Interval(value=len(x) / x.shape[1], n=len(x)))


def _candidates(rows: Sequence[Example]) -> Iterator[str]:
    yield "target"
    yield from dict.fromkeys(key for row in rows for key, value in row.meta.items() if isinstance(value, str))
    yield "stratum"


def _labelled(rows: Sequence[Example], key: str, limit: int) -> tuple[Example, ...]:
    """The first rows with a frequent label, marked; none if there are fewer than two labels."""
    named = [(row, label) for row in rows if (label := _label(row, key))]
    counts = Counter(label for _, label in named[: 4 * limit])
    kept = {label for label, count in counts.most_common(LABELS) if count >= PER_LABEL}
    chosen = [(row, label) for row, label in named if label in kept][:limit]
    if len(Counter(label for _, label in chosen)) < 2 or len(kept) < len(counts) / 2:
        return ()
    return tuple(replace(row, choices=(), meta={**row.meta, LABEL: label}) for row, label in chosen)


def _label(row: Example, key: str) -> str:
    if key == "target":
        return row.target
    value = row.stratum if key == "stratum" else row.meta.get(key)
    return value if isinstance(value, str) else ""
