"""Label shares in training: does a model lean to the label that was common?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sft_probe.measures.annotators import centred_log, prior_slope
from sft_probe.measures.classification import confusion, shifted_shares
from sft_probe.observe.observations import Bools, Floats, Ints
from sft_probe.probes.rows import Metric
from sft_probe.probes.scorers.compared import Compared, OfRows, of_number
from sft_probe.schema import NAN, Measurement
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import balanced_groups, jackknife_interval

BALANCED = "training labels are about equally frequent"
NONE_READ = "none of the training rows that were read has such labels"

LEAN = Metric(name="content_free_share", unit="1", share=True)
EXCESS = Metric(name="share_excess", unit="1")
BETA = Metric(name="prior_inheritance", unit="1", absent=BALANCED)
TRAIN_SHARE = Metric(name="train_share", unit="1")
BBSE = Metric(name="train_share_bbse", unit="1")
CONDITION = Metric(name="confusion_condition", unit="1")
METRICS = (LEAN, EXCESS, BETA, TRAIN_SHARE, BBSE, CONDITION)


def prior_rows(test: Compared, train: Compared, empty: Compared, table: Floats) -> Iterator[Measurement]:
    """Which label the model leans to without content, and on real inputs, against the shares in training."""
    shares = (table.sum(0) + 0.5) / (table.sum() + 0.5 * len(table))  # half a row more: no share is 0
    for k, label in enumerate(empty.labels):
        counted = float(table[:, k].sum() / table.sum())
        plain = Interval(value=counted, n=int(table.sum()), why="counted, not estimated")
        yield TRAIN_SHARE.row(plain, dataset=train.dataset, module=label)
        yield empty.row(LEAN, of_number(k), module=label)
        yield test.row(EXCESS, _excess(k, test.clean), module=label)
    kinds = np.array([example.stratum for example in empty.examples])
    for stratum in ("", *sorted(set(kinds))):
        chosen = empty.among((kinds == stratum) | (not stratum))
        row = chosen.row(BETA, lambda model: prior_slope(centred_log(model), shares))
        yield replace(row, stratum=stratum)
    counts = np.bincount(test.clean, minlength=len(test.labels))
    weight = len(test.clean) / (np.count_nonzero(counts) * counts[test.clean])  # every label counts alike
    yield test.row(BETA, lambda model: weight * prior_slope(centred_log(model), shares))
    yield from _shift_rows(test, train)


def _excess(k: int, gold: Ints) -> OfRows:
    """Probability of a label minus whether it is right, whose mean is what is predicted too often."""
    return lambda model: model[:, k] - (gold == k)


def _shift_rows(test: Compared, train: Compared) -> Iterator[Measurement]:
    """Label shares of the training rows, as predictions on them and the confusion on held-out rows give."""
    size = len(test.labels)
    if not train.examples:
        yield BBSE.row(Interval(value=NAN, why=NONE_READ), dataset=train.dataset)
        return

    def estimate(tested: Bools, trained: Bools) -> tuple[Floats, float]:
        counts = confusion(test.clean[tested], test.tuned[tested].argmax(1), size)[:, :size].T
        predicted = np.bincount(train.tuned[trained].argmax(1), minlength=size) / trained.sum()
        return shifted_shares(counts / counts.sum(), predicted)

    everything = [np.ones(len(rows.examples), dtype=bool) for rows in (test, train)]
    groups = [balanced_groups(rows.clusters) for rows in (test, train)]
    shares, condition = estimate(*everything)
    number = min(len(np.unique(g)) for g in groups)
    left_out = np.array([estimate(groups[0] != g, groups[1] != g)[0] for g in range(number)])
    for k, label in enumerate(test.labels):
        interval = jackknife_interval(float(shares[k]), left_out[:, k])
        if np.isnan(interval.value):
            interval = replace(interval, why="the confusion on held-out rows cannot be inverted")
        row = BBSE.row(replace(interval, n=len(train.examples)), dataset=train.dataset, module=label)
        yield replace(row, null_value=float((test.clean == k).mean()))
    if np.isfinite(condition):
        yield CONDITION.row(
            Interval(value=condition, n=len(test.examples), why="a property of the table"),
            dataset=test.dataset,
        )
