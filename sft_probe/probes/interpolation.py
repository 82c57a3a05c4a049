"""How much of what was lost comes back on the way to the base, and how much of what was learned goes?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.errors import SpecError
from sft_probe.observe.interventions import Interpolate
from sft_probe.observe.needs import Benchmark, Need, Scores
from sft_probe.observe.observations import Floats, Observed, ScoresSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.probes.scorers.documents import (
    ALL,
    NO_PAIRS,
    Pair,
    clusters_of_pairs,
    item_of,
    pairs_of,
    values_of,
)
from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.stats.contrasts import change_interval, paired_interval

LEARNED = Metric(name="path_exact_share", unit="1", better="higher", share=True)
LOGPROB = Metric(name="path_answer_logprob", unit="nats/token", better="higher")
KEPT = Metric(name="path_accuracy", unit="1", better="higher", share=True, absent=NO_PAIRS)
KEPT_CHANGE = Metric(name="path_accuracy_change", unit="1", better="higher", null=0.0, absent=NO_PAIRS)
BULGE = Metric(name="path_loss_bulge", unit="nats/token", better="lower", null=0.0)


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Task and benchmarks at mixtures of base and model: WiSE-FT, without any training.

    alphas: shares of the way from the base, 0 and 1 left out, which are always looked at. limit: test rows.
    tasks, apply_chat_template: as in `forgetting`. documents: of each task.
    """

    name: ClassVar[str] = "interpolation"
    about: ClassVar[About] = About(
        question="How much of what was lost comes back on the way to the base, and how much of what was "
        "learned goes?",
        axis="cost",
        source="Wortsman et al. 2022, Robust Fine-tuning of Zero-shot Models (WiSE-FT); Frankle et al. 2020 "
        "(loss along the way)",
        null="the straight line between base and model",
        blind_spots="A straight line in weights says nothing of other ways. Few mixtures and documents: the "
        "best mixture is chosen where it is judged.",
        cost="benchmark",
        headline=("path_exact_share", "path_accuracy"),
    )

    dataset: str = "test"
    alphas: tuple[float, ...] = (0.25, 0.5, 0.75)
    limit: int = 60
    tasks: tuple[str, ...] = ("world",)
    documents: int = 24
    apply_chat_template: bool = False

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.names(self.name, tasks=self.tasks)
        options.at_least(self.name, 1, limit=self.limit, documents=self.documents)
        if not isinstance(self.alphas, tuple) or not self.alphas:
            raise SpecError("alphas must be a list of shares.", field="probes.interpolation.alphas")
        for alpha in self.alphas:
            options.share(self.name, alphas=alpha)
        if {0, 1} & set(self.alphas) or list(self.alphas) != sorted(set(self.alphas)):
            raise SpecError(
                "alphas lie between 0 and 1, each once and in order.", field="probes.interpolation.alphas"
            )

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of expected answers, and documents, at every mixture."""
        places = (*self.alphas, 1.0)
        return (*map(self._scores, places), *map(self._benchmark, places))

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows by mixture (column module, as `alpha 0.5`); items of each, from which frontiers are made."""
        rows: list[Measurement] = []
        items: list[Item] = []
        losses, before = {}, base[self._scores(1.0)]
        for alpha in (0.0, *self.alphas, 1.0):
            scores = before if alpha == 0 else seen[self._scores(alpha)]
            document = base[self._benchmark(1.0)] if alpha == 0 else seen[self._benchmark(alpha)]
            pairs = pairs_of(base[self._benchmark(1.0)], document)
            found = _rows(scores, before, pairs, self.dataset)
            rows += [replace(row, module=f"alpha {alpha:g}") for row in found]
            items += _items(scores, pairs, alpha, self.dataset)
            losses[alpha] = -_per_token(scores)
        return Measurements((*rows, _bulge(losses, before, self.dataset)), tuple(items))

    def _scores(self, alpha: float) -> Scores:
        return Scores(dataset=self.dataset, limit=self.limit, under=_at(alpha))

    def _benchmark(self, alpha: float) -> Benchmark:
        return Benchmark(
            tasks=self.tasks,
            limit=self.documents,
            apply_chat_template=self.apply_chat_template,
            under=_at(alpha),
        )


def _at(alpha: float) -> tuple[Interpolate, ...]:
    return () if alpha == 1 else (Interpolate(alpha),)


def _per_token(scores: ScoresSeen) -> Floats:
    return scores.target_logprob / np.where(scores.target_tokens > 0, scores.target_tokens, np.nan)


def _rows(
    scores: ScoresSeen, before: ScoresSeen, pairs: Sequence[Pair], dataset: str
) -> Iterator[Measurement]:
    """One mixture. An answer is exact if greedy decoding would give all of it, its end included."""
    clusters = clusters_of(scores.examples)
    for metric, now, then in (
        (LEARNED, scores.target_greedy.astype(float), before.target_greedy.astype(float)),
        (LOGPROB, _per_token(scores), _per_token(before)),
    ):
        row = metric.row(metric.interval(now, clusters), dataset=dataset)
        yield replace(row, null_value=metric.interval(then).value)
    earlier, later = values_of(pairs)
    kept = KEPT.row(KEPT.interval(later, clusters_of_pairs(pairs)), dataset=ALL)
    yield replace(kept, null_value=float(earlier.mean()) if pairs else float("nan"))
    yield KEPT_CHANGE.row(change_interval(later, earlier, clusters_of_pairs(pairs)), dataset=ALL)


def _bulge(losses: dict[float, Floats], before: ScoresSeen, dataset: str) -> Measurement:
    """How far the loss rises above the straight line between its ends, at the mixture where it does most."""
    start, end = losses[0.0], losses[1.0]
    above = {
        alpha: paired_interval(loss, (1 - alpha) * start + alpha * end, clusters_of(before.examples))
        for alpha, loss in losses.items()
        if 0 < alpha < 1
    }
    return BULGE.row(max(above.values(), key=lambda interval: interval.value), dataset=dataset)


def _items(scores: ScoresSeen, pairs: Sequence[Pair], alpha: float, dataset: str) -> Iterator[Item]:
    for row, exact in zip(scores.examples, scores.target_greedy, strict=True):
        yield Item(
            metric=f"learned at {alpha:g}",
            item=row.id,
            value=float(exact),
            dataset=dataset,
            stratum=row.stratum,
            cluster=row.cluster,
        )
    for pair in pairs:
        plain = item_of(pair.after, f"kept at {alpha:g}", pair.after.value)
        yield replace(plain, prediction="", target="", prompt="")
