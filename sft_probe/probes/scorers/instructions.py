"""Answers to the questions of `instruction_following`, judged rule by rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.data.instruction_battery import Put
from sft_probe.data.instructions import RULES
from sft_probe.measures.rules import holds_loosely
from sft_probe.observe.observations import Bools, Floats, GenerationsSeen
from sft_probe.probes.rows import Metric, Scored, clusters_of
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.stats.contrasts import change_interval
from sft_probe.stats.intervals import Interval, Ints, mean_interval

ADHERENCE = Metric(name="adherence", unit="1", better="higher", share=True)
LOOSE = Metric(name="adherence_loose", unit="1", better="higher", share=True)
UNASKED = Metric(name="adherence_unasked", unit="1", share=True)
LIFT = Metric(name="adherence_lift", unit="1", better="higher", null=0.0)
LIFT_CHANGE = Metric(name="adherence_lift_change", unit="1", better="higher", null=0.0)
ONE_RULE = "each question is asked with one rule only"
SPECIFIC = Metric(name="rule_specificity", unit="1", better="higher", null=0.0, absent=ONE_RULE)
SPECIFIC_CHANGE = Metric(name="rule_specificity_change", unit="1", better="higher", null=0.0, absent=ONE_RULE)
GAP = Metric(
    name="generalisation_gap",
    unit="1",
    better="lower",
    null=0.0,
    absent="the training rows do not carry some of the rules and lack others",
)
SYSTEM = Metric(name="system_followed", unit="1", share=True)
USER = Metric(name="user_followed", unit="1", share=True)
PRIORITY = Metric(name="system_priority", unit="1", null=0.0)
PRIORITY_CHANGE = Metric(name="system_priority_change", unit="1", null=0.0)
PERSISTENCE = Metric(name="persistence", unit="1", better="higher", share=True)
LASTING_LIFT = Metric(name="persistence_lift", unit="1", better="higher", null=0.0)
LASTING_LIFT_CHANGE = Metric(name="persistence_lift_change", unit="1", better="higher", null=0.0)
OVER_COPYING = Metric(name="persistence_over_copying", unit="1", better="higher", null=0.0)
OVER_COPYING_CHANGE = Metric(name="persistence_over_copying_change", unit="1", better="higher", null=0.0)

CHANGE_OF = {
    LIFT: LIFT_CHANGE,
    SPECIFIC: SPECIFIC_CHANGE,
    PRIORITY: PRIORITY_CHANGE,
    LASTING_LIFT: LASTING_LIFT_CHANGE,
    OVER_COPYING: OVER_COPYING_CHANGE,
}
ROUNDING = 1e-12  # thirds do not sum to zero
SHOWN = (ADHERENCE, SYSTEM, PERSISTENCE)
"""The metrics that have items: what was said when a rule was asked for."""
METRICS = (ADHERENCE, LOOSE, UNASKED, GAP, SYSTEM, USER, PERSISTENCE, *CHANGE_OF, *CHANGE_OF.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What was said in one part of the battery. scored: one value per example and metric."""

    dataset: str
    examples: tuple[Example, ...]
    texts: tuple[str, ...]
    scored: Scored

    def measurements(self, base: Part) -> Measurements:
        """Rows against the same part of the base, and items."""
        clusters = clusters_of(self.examples)
        rows = [
            row
            for stratum, inside in self._strata()
            for metric in self.scored
            for row in self._rows(metric, base, stratum, inside, clusters)
        ]
        if LIFT in self.scored:
            change = self.scored[LIFT] - base.scored[LIFT]
            gap = _gap(change, self._of("trained"), clusters)
            rows.append(GAP.row(gap, dataset=self.dataset))
        return Measurements(tuple(rows), tuple(self._items()))

    def _rows(
        self, metric: Metric, base: Part, stratum: str, inside: Bools, clusters: Ints
    ) -> Iterator[Measurement]:
        now, before, place = self.scored[metric][inside], base.scored[metric][inside], clusters[inside]
        if metric in CHANGE_OF:
            yield metric.row(_difference(now, place), dataset=self.dataset, stratum=stratum)
            yield CHANGE_OF[metric].row(
                _difference(now - before, place), dataset=self.dataset, stratum=stratum
            )
        else:
            null = metric.interval(before).value
            yield replace(
                metric.row(metric.interval(now, place), dataset=self.dataset, stratum=stratum),
                null_value=null,
            )

    def _strata(self) -> Iterator[tuple[str, Bools]]:
        """All; each rule or pair of rules; and in the part that asks, rules that were trained and others."""
        names = np.array([example.stratum for example in self.examples], dtype=object)
        yield "", np.ones(len(names), dtype=bool)
        distinct = dict.fromkeys(names.tolist())
        if len(distinct) > 1:
            yield from ((name, names == name) for name in distinct)
        trained, held_out = self._of("trained"), self._of("held_out")
        groups = {
            "trained rules": trained,
            "untrained rules": ~trained,
            "trained rules, trained wordings": trained & ~held_out,
            "trained rules, held-out wordings": trained & held_out,
        }
        if trained.any():
            yield from ((name, inside) for name, inside in groups.items() if inside.any())

    def _of(self, mark: str) -> Bools:
        return np.array([getattr(_puts(example)[0], mark) for example in self.examples], dtype=bool)

    def _items(self) -> Iterator[Item]:
        for metric in (metric for metric in self.scored if metric in SHOWN):
            for example, text, value in zip(self.examples, self.texts, self.scored[metric], strict=True):
                yield Item(
                    metric=metric.name,
                    item=example.id,
                    value=float(value),
                    dataset=self.dataset,
                    stratum=example.stratum,
                    cluster=example.cluster,
                    prediction=text,
                    target=example.target,
                    prompt=example.prompt,
                )


