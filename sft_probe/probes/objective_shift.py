"""How far did what is predicted move, along whose answers, and how much of that is the chat template?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.data.wordings import rephrased
from sft_probe.errors import NotApplicable
from sft_probe.observe.interventions import Template
from sft_probe.observe.needs import Contexts, Need, TokenDivergence, TokenLogprobs
from sft_probe.observe.observations import Floats, Ints, Observed, TokenDivergenceSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import NAN, Item, Measurement, Measurements

NO_TOKENS = "no answer token with a finite score"
SHORT = "the tokens of the answers could not be paired"


class Along(NamedTuple):
    """Metrics along one kind of answers. kl: which divergence. template: chat template minus plain."""

    kl: Literal["kl_base_tuned", "kl_tuned_base"]
    chat: Metric
    plain: Metric
    template: Metric


def _kl(name: str) -> Metric:
    return Metric(name=name, unit="nats/token", null=0.0, absent=NO_TOKENS)


ALONG: dict[Contexts, Along] = {
    "base": Along("kl_base_tuned", *map(_kl, ("forward_kl", "forward_kl_plain", "forward_kl_template"))),
    "tuned": Along("kl_tuned_base", *map(_kl, ("reverse_kl", "reverse_kl_plain", "reverse_kl_template"))),
    "gold": Along("kl_tuned_base", *map(_kl, ("gold_kl", "gold_kl_plain", "gold_kl_template"))),
}
FORWARD_SAMPLED = _kl("forward_kl_sampled")
FORWARD_ANSWER = Metric(name="forward_kl_answer", unit="nats", null=0.0, absent=NO_TOKENS)
SHIFTED_PLAIN = Metric(name="shifted_plain", unit="1", share=True, null=0.0, absent=NO_TOKENS)
SHIFTED_TEMPLATE = Metric(name="shifted_template", unit="1", null=0.0, absent=NO_TOKENS)
MOVED = Metric(name="answer_logprob_shift", unit="nats/token", absent=SHORT)
REWORDED = Metric(name="reworded_shift", unit="nats/token", absent=SHORT)
BEYOND = Metric(name="shift_beyond_rewording", unit="nats/token", null=0.0, absent=SHORT)
METRICS = tuple(metric for along in ALONG.values() for metric in along[1:])


@dataclass(frozen=True, kw_only=True)
class ObjectiveShift:
    """Divergence from the base along four kinds of answers; but for samples also in plain text.

    limit: rows. samples: answers drawn from the base at temperature 1 to each row, along which the forward
    KL is that of whole answers; 0 for none. The null pair is the base itself, asked in other words.
    """

    name: ClassVar[str] = "objective_shift"
    about: ClassVar[About] = About(
        question="How far did predictions move, along whose answers, and how much of it is the template?",
        axis="what",
        source="Shenfeld, Pari & Agrawal 2025, RL's Razor (arXiv 2509.04259): forward KL on the new task; "
        "Lin et al. 2023 (arXiv 2312.01552). The null pair is ours",
        null="KL 0 for the base itself; for shifts of expected answers, what other words of the question do "
        "to the base",
        blind_spots="Answers are cut at `max_new_tokens`, and with them the KL of whole answers. The plain "
        "text is one wording of many, and a model tuned on a template may act otherwise without it.",
        cost="generation",
        headline=("forward_kl_sampled", "reverse_kl", "reverse_kl_plain", "answer_logprob_shift"),
    )

    dataset: str = "test"
    max_new_tokens: int = 24
    limit: int = 40
    samples: int = 2

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, max_new_tokens=self.max_new_tokens, limit=self.limit)
        options.at_least(self.name, 0, samples=self.samples)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The same questions in other words: the row's own, or a carrier phrase.

        Raises: NotApplicable if rows are plain text.
        """
        rows = tuple(row for row in data[self.dataset].examples if row.messages)[: self.limit]
        if not rows:
            raise NotApplicable(f"no row of '{self.dataset}' has a question; plain text has no template")
        asked = tuple(replace(row, choices=()) for row in rows)
        made = f"made from '{self.dataset}'"
        return {
            self._asked: Dataset(self._asked, asked, made),
            self._reworded: Dataset(self._reworded, tuple(rephrased(row, 0) for row in asked), made),
        }

    def needs(self) -> tuple[Need, ...]:
        """Both distributions along answers of all kinds, most in two forms, and expected answers reworded."""
        pairs = (self._divergence(whose, plain) for whose in ALONG for plain in (False, True))
        return (*pairs, *self._sampled, self._logprobs(self._asked), self._logprobs(self._reworded))

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows that say in `module` whose answers were followed; items with the forward KL of each."""
        looks = {
            whose: (seen[self._divergence(whose, False)], seen[self._divergence(whose, True)])
            for whose in ALONG
        }
        rows = [
            replace(row, module=whose)
            for whose, (chat, plain) in looks.items()
            for row in _along(ALONG[whose], chat, plain)
        ]
        if self.samples:
            rows += _along_samples([seen[need] for need in self._sampled])
        rows += [replace(row, module="tuned") for row in _shifted(*looks["tuned"])]
        rows += [replace(row, module="gold") for row in self._against_rewording(seen, base)]
        items = tuple(_items(looks["base"][0], self.dataset))
        return Measurements(tuple(replace(row, dataset=self.dataset) for row in rows), items)

    def _against_rewording(self, seen: Observed, base: Observed) -> Iterator[Measurement]:
        """How far each token of the expected answers moved, beside what other words do to the base."""
        tuned, before = (looked[self._logprobs(self._asked)] for looked in (seen, base))
        reworded = base[self._logprobs(self._reworded)]
        if not before.logprob.size == tuned.logprob.size == reworded.logprob.size:
            yield from (m.row(m.interval(np.empty(0))) for m in (MOVED, REWORDED, BEYOND))
            return
        clusters = clusters_of(before.examples)[before.example]
        moved, null = (np.abs(after.logprob - before.logprob) for after in (tuned, reworded))
        other = REWORDED.interval(null, clusters)
        yield replace(MOVED.row(MOVED.interval(moved, clusters)), null_value=other.value)
        yield REWORDED.row(other)
        yield BEYOND.row(BEYOND.interval(moved - null, clusters))

    def _divergence(self, whose: Contexts, plain: bool) -> TokenDivergence:
        under = (Template(on=False),) if plain else ()
        return TokenDivergence(
            dataset=self._asked, contexts=whose, max_new_tokens=self.max_new_tokens, under=under
        )

    @property
    def _sampled(self) -> tuple[TokenDivergence, ...]:
        """One need for each answer that is drawn to a prompt."""
        plain = self._divergence("sampled", False)
        return tuple(replace(plain, seed=draw) for draw in range(self.samples))

    def _logprobs(self, dataset: str) -> TokenLogprobs:
        return TokenLogprobs(dataset=dataset, contexts="gold")

    @property
    def _asked(self) -> str:
        return f"{self.name}.asked"

    @property
    def _reworded(self) -> str:
        return f"{self.name}.reworded"


def _along(along: Along, chat: TokenDivergenceSeen, plain: TokenDivergenceSeen) -> Iterator[Measurement]:
    """Divergence in either form, and how much more there is with the template, answer by answer."""
    for metric, tokens in ((along.chat, chat), (along.plain, plain)):
        yield metric.row(metric.interval(getattr(tokens, along.kl), _clusters(tokens)))
    yield _difference(along.template, chat, plain, lambda tokens: getattr(tokens, along.kl))


def _shifted(chat: TokenDivergenceSeen, plain: TokenDivergenceSeen) -> Iterator[Measurement]:
    """Tokens outside the base's top three, in plain text and by how much more with the template."""

    def outside(tokens: TokenDivergenceSeen) -> Floats:
        return (tokens.base_rank > 3).astype(np.float64)

    yield SHIFTED_PLAIN.row(SHIFTED_PLAIN.interval(outside(plain), _clusters(plain)))
    yield _difference(SHIFTED_TEMPLATE, chat, plain, outside)


