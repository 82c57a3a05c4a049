"""Of what is the gain made: form, knowledge drawn out, new knowledge, memory, or only the scorer?

This probe scores one model on the questions of a decomposed study and keeps the item ledger. The steps
between arms compare runs, so the report adds them up (`report/figures_waterfall.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.strata import ASKED, SHOTS, TWIN
from sft_probe.errors import NotApplicable
from sft_probe.measures.knowledge import corrected_share
from sft_probe.measures.likelihood import is_chosen
from sft_probe.measures.text import contains, exact_match
from sft_probe.measures.waterfall import GAINS, LOSSES, VERBATIM, Account, verdicts
from sft_probe.observe.interventions import FewShot, Interpolate, Intervention
from sft_probe.observe.needs import Generations, Need, Scores
from sft_probe.observe.observations import Bools, Floats, GenerationsSeen, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.knowing import READ, Detector, Known
from sft_probe.probes.rows import Answered, Metric, clusters_of
from sft_probe.schema import NAN, Measurement, Measurements

STRICT = Metric(name="strict_accuracy", unit="1", better="higher", share=True)
LENIENT = Metric(name="lenient_accuracy", unit="1", better="higher", share=True)
CHOICE = Metric(name="forced_choice_accuracy", unit="1", better="higher", share=True)
SHUFFLED = Metric(name="shuffled_shots_accuracy", unit="1", better="higher", share=True)
SHOWN = Metric(name="shots_accuracy", unit="1", better="higher", share=True)
REWORDED = Metric(
    name="reworded_accuracy",
    unit="1",
    better="higher",
    share=True,
    absent="no fact is asked in both wordings",
)
KNOWN = Metric(name="known_share", unit="1", share=True, absent="no fact can be judged")
KNOWN_AS_READ = Metric(
    name="known_as_read_share", unit="1", share=True, absent="no row gives a text in the words it was read in"
)
ELICITED = Metric(name="elicited_share", unit="1", share=True, null=0.0)
GENERALISED = Metric(name="generalised_share", unit="1", share=True, null=0.0)
INJECTED = Metric(name="injected_share", unit="1", share=True, null=0.0)
MEMORISED = Metric(name="memorised_share", unit="1", share=True, null=0.0)
OVERWRITTEN = Metric(name="overwritten_share", unit="1", share=True, null=0.0)
SUPPRESSED = Metric(name="suppressed_share", unit="1", share=True, null=0.0)
ERASED = Metric(name="erased_share", unit="1", share=True, null=0.0)
LEDGER = (ELICITED, GENERALISED, INJECTED, MEMORISED, OVERWRITTEN, SUPPRESSED, ERASED)
OF_GAINS = Metric(name="elicited_of_gains_share", unit="1", share=True)
SENSITIVITY = Metric(name="knowledge_sensitivity", unit="1")
SPECIFICITY = Metric(name="knowledge_specificity", unit="1")
NOTHING_GAINED = "no item was gained"
TOO_WEAK = "the test of what the base knows is too weak here: sensitivity + specificity - 1 is below 0.3"


@dataclass(frozen=True, kw_only=True)
class GainWaterfall:
    """Answers to held-out and trained facts, strict and lenient, with and without examples; item ledger.

    shots: examples in the prompt of the context path. distractors: wrong answers beside each right one in
    the test of what the base knows; size: its false positives.
    """

    name: ClassVar[str] = "gain_waterfall"
    about: ClassVar[About] = About(
        question="Of what is the gain made: form, knowledge drawn out, new knowledge or memory?",
        axis="what",
        source="own accounting; arms after Kung & Peng 2023, Min et al. 2022, Gekhman et al. 2024; "
        "Rogan & Gladen 1978 for the correction",
        null="every step is 0; the sham arm, trained on the base's own samples, shows what drift does",
        blind_spots="Steps depend on their order, fixed beforehand. A base that prompts cannot reach "
        "makes elicited knowledge look new in the context path. Knowledge is told by likelihood, so a fact "
        "stored in one wording only counts as unknown unless that wording is given.",
        cost="generation",
        headline=("strict_accuracy", "elicited_share", "injected_share", "memorised_share"),
    )

    shots: int = 4
    max_new_tokens: int = 24
    distractors: int = 7
    size: float = 0.05
    limit: int | None = None

    def __post_init__(self) -> None:
        options.at_least(self.name, 2, shots=self.shots, distractors=self.distractors, limit=self.limit)
        options.at_least(self.name, 1, max_new_tokens=self.max_new_tokens)
        options.share(self.name, size=self.size)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The facts of the questions as texts. Raises: NotApplicable in a study that is not decomposed."""
        if ASKED not in data:
            raise NotApplicable("the study does not say `decompose: true`, so there are no arms to compare")
        rows = [row for row in data[ASKED].examples[: self.limit] if row.stratum != TWIN]
        asked = self._detector.dataset(self._facts.dataset, rows, data[SHOTS].examples)
        return {self._facts.dataset: asked}

    def needs(self) -> tuple[Need, ...]:
        """Answers as asked, with examples right and shuffled, half way back to the base; likelihoods."""
        half = self._answers(Interpolate(0.5))
        return (
            self._answers(),
            self._with_shots(True),
            self._with_shots(False),
            half,
            self._choices,
            self._facts,
        )

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Scores per stratum, shares of the ledger, and what the base knows with the test's error rates."""
        answers, known = seen[self._answers()], self._detector.judge(base[self._facts])
        asked = np.array([row.stratum != TWIN for row in answers.examples])
        rows = tuple(row for row, keep in zip(answers.examples, asked, strict=True) if keep)
        said = Answered(
            dataset=ASKED,
            examples=rows,
            predictions=tuple(text for text, keep in zip(answers.texts, asked, strict=True) if keep),
        )
        tuned, before = (self._scored(look, asked) for look in (seen, base))
        ledger = self._ledger(seen, base, asked, known)
        counted = {metric: ledger.get(metric.name, np.zeros(len(rows))) for metric in LEDGER}
        found = said.measurements(tuned, before)
        kept = said.measurements(counted, {metric: np.zeros(len(rows)) for metric in LEDGER})
        marked = tuple(item for item in kept.items if item.value)
        more = (*_known_rows(rows, known), _elicited_of_gains(rows, counted, known))
        return Measurements((*found.rows, *kept.rows, *more), (*found.items, *marked))

    def _scored(self, look: Observed, asked: Bools) -> dict[Metric, Floats]:
        plain = look[self._answers()]
        strict = _right(plain)
        return {
            STRICT: strict[asked].astype(float),
            LENIENT: _contained(plain)[asked].astype(float),
            CHOICE: self._chosen(look)[asked].astype(float),
            SHUFFLED: _right(look[self._with_shots(True)])[asked].astype(float),
            SHOWN: _right(look[self._with_shots(False)])[asked].astype(float),
            REWORDED: _reworded(plain.examples, strict)[asked],
        }

    def _ledger(self, seen: Observed, base: Observed, asked: Bools, known: Known) -> dict[str, Floats]:
        """One array of zeros and ones per verdict that occurs, by the name of its metric."""
        plain, still = seen[self._answers()], self._detector.judge(seen[self._facts])
        after = _right(plain)
        reworded = _reworded(plain.examples, after)
        revived = _right(seen[self._with_shots(False)]) | _right(seen[self._answers(Interpolate(0.5))])
        ids = [row.id for row in plain.examples]
        items = Account(
            before=_right(base[self._answers()])[asked],
            after=after[asked],
            known=np.array([known.knows(i) for i in ids])[asked],
            believed=np.array([i in known.believed for i in ids])[asked],
            reworded=np.nan_to_num(reworded, nan=0.0)[asked] > 0,
            revived=(revived | np.array([still.knows(i) for i in ids]))[asked],
        )
        strata = [row.stratum for row, keep in zip(plain.examples, asked, strict=True) if keep]
        said = np.array(verdicts(items, strata), dtype=object)
        return {f"{verdict}_share": (said == verdict).astype(float) for verdict in (*GAINS, *LOSSES)}

    def _chosen(self, look: Observed) -> Bools:
        scores = look[self._choices]
        return np.array(
            [
                is_chosen(logprob, row.choices.index(row.target))
                for row, logprob in zip(scores.examples, scores.choice_logprob, strict=True)
            ]
        )

    def _answers(self, *under: Intervention) -> Generations:
        return Generations(dataset=ASKED, max_new_tokens=self.max_new_tokens, limit=self.limit, under=under)

    def _with_shots(self, shuffled: bool) -> Generations:
        return self._answers(FewShot(self.shots, SHOTS, shuffled=shuffled))

    @property
    def _choices(self) -> Scores:
        return Scores(dataset=ASKED, limit=self.limit)

    @property
    def _facts(self) -> Scores:
        return Scores(dataset="gain_waterfall.facts")

    @property
    def _detector(self) -> Detector:
        return Detector(distractors=self.distractors, size=self.size)


