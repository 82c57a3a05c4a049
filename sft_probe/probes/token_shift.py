"""How far, and how early in an answer, did next-token choices move from the base?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from sft_probe.measures.token_classes import CLASSES, token_classes, uncapitalised
from sft_probe.observe.needs import Contexts, Need, TokenDivergence
from sft_probe.observe.observations import Observed, TokenDivergenceSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.stats.intervals import Floats, Interval, Ints
from sft_probe.stats.resampling import bootstrap_interval

NO_TOKENS = "no answer token with a finite score"
UNSHIFTED = Metric(name="unshifted", unit="1", share=True, null=1.0, absent=NO_TOKENS)
MARGINAL = Metric(name="marginal", unit="1", share=True, null=0.0, absent=NO_TOKENS)
SHIFTED = Metric(name="shifted", unit="1", share=True, null=0.0, absent=NO_TOKENS)
KL_TUNED = Metric(name="kl_tuned_base", unit="nats/token", null=0.0, absent=NO_TOKENS)
KL_BASE = Metric(name="kl_base_tuned", unit="nats/token", null=0.0, absent=NO_TOKENS)
KL_AT = Metric(name="kl_at_position", unit="nats/token", null=0.0)
HALF_DEPTH = Metric(name="kl_half_depth", unit="tokens")
ENTROPY = Metric(name="entropy", unit="nats/token", absent=NO_TOKENS)
ENTROPY_CHANGE = Metric(name="entropy_change", unit="nats/token", null=0.0, absent=NO_TOKENS)

SHOWN = 120  # answers whose tokens are kept one by one
KL_BEFORE = "kl_tuned_base_before"  # of items only: on the base's answers
POSITIONS = 16  # the first answer tokens, for which KL is told apart
ROUNDING = 1e-5  # nats/token; in float32 a smaller mean KL may be rounding


@dataclass(frozen=True, kw_only=True)
class TokenShift:
    """Rank classes of the model's tokens under the base, entropy, and KL to the base by place and kind.

    contexts: "tuned" follows the model's own greedy answers, as URIAL does; "gold" the expected answers,
    "base" the base's own greedy ones, "sampled" one draw from the base, which are the same at every step.
    Every row says in `module` which they are.
    """

    name: ClassVar[str] = "token_shift"
    about: ClassVar[About] = About(
        question="How far, and how early in an answer, did next-token choices move from the base?",
        axis="what",
        source="Lin et al. 2023, The Unlocking Spell on Base LLMs (arXiv 2312.01552): rank classes; "
        "Qi et al. 2024, Safety Alignment Should Be Made More Than Just a Few Tokens Deep (arXiv "
        "2406.05946): KL by position",
        null="all tokens unshifted and KL 0: exactly so for the base itself",
        blind_spots="Ranks look at the top choice only, and a base unsure of itself has more marginal tokens "
        "for free. The base reads the same chat template, which it may not know, so part of it is format.",
        cost="generation",
    )

    dataset: str = "test"
    contexts: Contexts = "tuned"
    max_new_tokens: int = 48
    limit: int | None = 120
    base_answers: bool = True
    """Beside the model's own answers keep KL token by token on the base's, for the item browser: no rows."""

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.one_of(self.name, get_args(Contexts), contexts=self.contexts)
        options.at_least(self.name, 1, max_new_tokens=self.max_new_tokens, limit=self.limit)

    def needs(self) -> tuple[Need, ...]:
        """Both next-token distributions on the same forced tokens."""
        return (self._divergence, *self._before)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows over all tokens, by position and by kind of token; an item with mean KL per example."""
        tokens = seen[self._divergence]
        rows = (
            *_over_tokens(tokens),
            *_by_class(tokens),
            *_by_position(tokens),
            replace(half_depth_row(tokens), module=tokens.contexts),
        )
        items = [
            *_items(tokens, KL_TUNED.name, self.dataset),
            *(item for need in self._before for item in _items(seen[need], KL_BEFORE, self.dataset)),
        ]
        return Measurements(tuple(replace(row, dataset=self.dataset) for row in rows), tuple(items))

    @property
    def _before(self) -> tuple[TokenDivergence, ...]:
        """The base's own answers, as many as are shown token by token."""
        if self.contexts != "tuned" or not self.base_answers:
            return ()
        limit = SHOWN if self.limit is None else min(SHOWN, self.limit)
        return (replace(self._divergence, contexts="base", limit=limit),)

    @property
    def _divergence(self) -> TokenDivergence:
        return TokenDivergence(
            dataset=self.dataset,
            contexts=self.contexts,
            max_new_tokens=self.max_new_tokens,
            limit=self.limit,
        )