def asked_part(asked: GenerationsSeen, plain: GenerationsSeen) -> Part:
    """Each rule on the answer to its question, on the plain answer, and on answers with another rule."""
    unasked = {example.id: text for example, text in zip(plain.examples, plain.texts, strict=True)}
    puts = [_puts(example)[0] for example in asked.examples]
    said: dict[str, list[tuple[Put, str]]] = {}
    for put, text in zip(puts, asked.texts, strict=True):
        said.setdefault(put.question, []).append((put, text))
    held = np.array([put.holds(text) for put, text in zip(puts, asked.texts, strict=True)], dtype=float)
    loose = [
        holds_loosely(RULES[put.rule].check, text, put.argument)
        for put, text in zip(puts, asked.texts, strict=True)
    ]
    before = np.array([put.holds(unasked[put.question]) for put in puts], dtype=float)
    other = np.array([_with_another_rule(put, said[put.question]) for put in puts])
    return Part(
        dataset="asked",
        examples=asked.examples,
        texts=asked.texts,
        scored={
            ADHERENCE: held,
            LOOSE: np.array(loose, dtype=float),
            UNASKED: before,
            LIFT: held - before,
            SPECIFIC: held - other,
        },
    )


def _with_another_rule(put: Put, said: list[tuple[Put, str]]) -> float:
    """How often a rule holds in answers to its question when others are asked for; NaN if none is."""
    others = [text for other, text in said if other is not put]
    return sum(put.holds(text) for text in others) / len(others) if others else NAN


def conflict_part(seen: GenerationsSeen) -> Part:
    """The system's rule and the user's on every answer."""
    held = np.array(
        [
            [put.holds(text) for put in _puts(example)]
            for example, text in zip(seen.examples, seen.texts, strict=True)
        ],
        dtype=float,
    )
    return Part(
        dataset="conflict",
        examples=seen.examples,
        texts=seen.texts,
        scored={SYSTEM: held[:, 0], USER: held[:, 1], PRIORITY: held[:, 0] - held[:, 1]},
    )


def turns_part(seen: GenerationsSeen) -> Part:
    """One value per question: the cell that was asked, and against its two controls."""
    cells: dict[tuple[str, str], float] = {}
    for example, text in zip(seen.examples, seen.texts, strict=True):
        put = _puts(example)[0]
        cells[put.question, put.cell] = float(put.holds(text))
    kept = [
        (example, text)
        for example, text in zip(seen.examples, seen.texts, strict=True)
        if _puts(example)[0].cell == "asked"
    ]
    names = [_puts(example)[0].question for example, _ in kept]
    asked, shown, plain = (
        np.array([cells[name, cell] for name in names]) for cell in ("asked", "shown", "plain")
    )
    return Part(
        dataset="turns",
        examples=tuple(example for example, _ in kept),
        texts=tuple(text for _, text in kept),
        scored={PERSISTENCE: asked, LASTING_LIFT: asked - plain, OVER_COPYING: asked - shown},
    )


def _puts(example: Example) -> tuple[Put, ...]:
    found = example.meta["put"]
    return found if isinstance(found, tuple) else ()


def _difference(values: Floats, clusters: Ints) -> Interval:
    """Mean of paired differences; Tango's interval, which always has width, where each is -1, 0 or 1."""
    present = ~np.isnan(values)
    kept, codes = values[present], clusters[present]
    if kept.size and set(np.unique(kept)) <= {-1.0, 0.0, 1.0}:
        return change_interval((kept > 0).astype(float), (kept < 0).astype(float), codes)
    found = mean_interval(kept, codes)
    return replace(found, value=0.0) if abs(found.value) < ROUNDING else found


def _gap(change: Floats, trained: Bools, clusters: Ints) -> Interval:
    """Mean change of trained rules minus that of the others, which the same questions were asked with.

    The standard error is that of a linear contrast, clustered: deviations from the mean of either kind,
    scaled so that their mean over all items is the contrast.
    """
    if trained.all() or not trained.any():
        return Interval(value=NAN, why=GAP.absent)
    value = float(change[trained].mean() - change[~trained].mean())
    weight = np.where(trained, trained.size / trained.sum(), -trained.size / (~trained).sum())
    centre = np.where(trained, change[trained].mean(), change[~trained].mean())
    found = mean_interval(value + weight * (change - centre), clusters)
    if found.se == 0:
        return Interval(value=value, n=found.n, n_clusters=found.n_clusters, why="all pairs changed alike")
    return found
