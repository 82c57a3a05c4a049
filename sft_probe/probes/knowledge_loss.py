"""Which facts did the base know that the model no longer knows, or no longer says?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.opinions import LONGEST
from sft_probe.data.wordings import beginnings
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Need, Scores, TokenLogprobs
from sft_probe.observe.observations import Bools, Floats, Ints, Observed, TokenLogprobsSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.knowing import JUDGED, Detector, Known
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.stats.contrasts import change_interval, paired_interval

TRAIN = "train"
TRUE = "true"  # in `Example.meta`: what the base has read, where the row says otherwise
NO_FACTS = "no fact is of this kind"
NONE_KNOWN = "the base knows no fact of this kind"
NONE_SAID = "the base knows and says no fact of this kind"
KNOWN = Metric(name="known_share", unit="1", better="higher", share=True, absent=NO_FACTS)
KNOWN_CHANGE = Metric(name="known_share_change", unit="1", better="higher", null=0.0, absent=NO_FACTS)
FORGOTTEN = Metric(name="forgotten_share", unit="1", better="lower", share=True, null=0.0, absent=NONE_KNOWN)
ODDS_CHANGE = Metric(name="fact_odds_change", unit="nats", better="higher", null=0.0, absent=NO_FACTS)
SAID = Metric(name="said_share", unit="1", better="higher", share=True, absent=NO_FACTS)
SAID_CHANGE = Metric(name="said_share_change", unit="1", better="higher", null=0.0, absent=NO_FACTS)
UNSAID = Metric(name="known_unsaid_share", unit="1", better="lower", share=True, null=0.0, absent=NONE_SAID)
METRICS = (KNOWN, KNOWN_CHANGE, FORGOTTEN, ODDS_CHANGE, SAID, SAID_CHANGE, UNSAID)


@dataclass(frozen=True, kw_only=True)
class KnowledgeLoss:
    """Facts of training and held-out rows in the base's own kind of text, by likelihood and by what is said.

    A row that teaches something else than the base has read (`meta.true`) is asked for what the base read.
    Rows with answers of more than 60 characters or several lines state no single fact and are left out.
    dataset: held-out facts. trained: whether facts of "train" are asked for too. limit: facts of each stratum
    of each data set.
    frequency: field of `meta` that says how often the base has read a fact; its thirds are further strata.
    distractors, size: of the likelihood test, as in `knowledge_categories`.
    """

    name: ClassVar[str] = "knowledge_loss"
    about: ClassVar[About] = About(
        question="Which facts did the base know that the model no longer knows, or no longer says?",
        axis="cost",
        source="Zucchet et al. 2025 and Gekhman et al. 2024 (arXiv 2405.05904), whose categories are kept by "
        "the base; strict answers against likelihood: Zheng et al. 2025, Spurious Forgetting",
        null="the base's shares; changes 0",
        blind_spots="A fact counts as known beyond a threshold, and those near it cross it by chance: read "
        "`fact_odds_change` beside. One wording of each fact.",
        cost="forward",
        headline=("known_share", "forgotten_share", "fact_odds_change", "said_share"),
    )

    dataset: str = "test"
    trained: bool = True
    limit: int = 24
    frequency: str = "exposures"
    distractors: int = 7
    size: float = 0.05

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset, frequency=self.frequency)
        options.at_least(self.name, 2, limit=self.limit, distractors=self.distractors)
        options.share(self.name, size=self.size)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Facts as texts with wrong answers, and with the right one alone.

        Raises: NotApplicable if no data set has facts that can be judged.
        """
        made: dict[str, Dataset] = {}
        for source in self._sources:
            rows = [row for row in map(_as_read, data[source]) if _states_one_fact(row)]
            if not rows:
                raise NotApplicable(f"no row of '{source}' has a question and a short answer")
            kept = _first_of_each(rows, self.limit)
            chosen = {row.id for row in kept}
            name = self._facts(source).dataset
            try:
                pool = [row for row in rows if row.id not in chosen]
                facts = self._detector.dataset(name, kept, pool)
            except NotApplicable as reason:
                raise NotApplicable(f"{reason} (data set '{source}')") from reason
            texts = tuple(_with_rival(text, {row.id: row for row in kept}) for text in facts)
            made[name] = Dataset(name, texts)
            known = {str(text.meta["fact"]) for text in texts}
            asked = tuple(_stated(row) for row in kept if row.id in known)
            made[self._said(source).dataset] = Dataset(self._said(source).dataset, asked)
        return made

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of right and wrong answers, and the rank of every token of the right one."""
        return tuple(need for source in self._sources for need in (self._facts(source), self._said(source)))

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per data set, stratum and frequency; items with the log-odds of each fact."""
        found = Measurements()
        for source in self._sources:
            before, now = (self._detector.judge(look[self._facts(source)]) for look in (base, seen))
            said = seen[self._said(source)]
            rows = [row for row in said.examples if row.id in before.facts & now.facts]
            looks = _Looks.of(rows, before, now, said, base[self._said(source)])
            found += self._judged(rows, looks, source)
        return found

    def _judged(self, rows: Sequence[Example], looks: _Looks, source: str) -> Measurements:
        clusters = clusters_of(rows)
        found = [
            row
            for stratum, inside in self._strata(rows)
            for row in _rows(looks.part(inside), clusters[inside], source, stratum)
        ]
        items = (
            Item(
                metric="fact_log_odds",
                item=row.id,
                value=float(value),
                dataset=source,
                stratum=row.stratum,
                cluster=row.cluster,
                target=str(row.meta["answer"]),
                prompt=row.target,
            )
            for row, value in zip(rows, looks.odds, strict=True)
        )
        return Measurements(tuple(found), tuple(items))

    def _strata(self, rows: Sequence[Example]) -> Iterator[tuple[str, Bools]]:
        """All, each stratum, and within it thirds of how often the base has read a fact."""
        yield "", np.ones(len(rows), dtype=bool)
        names = np.array([row.stratum for row in rows], dtype=object)
        for name in (distinct := [n for n in dict.fromkeys(names.tolist()) if n]):
            if len(distinct) > 1:
                yield name, names == name
        often = np.array([_number(row.meta.get(self.frequency)) for row in rows])
        counted = often[~np.isnan(often)]
        if np.unique(counted).size > 1:
            edges = np.unique(np.quantile(counted, (1 / 3, 2 / 3), method="lower"))
            for third, (low, high) in enumerate(zip((-np.inf, *edges), (*edges, np.inf), strict=True)):
                inside = (often > low) & (often <= high)
                if inside.any():
                    label = f"{int(often[inside].min())}-{int(often[inside].max())}"
                    yield f"{self.frequency} {third + 1}: {label}", inside

    @property
    def _sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((TRAIN, self.dataset) if self.trained else (self.dataset,)))

    def _facts(self, source: str) -> Scores:
        return Scores(dataset=f"knowledge_loss.{source}_facts")

    def _said(self, source: str) -> TokenLogprobs:
        return TokenLogprobs(dataset=f"knowledge_loss.{source}")

    @property
    def _detector(self) -> Detector:
        return Detector(distractors=self.distractors, size=self.size, wordings=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looks:
    """Per fact, before and after: known, said, and the log-odds of the answer. All (n,)."""

    knew: Floats
    knows: Floats
    did_say: Floats
    says: Floats
    odds_before: Floats
    odds: Floats

    @classmethod
    def of(
        cls,
        rows: Sequence[Example],
        before: Known,
        now: Known,
        said: TokenLogprobsSeen,
        said_before: TokenLogprobsSeen,
    ) -> _Looks:
        """One yardstick for both: the threshold of the base, whose own null no training has touched."""
        odds_before, odds = (
            np.array([known.odds[JUDGED][row.id] for row in rows]) for known in (before, now)
        )
        right, right_before = (_right(look) for look in (said, said_before))
        return cls(
            knew=(odds_before > before.threshold).astype(float),
            knows=(odds > before.threshold).astype(float),
            did_say=np.array([right_before[row.id] for row in rows]),
            says=np.array([right[row.id] for row in rows]),
            odds_before=odds_before,
            odds=odds,
        )

    def part(self, inside: Bools) -> _Looks:
        """Some of the facts."""
        return _Looks(**{name: getattr(self, name)[inside] for name in self.__slots__})


def _rows(looks: _Looks, clusters: Ints, source: str, stratum: str) -> Iterator[Measurement]:
    knew = looks.knew > 0
    could = knew & (looks.knows > 0) & (looks.did_say > 0)
    for metric, after, before in ((KNOWN, looks.knows, looks.knew), (SAID, looks.says, looks.did_say)):
        row = metric.row(metric.interval(after, clusters), dataset=source, stratum=stratum)
        yield replace(row, null_value=metric.interval(before).value)
    for metric, found in (
        (KNOWN_CHANGE, change_interval(looks.knows, looks.knew, clusters)),
        (SAID_CHANGE, change_interval(looks.says, looks.did_say, clusters)),
        (ODDS_CHANGE, paired_interval(looks.odds, looks.odds_before, clusters)),
        (FORGOTTEN, FORGOTTEN.interval(1 - looks.knows[knew], clusters[knew])),
        (UNSAID, UNSAID.interval(1 - looks.says[could], clusters[could])),
    ):
        yield metric.row(found, dataset=source, stratum=stratum)


def _as_read(row: Example) -> Example:
    """The row with the answer that the base has read, which training may contradict."""
    true = row.meta.get(TRUE)
    if not isinstance(true, str) or not true or true == row.target:
        return replace(row, meta={**row.meta, "answer": row.target})
    return replace(row, target=true, meta={**row.meta, "answer": true, "taught": row.target})


def _states_one_fact(row: Example) -> bool:
    """Whether the answer could be one of several of its kind, rather than a text of its own."""
    return bool(row.messages) and 0 < len(row.target) <= LONGEST and "\n" not in row.target


def _with_rival(text: Example, rows: Mapping[str, Example]) -> Example:
    """The text with what training teaches instead among its wrong answers."""
    row = rows[str(text.meta["fact"])]
    taught, answers = row.meta.get("taught"), text.meta["answers"]
    if not isinstance(taught, str) or not isinstance(answers, tuple) or taught in answers:
        return text
    rival = f"{text.target.removesuffix(row.target)}{taught}"
    return replace(text, choices=(*text.choices, rival), meta={**text.meta, "answers": (*answers, taught)})


def _first_of_each(rows: Sequence[Example], limit: int) -> list[Example]:
    """The first rows of every stratum."""
    seen: dict[str, int] = {}
    kept = []
    for row in rows:
        seen[row.stratum] = seen.get(row.stratum, 0) + 1
        if seen[row.stratum] <= limit:
            kept.append(row)
    return kept


def _stated(row: Example) -> Example:
    """The fact as plain text: the beginning that it is judged behind, and the answer."""
    beginning = beginnings(row)[0]
    meta = {**row.meta, "beginning": beginning}
    return replace(row, messages=(), choices=(), target=f"{beginning} {row.target}", meta=meta)


def _right(said: TokenLogprobsSeen) -> dict[str, float]:
    """Whether greedy decoding behind the beginning gives the answer: each of its tokens is the likeliest.

    A text closes with one end-of-text token, which is no part of it; some tokenizers begin it with a space.
    """
    found = {}
    for i, row in enumerate(said.examples):
        own = np.flatnonzero(said.example == i)[:-1]
        ends = np.cumsum([len(said.token[t]) for t in own])
        added = int(ends[-1]) - len(row.target) if own.size else 0
        answer = own[ends - added > len(str(row.meta["beginning"]))]
        found[row.id] = float(answer.size > 0 and bool((said.rank[answer] == 1).all()))
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