def half_depth(kl: Floats) -> Floats:
    """Smallest number of first tokens that hold half of all KL. kl: (..., positions) sums -> (...)."""
    reached = kl.cumsum(axis=-1) >= kl.sum(axis=-1, keepdims=True) / 2
    depth: Floats = 1.0 + reached.argmax(axis=-1)
    return depth


def _over_tokens(tokens: TokenDivergenceSeen) -> Iterator[Measurement]:
    clusters = _clusters(tokens)
    for metric, values in _values(tokens).items():
        row = metric.row(metric.interval(values, clusters), module=tokens.contexts)
        if metric == ENTROPY and tokens.entropy_base.size:
            row = replace(row, null_value=float(tokens.entropy_base.mean()))
        yield row


def _by_class(tokens: TokenDivergenceSeen) -> Iterator[Measurement]:
    """Rank class and KL for each kind of token that occurs, over the tokens that were forced."""
    clusters, kinds, values = _clusters(tokens), _kinds(tokens), _values(tokens)
    for kind in CLASSES:
        inside = kinds == kind
        if inside.any():
            for metric in (UNSHIFTED, SHIFTED, KL_TUNED, ENTROPY_CHANGE):
                interval = metric.interval(values[metric][inside], clusters[inside])
                yield metric.row(interval, stratum=kind, module=tokens.contexts)


def _values(tokens: TokenDivergenceSeen) -> dict[Metric, Floats]:
    """Every metric at every token."""
    rank = tokens.base_rank
    return {
        UNSHIFTED: (rank == 1).astype(np.float64),
        MARGINAL: ((rank > 1) & (rank <= 3)).astype(np.float64),
        SHIFTED: (rank > 3).astype(np.float64),
        KL_TUNED: tokens.kl_tuned_base,
        KL_BASE: tokens.kl_base_tuned,
        ENTROPY: tokens.entropy_tuned,
        ENTROPY_CHANGE: tokens.entropy_tuned - tokens.entropy_base,
    }


def _kinds(tokens: TokenDivergenceSeen) -> NDArray[np.object_]:
    """Kind of each token; words that any expected answer writes without a capital are no entities."""
    lower = uncapitalised([example.target for example in tokens.examples])
    kinds = np.empty(tokens.example.size, dtype=object)
    for i in range(len(tokens.examples)):
        own = np.flatnonzero(tokens.example == i)
        kinds[own] = token_classes([tokens.token[t] for t in own], lower)
    return kinds


def _by_position(tokens: TokenDivergenceSeen) -> Iterator[Measurement]:
    """Mean over the answers that are still going at each position; `n` says how many."""
    clusters = _clusters(tokens)
    for position in range(POSITIONS):
        here = tokens.position == position
        if here.any():
            interval = KL_AT.interval(tokens.kl_tuned_base[here], clusters[here])
            yield KL_AT.row(interval, module=f"{tokens.contexts} {position}")


def half_depth_row(tokens: TokenDivergenceSeen, metric: Metric = HALF_DEPTH) -> Measurement:
    """Half-depth over the KL summed over answers, so that a long answer's tail counts for what it holds."""
    kl = tokens.kl_tuned_base
    if kl.size == 0:
        return metric.row(Interval(value=NAN, why=NO_TOKENS))
    if kl.mean() < ROUNDING:
        return metric.row(Interval(value=NAN, why="the model does not differ from its base"))
    _, clusters = np.unique(_clusters(tokens), return_inverse=True)
    sums = np.zeros((clusters.max() + 1, tokens.position.max() + 1))
    np.add.at(sums, (clusters, tokens.position), kl)
    interval = bootstrap_interval(half_depth, sums, np.random.default_rng(0))
    return metric.row(replace(interval, n=kl.size))


def _items(tokens: TokenDivergenceSeen, metric: str, dataset: str) -> Iterator[Item]:
    for i, example in enumerate(tokens.examples):
        own = tokens.example == i
        if own.any():
            yield Item(
                metric=metric,
                item=example.id,
                value=float(tokens.kl_tuned_base[own].mean()),
                dataset=dataset,
                stratum=example.stratum,
                cluster=example.cluster,
                prediction="".join(tokens.token[t] for t in np.flatnonzero(own)),
                target=example.target,
                prompt=example.prompt,
                by_token=_by_token(tokens, own) if i < SHOWN else "",
            )


def _by_token(tokens: TokenDivergenceSeen, own: NDArray[np.bool_]) -> str:
    """KL at every token of one answer, to three digits."""
    places = np.flatnonzero(own)
    pairs = [[tokens.token[t], float(f"{tokens.kl_tuned_base[t]:.3g}")] for t in places]
    return json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))


def _clusters(tokens: TokenDivergenceSeen) -> Ints:
    """Cluster of each token: that of its example."""
    return clusters_of(tokens.examples)[tokens.example]
