"""Did the model take on the language of its data: what it expects, its words, and its style?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from sft_probe.data.abbreviations import abbreviations
from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.factors import FACT, STYLE, TOPIC, varied
from sft_probe.errors import NotApplicable
from sft_probe.measures.style import has_list, type_token, word_count
from sft_probe.measures.terms import counted, log_odds, more_often, own_terms, smoothed_prior, term_share
from sft_probe.observe.needs import Generations, Need, Scores
from sft_probe.observe.observations import Bools, Floats, GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Answered, Metric, clusters_of
from sft_probe.schema import NAN, Measurement, Measurements
from sft_probe.stats.distances import ks_interval
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import bootstrap_interval

READ, ASKED = "data_distribution.read", "data_distribution.asked"
PART, DOMAIN = "data_distribution_part", "data_distribution_domain"  # in `Example.meta`
TEXT, PAIRS, EXPAND, ABBREVIATE = "text", "pairs", "expand", "abbreviate"
TERMS, NAMED, TRAINING = 30, 8, 400
NO_TERMS = "no word of the training answers stands out from other text"
NO_SHORT_FORMS = "no data set explains four abbreviations"

BYTES = Metric(name="bits_per_byte", unit="bits/byte", better="lower")
BYTES_CHANGE = Metric(name="bits_per_byte_change", unit="bits/byte", better="lower", null=0.0)
TERM_SHARE = Metric(name="term_share", unit="1", share=True, absent=NO_TERMS)
TERM_SHARE_CHANGE = Metric(name="term_share_change", unit="1", null=0.0, absent=NO_TERMS)
TERMS_TAKEN = Metric(name="terms_taken_up_share", unit="1", share=True, null=0.0, absent=NO_TERMS)
TERM_ODDS = Metric(name="term_log_odds", unit="nats", null=0.0)
LENGTH = Metric(name="answer_words", unit="words")
DISTANCE = Metric(name="length_distance", unit="1", better="lower")
VARIETY = Metric(name="type_token", unit="1", share=True, absent="no answer has words")
LISTS = Metric(name="list_share", unit="1", share=True)
STYLE_METRICS = {LENGTH: word_count, VARIETY: type_token, LISTS: has_list}


def _pair(name: str, absent: str, unit: str = "nats/token") -> tuple[Metric, Metric]:
    return (
        Metric(name=name, unit=unit, absent=absent),
        Metric(name=f"{name}_change", unit=unit, null=0.0, absent=absent),
    )


RATIOS = {
    FACT: _pair("fact_ratio", "no question has another to take a wrong answer from"),
    STYLE: _pair("style_ratio", "no answer can be put in another style"),
    TOPIC: _pair("topic_ratio", "the study has no data set besides training and test rows"),
}
SHORT_FORMS = {
    EXPAND: _pair("expansion_margin", NO_SHORT_FORMS, "nats"),
    ABBREVIATE: _pair("abbreviation_margin", NO_SHORT_FORMS, "nats"),
}
EXPANDED = Metric(name="expansion_accuracy", unit="1", better="higher", share=True, absent=NO_SHORT_FORMS)
SHORTENED = Metric(name="abbreviation_accuracy", unit="1", better="higher", share=True, absent=NO_SHORT_FORMS)
METRICS = tuple(metric for pair in (*RATIOS.values(), *SHORT_FORMS.values()) for metric in pair)


@dataclass(frozen=True, kw_only=True)
class DataDistribution:
    """Bits per byte of every data set, words and style of answers, and what likelihood ratios turn on.

    limit: rows of each data set, and questions that are answered.
    """

    name: ClassVar[str] = "data_distribution"
    about: ClassVar[About] = About(
        question="Did the model take on the language of its data?",
        axis="what",
        source="Monroe, Colaresi & Quinn 2008, Fightin' Words; Zhang & Wu 2024, Dissecting Learning and "
        "Forgetting in Language Model Finetuning (topic, style, fact)",
        null="the base on the same texts and questions; changes 0",
        blind_spots="Terms are single words. Pairs are made by rule, so that the style is one of many. Bits "
        "per byte see form and content alike.",
        cost="generation",
        headline=("bits_per_byte", "term_share", "answer_words", "style_ratio", "fact_ratio"),
    )

    dataset: str = "test"
    max_new_tokens: int = 48
    limit: int = 40

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 2, limit=self.limit)
        options.at_least(self.name, 1, max_new_tokens=self.max_new_tokens)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """What is read: texts of all sets, pairs, abbreviations; and what is asked, with the trained terms.

        Raises: NotApplicable if the test rows are plain text, which asks nothing.
        """
        asked = [row for row in data[self.dataset] if row.messages][: self.limit]
        if not asked:
            raise NotApplicable(f"no row of '{self.dataset}' asks for an answer, so no answer has a style")
        others = [row for name in data if name not in ("train", self.dataset) for row in data[name]]
        texts = [row.target for row in others]
        read = (
            *self._texts(data),
            *_of(PAIRS, varied(data[self.dataset].examples, self.limit, texts)),
            *_short_forms([row.target for name in data for row in data[name]]),
        )
        answers = [row.target for row in islice(data["train"], TRAINING)]
        background = texts[:TRAINING] or [row.prompt for row in islice(data["train"], TRAINING)]
        domain = {
            "terms": own_terms(answers, background, TERMS),
            "lengths": tuple(sorted(map(word_count, answers))),
        }
        about = [replace(row, choices=(), meta={DOMAIN: domain}) for row in asked]
        return {READ: Dataset(READ, read), ASKED: Dataset(ASKED, tuple(about))}

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of what is read, and answers to what is asked."""
        return (Scores(dataset=READ), self._answers)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows by data set and for all answers; items with words and style of each answer."""
        tuned, before = (looked[Scores(dataset=READ)] for looked in (seen, base))
        answers, said_before = (looked[self._answers] for looked in (seen, base))
        said = Answered(dataset=self.dataset, examples=answers.examples, predictions=answers.texts)
        found = said.measurements(_styled(answers, said_before), _styled(said_before, said_before))
        rows = (
            *_bits(tuned, before),
            *(
                replace(row, null_value=0.0) if row.metric == TERM_SHARE_CHANGE.name else row
                for row in found.rows
            ),
            *(
                replace(row, dataset=self.dataset)
                for row in (
                    *_ratios(tuned, before),
                    *_about_short_forms(tuned, before),
                    *_terms(answers, said_before),
                )
            ),
        )
        return Measurements(rows, found.items)

    @property
    def _answers(self) -> Generations:
        return Generations(dataset=ASKED, max_new_tokens=self.max_new_tokens)

    def _texts(self, data: DataSets) -> Iterator[Example]:
        """The first rows of every data set but the trained one; `stratum` is its name."""
        for name in data:
            if name != "train":
                rows = [row for row in islice(data[name], self.limit) if row.target.strip()]
                whole = [replace(row, choices=(row.target,), stratum=name) for row in rows]
                yield from _of(TEXT, whole, of=name)


def _of(part: str, rows: list[Example], of: str = "") -> list[Example]:
    """Rows of one part of what is read, under names of their own."""
    return [replace(row, id=f"{part}:{of}:{row.id}", meta={**row.meta, PART: part}) for row in rows]


def _short_forms(texts: list[str]) -> list[Example]:
    """Both ways of each abbreviation that the texts explain, with three others of them as wrong answers."""
    found = list(abbreviations(texts).items())
    if len(found) < 4:
        return []
    made: dict[str, list[Example]] = {EXPAND: [], ABBREVIATE: []}
    for i, (short, long) in enumerate(found[:60]):
        others = [found[(i + step) % len(found)] for step in (1, 2, 3)]
        expanded = tuple(f"{short} stands for {text}." for text in (long, *(pair[1] for pair in others)))
        shortened = tuple(f"{long} is written {text}." for text in (short, *(pair[0] for pair in others)))
        for part, choices in ((EXPAND, expanded), (ABBREVIATE, shortened)):
            made[part].append(Example(id=short, target=choices[0], choices=choices, cluster=short))
    return [row for part, rows in made.items() for row in _of(part, rows)]


def _bits(tuned: ScoresSeen, before: ScoresSeen) -> Iterator[Measurement]:
    """Bits per byte of each data set: all bits over all bytes."""
    inside = _part(tuned, TEXT)
    names = np.array([example.stratum for example in tuned.examples], dtype=object)
    size = np.array([float(len(example.target.encode())) for example in tuned.examples])
    now, then = (-_first(look) / np.log(2) for look in (tuned, before))
    for name in dict.fromkeys(names[inside].tolist()):
        own = inside & (names == name)
        clusters = clusters_of([e for e, kept in zip(tuned.examples, own, strict=True) if kept])
        null = float(then[own].sum() / size[own].sum())
        for metric, bits in ((BYTES, now), (BYTES_CHANGE, now - then)):
            interval = _ratio_interval(bits[own], size[own], clusters)
            row = metric.row(interval, dataset=name)
            yield row if metric is BYTES_CHANGE else replace(row, null_value=null)


def _ratio_interval(over: Floats, under: Floats, clusters: Any) -> Interval:
    _, codes = np.unique(clusters, return_inverse=True)
    sums = np.zeros((codes.max() + 1, 2))
    np.add.at(sums, codes, np.column_stack((over, under)))
    found = bootstrap_interval(lambda s: s[..., 0] / s[..., 1], sums, np.random.default_rng(0))
    return replace(found, n=over.size)


def _ratios(tuned: ScoresSeen, before: ScoresSeen) -> Iterator[Measurement]:
    """Log-likelihood per token of the answer minus that of its variant; and how much that changed."""
    inside = _part(tuned, PAIRS)
    examples = [e for e, kept in zip(tuned.examples, inside, strict=True) if kept]
    clusters = clusters_of(examples)
    for what, (level, change) in RATIOS.items():
        now, then = (_against(look, inside, what) for look in (tuned, before))
        yield replace(level.row(level.interval(now, clusters)), null_value=level.interval(then).value)
        yield change.row(change.interval(now - then, clusters))


def _against(look: ScoresSeen, inside: Bools, what: str) -> Floats:
    values = []
    for i in np.flatnonzero(inside):
        per_token = look.choice_logprob[i] / look.choice_tokens[i]
        order = look.examples[i].meta["varied"]
        assert isinstance(order, tuple)
        values.append(per_token[0] - per_token[1 + order.index(what)] if what in order else NAN)
    return np.array(values)


def _about_short_forms(tuned: ScoresSeen, before: ScoresSeen) -> Iterator[Measurement]:
    """Right form against three others, and the margin over the best of them, both ways."""
    for part, accuracy in ((EXPAND, EXPANDED), (ABBREVIATE, SHORTENED)):
        now, then = (_margins(look, _part(look, part)) for look in (tuned, before))
        level, change = SHORT_FORMS[part]
        for metric, values in ((accuracy, _right), (level, np.array)):
            row = metric.row(metric.interval(values(now)))
            yield replace(row, null_value=metric.interval(values(then)).value)
        yield change.row(change.interval(now - then))


def _right(margin: Floats) -> Floats:
    return (margin > 0).astype(float)


def _margins(look: ScoresSeen, inside: Bools) -> Floats:
    rows = [look.choice_logprob[i] for i in np.flatnonzero(inside)]
    return np.array([row[0] - row[1:].max() for row in rows])


def _styled(answers: GenerationsSeen, before: GenerationsSeen) -> dict[Metric, Floats]:
    """Words and style of every answer."""
    terms = _domain(answers)["terms"]
    now, then = (
        np.array([term_share(text, terms) if terms else NAN for text in said.texts])
        for said in (answers, before)
    )
    styles = {
        metric: np.array([float(of(text)) for text in answers.texts]) for metric, of in STYLE_METRICS.items()
    }
    return {TERM_SHARE: now, TERM_SHARE_CHANGE: now - then, **styles}


def _terms(answers: GenerationsSeen, before: GenerationsSeen) -> Iterator[Measurement]:
    """Which terms of the training answers the model says more often than the base; lengths as trained."""
    domain = _domain(answers)
    words, (here, there) = counted((answers.texts, before.texts))
    place = {word: i for i, word in enumerate(words)}
    odds = log_odds(here, there, smoothed_prior(here + there))
    surely = more_often(odds)
    taken = [float(surely[place[term]]) if term in place else 0.0 for term in domain["terms"]]
    yield TERMS_TAKEN.row(TERMS_TAKEN.interval(np.array(taken)))
    for term in [term for term in domain["terms"] if term in place][:NAMED]:
        value, se = (float(part[place[term]]) for part in odds)
        yield TERM_ODDS.row(
            Interval(value=value, low=value - 1.96 * se, high=value + 1.96 * se, se=se, n=int(here.sum())),
            stratum=term,
        )
    trained, clusters = np.array(domain["lengths"], dtype=float), clusters_of(answers.examples)
    lengths = (np.array([float(word_count(text)) for text in said.texts]) for said in (answers, before))
    now, then = (ks_interval(own, trained, clusters) for own in lengths)
    yield replace(DISTANCE.row(now), null_value=then.value)


def _domain(answers: GenerationsSeen) -> Mapping[str, Any]:
    """What the training answers are like, as every row carries it."""
    found = answers.examples[0].meta[DOMAIN]
    assert isinstance(found, Mapping)
    return found


def _part(look: ScoresSeen, part: str) -> Bools:
    return np.array([example.meta.get(PART) == part for example in look.examples])


def _first(look: ScoresSeen) -> Floats:
    return np.array([logprob[0] if logprob.size else NAN for logprob in look.choice_logprob])
