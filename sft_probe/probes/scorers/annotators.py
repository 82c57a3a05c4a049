"""Annotators and rules of a guideline: whose labels does a model give where they differ?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sft_probe.data.annotations import judgements, rules
from sft_probe.measures.annotators import chance_divergences, divergences, majority, mixture_weights
from sft_probe.observe.observations import Bools, Floats, Ints
from sft_probe.probes.rows import Metric
from sft_probe.probes.scorers.compared import Compared, OfRows, chooses, equal, of_label
from sft_probe.schema import NAN, Measurement
from sft_probe.stats.intervals import Interval

NO_ANNOTATORS = "no row has `meta.annotators`, `meta.label_counts` or planted annotators"
NO_RULES = "no row has two rules in `meta.rules` that demand different labels"
NAMED = 8
"""Of the annotators with the most labels on disputed rows, how many have rows of their own."""

KL = Metric(name="annotator_kl", unit="nats", better="lower", absent=NO_ANNOTATORS)
KL_EXCESS = Metric(name="annotator_kl_excess", unit="nats", better="lower", absent=NO_ANNOTATORS)
JSD = Metric(name="annotator_jsd", unit="nats", better="lower", absent=NO_ANNOTATORS)
JSD_EXCESS = Metric(name="annotator_jsd_excess", unit="nats", better="lower", absent=NO_ANNOTATORS)
JSD_TO = Metric(name="jsd_to", unit="nats")
NEARER = Metric(name="nearer_distribution", unit="nats")
FOLLOWS = Metric(name="follows_annotator", unit="1", share=True)
WEIGHT = Metric(name="annotator_weight", unit="1")
RULE = Metric(name="follows_rule", unit="1", share=True, absent=NO_RULES)
TRAIN_RULE = Metric(name="labels_follow_rule", unit="1", share=True)
METRICS = (KL, KL_EXCESS, JSD, JSD_EXCESS, JSD_TO, NEARER, FOLLOWS, WEIGHT, RULE, TRAIN_RULE)


def annotator_rows(rows: Compared, *, required: bool) -> Iterator[Measurement]:
    """Divergences from the annotators on all rows that have some; whom it follows where they differ."""
    said = [judgements(example) for example in rows.examples]
    has = np.array([one is not None for one in said], dtype=bool)
    if not has.any() and not required:
        return
    rows, given = rows.among(has), [one for one in said if one is not None]
    people = np.array([[one.shares.get(label, 0.0) for label in rows.labels] for one in given])
    people = people.reshape(len(given), len(rows.labels))
    count = np.array([one.annotators for one in given])

    def part(name: str, excess: bool) -> OfRows:
        def of(model: Floats) -> Floats:
            chance = chance_divergences(model, count, np.random.default_rng(0)) if excess else None
            found: Floats = getattr(divergences(people, model), name)
            return found if chance is None else found - getattr(chance, name)

        return of

    for metric, name, excess in (
        (KL, "kl", False),
        (KL_EXCESS, "kl", True),
        (JSD, "jsd", False),
        (JSD_EXCESS, "jsd", True),
    ):
        yield rows.row(metric, part(name, excess))
    differ = people.max(1, initial=0) < 1
    disputed = differ & (majority(people) >= 0)
    if disputed.any():
        by = [one.by for one, here in zip(given, disputed, strict=True) if here]
        yield from _reference_rows(rows.among(disputed), people[disputed], by)
    if differ.any():
        yield from _weight_rows(
            rows.among(differ), [one.by for one, here in zip(given, differ, strict=True) if here]
        )


def _reference_rows(rows: Compared, people: Floats, by: Sequence[Mapping[str, str]]) -> Iterator[Measurement]:
    """On disputed rows: is the model nearest to the distribution, to its majority or to one annotator?"""
    one_hot = np.eye(len(rows.labels))
    most = majority(people)

    def distance(reference: Floats) -> OfRows:
        return lambda model: divergences(reference, model).jsd

    yield rows.row(JSD_TO, distance(people), module="distribution")
    yield rows.row(JSD_TO, distance(one_hot[most]), module="majority")
    yield rows.row(
        NEARER, lambda model: divergences(one_hot[most], model).jsd - divergences(people, model).jsd
    )
    yield rows.row(FOLLOWS, chooses(most), module="majority")
    for name in _named(by):
        own = rows.among(np.array([name in names for names in by], dtype=bool))
        label = rows.numbers(names[name] for names in by if name in names)
        yield own.row(JSD_TO, distance(one_hot[label]), module=name)
        yield own.row(FOLLOWS, chooses(label), module=name)


def _weight_rows(rows: Compared, by: Sequence[Mapping[str, str]]) -> Iterator[Measurement]:
    """On disputed rows: the mixture of named annotators that is nearest to what is predicted."""
    names = _named(by)
    if len(names) < 2:
        return
    said = np.stack([rows.numbers(labels.get(name, "") for labels in by) for name in names], axis=1)
    for k, name in enumerate(names):
        yield replace(rows.jackknife(WEIGHT, _weight_of(said, k)), module=name)


def _weight_of(said: Ints, k: int) -> Callable[[Floats, Bools], float]:
    return lambda model, chosen: float(mixture_weights(model[chosen], said[chosen])[k])


def _named(by: Sequence[Mapping[str, str]]) -> list[str]:
    """The annotators with the most labels."""
    return [name for name, _ in Counter(name for names in by for name in names).most_common(NAMED)]


def rule_rows(test: Compared, train: Compared) -> Iterator[Measurement]:
    """Where two rules of the guideline demand different labels: how much probability goes with each."""
    for rows, metric in ((test, RULE), (train, TRAIN_RULE)):
        demanded = [rules(example) for example in rows.examples]
        disputed = np.array([len(set(by.values())) > 1 for by in demanded], dtype=bool)
        names = sorted({name for by, here in zip(demanded, disputed, strict=True) if here for name in by})
        if metric is RULE and not names:
            yield RULE.row(Interval(value=NAN, why=NO_RULES), dataset=rows.dataset)
        for name in names:
            chosen = disputed & np.array([name in by for by in demanded], dtype=bool)
            own = rows.among(chosen)
            label = rows.numbers(by[name] for by, here in zip(demanded, chosen, strict=True) if here)
            if metric is RULE:
                yield own.row(RULE, of_label(label), stratum=name)
            else:
                interval = metric.interval(equal(own.given, label), own.clusters)
                yield metric.row(interval, dataset=rows.dataset, stratum=name)
