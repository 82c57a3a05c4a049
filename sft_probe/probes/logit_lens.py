"""At which layer does the stream already say the answer?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.measures.lens import Told, Translator, decision_depth, tell
from sft_probe.observe.needs import Need, States, Unembedding
from sft_probe.observe.observations import Floats, Ints, Observed, StatesSeen, UnembeddingSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Measurement, Measurements

NO_TOKENS = "no answer token with a finite score"
LOGIT, FROZEN, REFIT, PERMUTED = "logit", "frozen", "refit", "permuted"
"""Lenses, in `module`: the plain one; a translator per layer, fitted on the base; the same fitted on the
model itself; and the plain one against the tokens of other answers, which is what frequent tokens give."""

DEPTH = Metric(name="decision_depth", unit="layers", absent=NO_TOKENS)
DEPTH_CHANGE = Metric(name="decision_depth_change", unit="layers", null=0.0, absent=NO_TOKENS)
GOLD = Metric(name="lens_gold_logprob", unit="nats/token", better="higher", absent=NO_TOKENS)
GOLD_CHANGE = Metric(
    name="lens_gold_logprob_change", unit="nats/token", better="higher", null=0.0, absent=NO_TOKENS
)
RANK = Metric(name="lens_gold_log_rank", unit="log10 rank", better="lower", absent=NO_TOKENS)
KL = Metric(name="lens_kl", unit="nats/token", absent=NO_TOKENS)


@dataclass(frozen=True, kw_only=True)
class LogitLens:
    """The residual stream read through final norm and unembedding, as it is and after a translator per layer.

    fit: the data set on whose answers translators are fitted, `fit_limit` rows of it. steps: of L-BFGS.
    """

    name: ClassVar[str] = "logit_lens"
    about: ClassVar[About] = About(
        question="At which layer does the stream already say the answer?",
        axis="where",
        source="nostalgebraist 2020, interpreting GPT: the logit lens; Belrose et al. 2023, Eliciting Latent "
        "Predictions from Transformers with the Tuned Lens",
        null="the base's own values; for the gold token also the tokens of other answers",
        blind_spots="The plain lens misreads early layers, whose basis is not yet that of the output. "
        "Translators are fitted on few rows. Only expected answers are read.",
        cost="forward",
    )

    dataset: str = "test"
    limit: int = 40
    fit: str = "train"
    fit_limit: int = 60
    steps: int = 8

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset, fit=self.fit)
        options.at_least(self.name, 1, limit=self.limit, fit_limit=self.fit_limit, steps=self.steps)

    def needs(self) -> tuple[Need, ...]:
        """States from which answers are predicted, of two data sets, and what turns states into logits."""
        return (self._read, self._fit, Unembedding())

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per layer and lens, with the base's value as null; depth over all layers."""
        head, other = seen[Unembedding()], base[Unembedding()]
        states, before = seen[self._read], base[self._read]
        if head.read is None or other.read is None:
            return Measurements(tuple(_unread(head.why or other.why, self.dataset)))
        frozen = self._translators(other, base[self._fit])
        own = frozen if seen is base else self._translators(head, seen[self._fit])
        translators = {FROZEN: frozen, REFIT: own}
        at_base = dict.fromkeys(translators, frozen)
        rows = []
        for lens in (LOGIT, FROZEN, REFIT, PERMUTED):
            after = _told(states, head, translators.get(lens, ()), permuted=lens == PERMUTED)
            reference = _told(before, other, at_base.get(lens, ()), permuted=lens == PERMUTED)
            found = _permuted_rows if lens == PERMUTED else _rows
            rows += [replace(row, module=lens) for row in found(after, reference, states)]
        return Measurements(tuple(replace(row, dataset=self.dataset) for row in rows))

    def _translators(self, head: UnembeddingSeen, seen: StatesSeen) -> tuple[Translator, ...]:
        """One for every layer but the last."""
        return tuple(head.fit(layer, seen.states[-1], self.steps) for layer in seen.states[:-1])

    @property
    def _read(self) -> States:
        return States(dataset=self.dataset, at="answer", limit=self.limit)

    @property
    def _fit(self) -> States:
        return States(dataset=self.fit, at="answer", limit=self.fit_limit)


def _told(
    seen: StatesSeen, head: UnembeddingSeen, translators: tuple[Translator, ...], *, permuted: bool
) -> Told:
    assert head.read is not None
    following = seen.following
    if permuted:  # the order of the examples is already random
        following = np.roll(following, len(following) // 2)
    return tell(seen.states, head.read, following, translators)


def _rows(after: Told, before: Told, seen: StatesSeen) -> Iterator[Measurement]:
    clusters = clusters_of(seen.examples)[seen.example]
    layers = np.array(seen.layers, dtype=np.float64)
    depth, reference = (layers[decision_depth(told.first)] for told in (after, before))
    yield _row(DEPTH, depth, reference, clusters)
    yield DEPTH_CHANGE.row(DEPTH_CHANGE.interval(depth - reference, clusters))
    for index, layer in enumerate(seen.layers):
        change = GOLD_CHANGE.interval(after.logprob[index] - before.logprob[index], clusters)
        for row in (
            _row(GOLD, after.logprob[index], before.logprob[index], clusters),
            GOLD_CHANGE.row(change),
            _row(RANK, np.log10(after.rank[index]), np.log10(before.rank[index]), clusters),
            _row(KL, after.kl[index], before.kl[index], clusters),
        ):
            yield replace(row, layer=layer)


def _permuted_rows(after: Told, before: Told, seen: StatesSeen) -> Iterator[Measurement]:
    clusters = clusters_of(seen.examples)[seen.example]
    for index, layer in enumerate(seen.layers):
        row = _row(GOLD, after.logprob[index], before.logprob[index], clusters)
        yield replace(row, layer=layer)


def _row(metric: Metric, values: Floats, base: Floats, clusters: Ints) -> Measurement:
    row = metric.row(metric.interval(values, clusters))
    return replace(row, null_value=float(base.mean())) if len(base) else row


def _unread(why: str, dataset: str) -> Iterator[Measurement]:
    for metric in (DEPTH, DEPTH_CHANGE, GOLD, GOLD_CHANGE, RANK, KL):
        row = metric.row(metric.interval(np.empty(0)), dataset=dataset, module=LOGIT)
        yield replace(row, why=why)
