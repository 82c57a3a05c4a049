"""What did the base know of the facts it is trained on and tested on, and what becomes of each kind?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.measures.knowledge import CATEGORIES, Category, least_hits, slick_category
from sft_probe.measures.text import contains, exact_match
from sft_probe.observe.interventions import FewShot
from sft_probe.observe.needs import Generations, Need, Scores
from sft_probe.observe.observations import Bools, Floats, GenerationsSeen, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.knowing import CHECKED, JUDGED, Detector, Known
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Item, Measurement, Measurements

CATEGORY = Metric(name="category_share", unit="1", share=True, absent="no fact can be judged")
SAMPLED = Metric(name="sampled_category_share", unit="1", share=True, absent="no fact was sampled")
AGREEMENT = Metric(name="category_agreement_share", unit="1", share=True, absent="no fact was sampled")
GUESS = Metric(name="guess_rate", unit="1", share=True, absent="no fact was sampled")
RIGHT = Metric(
    name="answered_accuracy", unit="1", better="higher", share=True, absent="no fact is of this kind"
)
LIKELY = Metric(name="likely_share", unit="1", better="higher", share=True, absent="no fact is of this kind")
TRAIN = "train"


@dataclass(frozen=True, kw_only=True)
class KnowledgeCategories:
    """SliCK categories of facts in the base, by likelihood and, for a few, by sampling; answers per category.

    dataset: held-out facts beside those of "train". limit: facts of each. sampled: facts of "train" that are
    also judged by sampled answers, 0 for none. prompts: few-shot prompts for each of them; shots: examples in
    each; samples: answers at temperature 0.5 to each prompt. distractors, size: of the likelihood test.
    """

    name: ClassVar[str] = "knowledge_categories"
    about: ClassVar[About] = About(
        question="Which facts did the base know, and what does training make of each kind?",
        axis="what",
        source="Gekhman et al. 2024 (arXiv 2405.05904), SliCK, with a binomial guess test",
        null="the base's value for the same category",
        blind_spots="A base that prompts cannot reach looks ignorant when sampled: compare with the "
        "likelihood categories. Categories are fixed on the base; facts at a limit regress to the mean.",
        cost="generation",
        headline=("answered_accuracy", "likely_share"),
    )

    dataset: str = "test"
    limit: int = 48
    sampled: int = 8
    prompts: int = 2
    shots: int = 4
    samples: int = 4
    max_new_tokens: int = 16
    distractors: int = 7
    size: float = 0.05

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 2, limit=self.limit, samples=self.samples, distractors=self.distractors)
        options.at_least(self.name, 1, prompts=self.prompts, shots=self.shots)
        options.at_least(self.name, 1, max_new_tokens=self.max_new_tokens)
        options.at_least(self.name, 0, sampled=self.sampled)
        options.share(self.name, size=self.size)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Facts with wrong answers beside them, of both data sets. Raises: NotApplicable without any."""
        made: dict[str, Dataset] = {}
        for source in self._sources:
            rows, pool = (
                [row for row in data[source] if row.messages][part]
                for part in (slice(self.limit), slice(self.limit, None))
            )
            name = self._facts(source).dataset
            try:
                made[name] = self._detector.dataset(name, rows, pool)
            except NotApplicable as reason:
                raise NotApplicable(f"{reason} (data set '{source}')") from reason
            made[self._asked(source).dataset] = Dataset(self._asked(source).dataset, tuple(rows))
        return made

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of facts and greedy answers; for some, answers behind few-shot prompts."""
        plain = [need for source in self._sources for need in (self._facts(source), self._asked(source))]
        return (*plain, *(need for pair in self._drawn for need in pair))

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Shares of categories, and per category of the base how much is answered rightly or likeliest."""
        found = Measurements()
        for source in self._sources:
            before, now = (self._detector.judge(look[self._facts(source)]) for look in (base, seen))
            kinds = {fact: likelihood_category(before, fact) for fact in before.facts}
            moved = {fact: likelihood_category(now, fact) for fact in now.facts}
            rows = seen[self._asked(source)].examples
            found += Measurements(tuple(_shares(CATEGORY, rows, moved, kinds, source)))
            right, was = (_right(look[self._asked(source)]) for look in (seen, base))
            found += _by_category(RIGHT, rows, right, was, kinds, source)
            likely, once = (np.array([float(k.knows(row.id)) for row in rows]) for k in (now, before))
            found += _by_category(LIKELY, rows, likely, once, kinds, source)
        return found + self._sampled(seen, base)

    def _sampled(self, seen: Observed, base: Observed) -> Measurements:
        """Categories by sampled answers, the guess rate they are tested against, and agreement."""
        if not self.sampled:
            return Measurements()
        known = self._detector.judge(base[self._facts(TRAIN)])
        wrong = {str(row.meta["fact"]): row.meta["answers"] for row in base[self._facts(TRAIN)].examples}
        now, before = (
            Sampling.of([(look[g], look[s]) for g, s in self._drawn], wrong) for look in (seen, base)
        )
        rows = now.examples
        kinds, were = now.categories(), before.categories()
        alike = np.array(
            [
                float((likelihood_category(known, row.id) == "unknown") == (were[row.id] == "unknown"))
                if row.id in known.facts
                else np.nan
                for row in rows
            ]
        )
        guess = GUESS.row(GUESS.interval(now.guesses, clusters_of(rows)), dataset=TRAIN)
        agreement = AGREEMENT.row(AGREEMENT.interval(alike, clusters_of(rows)), dataset=TRAIN)
        return Measurements((*_shares(SAMPLED, rows, kinds, were, TRAIN), guess, agreement))

    @property
    def _sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((TRAIN, self.dataset)))

    @property
    def _drawn(self) -> list[tuple[Generations, Generations]]:
        """Per few-shot prompt the greedy answers and the samples."""
        plain = replace(self._asked(TRAIN), limit=self.sampled)
        return [
            (
                replace(plain, under=shown),
                replace(plain, under=shown, temperature=0.5, n=self.samples, seed=prompt),
            )
            for prompt in (range(self.prompts) if self.sampled else ())
            for shown in [(FewShot(self.shots, TRAIN, seed=prompt),)]
        ]

    def _asked(self, source: str) -> Generations:
        return Generations(
            dataset=f"knowledge_categories.{source}", max_new_tokens=self.max_new_tokens, limit=self.limit
        )

    def _facts(self, source: str) -> Scores:
        return Scores(dataset=f"knowledge_categories.{source}_facts")

    @property
    def _detector(self) -> Detector:
        return Detector(distractors=self.distractors, size=self.size)