def _difference(
    metric: Metric,
    chat: TokenDivergenceSeen,
    plain: TokenDivergenceSeen,
    values: Callable[[TokenDivergenceSeen], Floats],
) -> Measurement:
    """Mean over the tokens of each answer with the template minus that in plain text."""
    with_template, without = (_means(tokens, values(tokens)) for tokens in (chat, plain))
    return metric.row(metric.interval(with_template - without, clusters_of(chat.examples)))


def _along_samples(draws: list[TokenDivergenceSeen]) -> Iterator[Measurement]:
    """Divergence per token, and summed over each answer: then its mean over samples estimates that of whole
    answers without bias (Amini, Vieira & Cotterell 2025). draws: one answer to every prompt each."""
    kl = np.concatenate([tokens.kl_base_tuned for tokens in draws])
    clusters = np.concatenate([_clusters(tokens) for tokens in draws])
    yield FORWARD_SAMPLED.row(FORWARD_SAMPLED.interval(kl, clusters), module="sampled")
    sums = [_means(t, t.kl_base_tuned) * np.bincount(t.example, minlength=len(t.examples)) for t in draws]
    whole = FORWARD_ANSWER.interval(np.mean(sums, axis=0), clusters_of(draws[0].examples))
    yield FORWARD_ANSWER.row(whole, module="sampled")


def _items(tokens: TokenDivergenceSeen, dataset: str) -> Iterator[Item]:
    means = _means(tokens, tokens.kl_base_tuned)
    for i in np.flatnonzero(~np.isnan(means)):
        example = tokens.examples[i]
        yield Item(
            metric=ALONG["base"].chat.name,
            item=example.id,
            value=float(means[i]),
            dataset=dataset,
            stratum=example.stratum,
            cluster=example.cluster,
            prediction="".join(tokens.token[t] for t in np.flatnonzero(tokens.example == i)),
            target=example.target,
            prompt=example.prompt,
        )


def _means(tokens: TokenDivergenceSeen, values: Floats) -> Floats:
    """Mean over the tokens of each example; NaN for one without any."""
    count = np.bincount(tokens.example, minlength=len(tokens.examples))
    sums = np.bincount(tokens.example, values, len(tokens.examples))
    return np.where(count > 0, sums / np.maximum(count, 1), NAN)


def _clusters(tokens: TokenDivergenceSeen) -> Ints:
    """Cluster of each token: that of its example."""
    return clusters_of(tokens.examples)[tokens.example]