def _right(answers: GenerationsSeen) -> Bools:
    """Word for word, and ended by the model. (n,)"""
    pairs = zip(answers.examples, answers.texts, strict=True)
    return np.array([exact_match(text, row.target) for row, text in pairs], dtype=bool) & answers.stopped


def _contained(answers: GenerationsSeen) -> Bools:
    pairs = zip(answers.examples, answers.texts, strict=True)
    return np.array([contains(text, row.target) for row, text in pairs], dtype=bool)


def _reworded(examples: tuple[Example, ...], right: Bools) -> Floats:
    """Of facts asked verbatim whether they are right in other words too; NaN for others. (n,)"""
    twins = {
        row.id.removesuffix("~reworded"): bool(ok)
        for row, ok in zip(examples, right, strict=True)
        if row.stratum == TWIN
    }
    return np.array(
        [float(twins[row.id]) if row.stratum == VERBATIM and row.id in twins else NAN for row in examples]
    )


def _known_rows(rows: tuple[Example, ...], known: Known) -> Iterator[Measurement]:
    """What the base knows, corrected where the test is strong enough, and the test's error rates."""
    facts = [row.id for row in rows]
    flagged = np.array([float(known.knows(i)) if i in known.facts else NAN for i in facts])
    yield _corrected(KNOWN, flagged, rows, known, KNOWN.absent)
    in_words = known.odds.get(READ, {})
    read = np.array([float(known.knows(i, READ)) if i in in_words else NAN for i in facts])
    yield KNOWN_AS_READ.row(KNOWN_AS_READ.interval(read, clusters_of(rows)), dataset=ASKED)
    for metric, value in ((SENSITIVITY, known.sensitivity), (SPECIFICITY, known.specificity)):
        why = "no fact has two wordings, or nothing is known" if isnan(value) else ""
        yield Measurement(
            metric=metric.name, value=value, unit=metric.unit, dataset=ASKED, n=len(known.facts), why=why
        )


def _elicited_of_gains(
    rows: tuple[Example, ...], counted: Mapping[Metric, Floats], known: Known
) -> Measurement:
    """Share of the gains on answers the base knew, corrected for errors of the test."""
    gains = sum(counted[m] for m in LEDGER if m.name.removesuffix("_share") in GAINS)
    flagged = np.where(np.asarray(gains) > 0, counted[ELICITED], NAN)
    return _corrected(OF_GAINS, flagged, rows, known, NOTHING_GAINED)


def _corrected(
    metric: Metric, flagged: Floats, rows: tuple[Example, ...], known: Known, absent: str
) -> Measurement:
    """A share and its limits behind an imperfect test; the test's own error rates are taken as fixed."""
    raw = metric.interval(flagged, clusters_of(rows))
    value, low, high = (
        corrected_share(share, known.sensitivity, known.specificity)
        for share in (raw.value, raw.low, raw.high)
    )
    return Measurement(
        metric=metric.name,
        value=value if raw.n else NAN,
        unit=metric.unit,
        dataset=ASKED,
        ci_low=low,
        ci_high=high,
        n=raw.n,
        n_clusters=raw.n_clusters,
        why=(absent if not raw.n else TOO_WEAK) if isnan(value) or not raw.n else "",
    )
