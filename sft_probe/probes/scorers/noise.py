"""Label noise: does a model pass it on, and can it tell which labels were changed?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sft_probe.measures.annotators import (
    doubt_inheritance,
    matrix_distance,
    mean_prediction,
    noise_matrix,
)
from sft_probe.measures.membership import placements
from sft_probe.observe.observations import Bools, Floats, Ints
from sft_probe.probes.rows import Metric
from sft_probe.probes.scorers.compared import Compared, OfChosen, equal, of_label, of_number, off_label
from sft_probe.schema import NAN, Item, Measurement
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import LOG
from sft_probe.stats.two_samples import auc_interval, difference_interval

NO_NOISE = "no training row says that its label was changed"
NO_REFERENCE = "the base does not know the task; compare wrong_mass with an arm without noise"
TOO_UNSURE = "right too rarely to tell inherited doubt from ignorance"

WRONG = Metric(name="wrong_mass", unit="1", better="lower", share=True)
LAMBDA = Metric(name="noise_inheritance", unit="1", null=0.0)
DOUBT = Metric(name="doubt_inheritance", unit="1")
MEMORISED = Metric(name="flip_memorised", unit="1", null=0.0)
FLIP_AUC = Metric(name="flip_auc", unit="1", null=0.5)
FLIP_AUC_LOSS = Metric(name="flip_auc_loss", unit="1", null=0.5)
MATRIX = Metric(name="noise_matrix", unit="1", share=True)
DISTANCE = Metric(name="noise_matrix_distance", unit="1")
LABEL_DOUBT = Metric(name="label_doubt", unit="1", share=True)
METRICS = (WRONG, LAMBDA, DOUBT, MEMORISED, FLIP_AUC, FLIP_AUC_LOSS, MATRIX, DISTANCE, LABEL_DOUBT)


def noise_rows(test: Compared, train: Compared, table: Floats) -> Iterator[Measurement]:
    """Probability off the true label, held out and on training rows whose label was kept or changed."""
    matrix, flipped = noise_matrix(table), train.given != train.clean
    any_noise = bool((table - np.diag(np.diag(table))).any())
    for rows, stratum in (
        (test, ""),
        (train.among(~flipped), "label kept"),
        (train.among(flipped), "label changed"),
    ):
        if not len(rows.examples):
            continue
        rate = 1 - float(np.diag(matrix)[rows.clean].mean())
        yield rows.row(WRONG, off_label(rows.clean), stratum=stratum)
        if rate > 0 or rows is test:
            yield _lambda(rows, rate, stratum)
    yield train.row(LABEL_DOUBT, off_label(train.given))
    if not any_noise:
        return
    yield test.jackknife(DOUBT, _doubt(test.clean, matrix), why=TOO_UNSURE)
    for i, j in zip(*np.nonzero(matrix + matrix.T), strict=True):  # confused in either direction
        own = test.among(test.clean == i)
        if len(own.examples):
            pair = f"{test.labels[i]} -> {test.labels[j]}"
            yield own.row(MATRIX, of_number(j), module=pair)
    yield test.jackknife(DISTANCE, _distance(test.clean, matrix), scale=LOG)
    if flipped.any() and not flipped.all():
        yield from _detection_rows(train, flipped)


def _lambda(rows: Compared, rate: float, stratum: str) -> Measurement:
    """What came on wrong labels over the base, which must know the task to be a reference, by the rate."""
    before = off_label(rows.clean)(rows.base)
    change = off_label(rows.clean)(rows.tuned) - before
    if rate == 0:
        interval = Interval(value=NAN, n=len(change), why=NO_NOISE)
    elif before.mean() > (1 - 1 / len(rows.labels)) / 2:
        interval = Interval(value=NAN, n=len(change), why=NO_REFERENCE)
    else:
        interval = LAMBDA.interval(change / rate, rows.clusters)
    return LAMBDA.row(interval, dataset=rows.dataset, stratum=stratum)


def _distance(clean: Ints, matrix: Floats) -> OfChosen:
    return lambda model, kept: matrix_distance(mean_prediction(model[kept], clean[kept]), matrix)


def _doubt(clean: Ints, matrix: Floats) -> OfChosen:
    def of(model: Floats, kept: Bools) -> float:
        answer, gold = model[kept].argmax(1), clean[kept]
        return doubt_inheritance(equal(answer, gold), model[kept].max(1), matrix[gold, answer])

    return of


def _detection_rows(train: Compared, flipped: Bools) -> Iterator[Measurement]:
    """Did the model learn changed labels as such, and does it give them away?"""
    clusters, size = train.clusters, len(train.labels)
    wrong = of_label(train.given)(train.tuned)[flipped]
    elsewhere = off_label(train.clean)(train.tuned)[~flipped] / (size - 1)
    interval = difference_interval(wrong, elsewhere, clusters[flipped], clusters[~flipped])
    yield MEMORISED.row(interval, dataset=train.dataset)
    for metric, doubt in (
        (FLIP_AUC, off_label(train.given)(train.tuned)),
        (FLIP_AUC_LOSS, -_log_of(train.given, train.tuned) + _log_of(train.given, train.base)),
    ):
        ranks = placements(doubt[flipped], doubt[~flipped])
        area = auc_interval(*ranks, clusters[flipped], clusters[~flipped])
        yield metric.row(area, dataset=train.dataset)


def suspects(train: Compared) -> Iterator[Item]:
    """How much the label of each training row is doubted: the highest are worth a second look."""
    for i, (example, doubt) in enumerate(
        zip(train.examples, off_label(train.given)(train.tuned), strict=True)
    ):
        yield Item(
            metric=LABEL_DOUBT.name,
            item=example.id,
            value=float(doubt),
            dataset=train.dataset,
            stratum=example.stratum,
            cluster=example.cluster,
            prediction=train.labels[int(train.tuned[i].argmax())],
            target=example.target,
            prompt=example.prompt,
        )


def _log_of(label: Ints, model: Floats) -> Floats:
    found: Floats = np.log(np.maximum(of_label(label)(model), np.finfo(np.float64).tiny))
    return found