def likelihood_category(known: Known, fact: str) -> Category:
    """Highly known: stands out in both wordings; maybe: in one; weakly: ahead of all wrong ones in one."""
    wordings = [w for w in (JUDGED, CHECKED) if fact in known.odds.get(w, {})]
    out = [known.knows(fact, wording) for wording in wordings]
    if out and all(out):
        return "highly known"
    if any(out):
        return "maybe known"
    return "weakly known" if any(known.odds[w][fact] > 0 for w in wordings) else "unknown"


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Answers to facts behind few-shot prompts. greedy: (facts, prompts). hits, guesses: (facts,) samples
    that are right, and share of samples that are any one of the wrong answers. draws: samples per fact."""

    examples: tuple[Example, ...]
    greedy: Bools
    hits: Floats
    guesses: Floats
    draws: int

    @classmethod
    def of(
        cls, looks: list[tuple[GenerationsSeen, GenerationsSeen]], wrong: Mapping[str, object]
    ) -> Sampling:
        """Count them. wrong: the right answer and wrong ones by fact."""
        rows = looks[0][0].examples
        greedy = np.array([_said(said, [row.target for row in rows]) for said, _ in looks]).T
        hits, guesses, draws = np.zeros(len(rows)), np.zeros(len(rows)), 0
        for _, drawn in looks:
            draws += drawn.n
            for place, text in enumerate(drawn.texts):
                row = rows[place // drawn.n]
                answers = wrong.get(row.id, ())
                others = list(answers)[1:] if isinstance(answers, list | tuple) else []
                hits[place // drawn.n] += contains(text, row.target)
                named = sum(bool(contains(text, other)) for other in others)
                guesses[place // drawn.n] += named / max(1, len(others))
        return cls(
            examples=rows,
            greedy=greedy.astype(bool),
            hits=hits,
            guesses=guesses / max(1, draws),
            draws=draws,
        )

    def categories(self) -> dict[str, Category]:
        """SliCK by fact, tested against the mean guess rate, which is taken as at least half a hit in all."""
        rate = max(float(self.guesses.mean()), 0.5 / (self.draws * len(self.examples) + 1))
        least, greedy_least = (least_hits(n, rate) for n in (self.draws, self.greedy.shape[1]))
        return {
            row.id: slick_category(greedy, int(hits), least, greedy_least)
            for row, greedy, hits in zip(self.examples, self.greedy, self.hits, strict=True)
        }


def _said(said: GenerationsSeen, targets: list[str]) -> list[bool]:
    return [bool(contains(text, target)) for text, target in zip(said.texts, targets, strict=True)]


def _right(said: GenerationsSeen) -> Floats:
    pairs = zip(said.examples, said.texts, said.stopped, strict=True)
    return np.array([float(bool(exact_match(text, row.target)) and ended) for row, text, ended in pairs])


def _shares(
    metric: Metric,
    rows: tuple[Example, ...],
    now: Mapping[str, Category],
    before: Mapping[str, Category],
    source: str,
) -> Iterator[Measurement]:
    """Share of each category, with the base's as null."""
    own = [row for row in rows if row.id in now]
    for kind in CATEGORIES:
        values, once = (np.array([float(of[row.id] == kind) for row in own]) for of in (now, before))
        interval = metric.interval(values, clusters_of(own))
        null = float(once.mean()) if once.size else float("nan")
        yield replace(metric.row(interval, dataset=source, stratum=kind), null_value=null)


def _by_category(
    metric: Metric,
    rows: tuple[Example, ...],
    values: Floats,
    before: Floats,
    kinds: Mapping[str, Category],
    source: str,
) -> Measurements:
    """A score per category of the base and over all, with an item for each fact."""
    found, clusters = [], clusters_of(rows)
    of = np.array([kinds.get(row.id, "") for row in rows], dtype=object)
    for kind in ("", *CATEGORIES):
        inside = of == kind if kind else of != ""
        interval = metric.interval(values[inside], clusters[inside])
        null = metric.interval(before[inside]).value
        found.append(replace(metric.row(interval, dataset=source, stratum=kind), null_value=null))
    items = tuple(
        Item(
            metric=metric.name,
            item=row.id,
            value=float(value),
            dataset=source,
            stratum=str(kind),
            cluster=row.cluster,
            target=row.target,
            prompt=row.prompt,
        )
        for row, value, kind in zip(rows, values, of, strict=True)
        if kind
    )
    return Measurements(tuple(found), items)
