"""Which words decide the label, and by how much more than the training rows justify?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.keywords import planted_placebos, planted_words
from sft_probe.data.shortcuts import Swap, find_swaps, has_word
from sft_probe.errors import NotApplicable
from sft_probe.measures.shortcut import CERTAIN, shifted_choice
from sft_probe.observe.needs import Need, Scores
from sft_probe.observe.observations import Floats, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.probes.scorers.labels import label_sets
from sft_probe.probes.scorers.swaps import (
    OTHER_PLACEBO,
    PARTNER,
    PLACEBO,
    PLAIN,
    WORD,
    Trials,
    inserted,
    origin,
    pair_of,
    variants,
)
from sft_probe.schema import NAN, Item, Measurement, Measurements
from sft_probe.stats.contrasts import paired_interval
from sft_probe.stats.groups import worst_group_interval
from sft_probe.stats.intervals import Interval

TRAIN = "train"
ROWS = "shortcut_reliance.rows"
UNJUSTIFIED = "the training rows do not tie these words to a label"

SWAP = Metric(name="swap_effect", unit="nats")
SWAP_CHANGE = Metric(name="swap_effect_change", unit="nats", null=0.0)
PLACEBO_SWAP = Metric(name="placebo_swap_effect", unit="nats")
INSERTION = Metric(name="insertion_effect", unit="nats")
RELIANCE = Metric(name="reliance_index", unit="1", absent=UNJUSTIFIED)
OPTIMUM = Metric(name="optimal_swap_effect", unit="nats")
FLIPS = Metric(name="flip_rate", unit="1", share=True, better="lower")
PLACEBO_FLIPS = Metric(name="placebo_flip_rate", unit="1", share=True, better="lower")
AGREEMENT = Metric(name="agreement_accuracy", unit="1", share=True, better="higher")
CONFLICT = Metric(name="conflict_accuracy", unit="1", share=True, better="higher")
CONFLICT_OPTIMUM = Metric(name="conflict_accuracy_optimal", unit="1", share=True, better="higher")
WORST = Metric(name="worst_group_accuracy", unit="1", share=True, better="higher")


@dataclass(frozen=True, kw_only=True)
class ShortcutReliance:
    """Swaps words that go with a label at the end of test prompts, and placebos beside them.

    words: to be tested in every arm, in pairs that speak for different labels; words that an edit planted are
    added. pairs: further pairs, of the words that go best with labels in the training rows.
    """

    name: ClassVar[str] = "shortcut_reliance"
    about: ClassVar[About] = About(
        question="Which words decide the label, and by how much more than the training rows justify?",
        axis="what",
        source="McCoy et al. 2019, Right for the Wrong Reasons (conflict items); Sagawa et al. 2020, "
        "Distributionally Robust Neural Networks (worst group); the yardstick is our own",
        null="the base's value on the same prompts; change 0, and the effect of swapping placebos",
        blind_spots="A word that was found may be the matter itself and no shortcut: the reader must judge "
        "that. Words stand at the end of the prompt, where they need not stand in training. The yardstick "
        "takes a word as independent of the rest of the text given the label.",
        cost="forward",
        headline=("swap_effect", "placebo_swap_effect", "reliance_index", "conflict_accuracy"),
    )

    dataset: str = "test"
    words: tuple[str, ...] = ()
    pairs: int = 2
    limit: int = 40

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 0, pairs=self.pairs)
        options.at_least(self.name, 2, limit=self.limit)
        if self.words:
            options.names(self.name, words=self.words)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """For each pair of words `limit` test prompts in five variants: plain, or with one of four words.

        Raises: NotApplicable without labels, words to test or prompts to test them in.
        """
        sets = label_sets(data[TRAIN])
        if not sets:
            raise NotApplicable("no closed set of answers is shared by several training rows")
        train, test = (_of_set(data[name], sets[0]) for name in (TRAIN, self.dataset))
        named = (*self.words, *planted_words(data[TRAIN]))
        placebos = planted_placebos(data[TRAIN])
        swaps = find_swaps(train, named=named, placebos=placebos, pairs=self.pairs)
        rows = [
            variant
            for number, swap in enumerate(swaps)
            for row in [row for row in test if not _touched(row, swap)][: self.limit]
            for variant in variants(row, number, swap)
        ]
        if not rows:
            raise NotApplicable("there are too few training or test prompts to swap words in them")
        return {ROWS: Dataset(ROWS, tuple(rows), data[self.dataset].source)}

    def needs(self) -> tuple[Need, ...]:
        """Likelihoods of the labels after each variant."""
        return (self._scores,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows over all pairs of words, the named ones, and each pair; an item per prompt and pair."""
        tuned, before = (Trials.read(looked[self._scores]) for looked in (seen, base))
        rows = [
            replace(row, dataset=self.dataset, stratum=stratum)
            for stratum, inside in tuned.strata()
            for row in _rows(tuned.among(inside), before.among(inside))
        ]
        return Measurements(tuple(rows), tuple(_items(tuned, self.dataset)))

    @property
    def _scores(self) -> Scores:
        return Scores(dataset=ROWS)


def _rows(tuned: Trials, base: Trials) -> Iterator[Measurement]:
    clusters = tuned.clusters
    for metric, values in _VALUES.items():
        after, before = values(tuned), values(base)
        row = metric.row(metric.interval(after, clusters))
        yield replace(row, null_value=float(np.nanmean(before)) if not np.isnan(before).all() else NAN)
    change = paired_interval(_swap_effect(tuned), _swap_effect(base), clusters)
    yield SWAP_CHANGE.row(change)
    yield OPTIMUM.row(Interval(value=float(tuned.of("optimum").mean()), n=len(tuned.swaps)))
    yield replace(RELIANCE.row(_reliance(tuned)), null_value=_reliance(base).value)
    yield replace(WORST.row(_worst(tuned)), null_value=_worst(base).value)


def _swap_effect(trials: Trials) -> Floats:
    return trials.odds[:, WORD] - trials.odds[:, PARTNER]


def _placebo_effect(trials: Trials) -> Floats:
    return trials.odds[:, PLACEBO] - trials.odds[:, OTHER_PLACEBO]


def _insertion(trials: Trials) -> Floats:
    """Of the word alone, with what putting in its placebo does taken off."""
    return trials.odds[:, WORD] - trials.odds[:, PLACEBO]


def _flips(trials: Trials) -> Floats:
    return np.where(trials.said[:, WORD] != trials.said[:, PARTNER], 1.0, 0.0)


def _placebo_flips(trials: Trials) -> Floats:
    return np.where(trials.said[:, PLACEBO] != trials.said[:, OTHER_PLACEBO], 1.0, 0.0)


def _right(trials: Trials, *, agreeing: bool) -> Floats:
    """With the word of the pair that speaks for the right label, or with the one that speaks against it."""
    variant = np.where((trials.gold == trials.label) == agreeing, WORD, PARTNER)
    said = trials.said[np.arange(len(variant)), variant]
    return np.where(said == trials.gold, 1.0, 0.0)


def _agreement(trials: Trials) -> Floats:
    return _right(trials, agreeing=True)


def _conflict(trials: Trials) -> Floats:
    return _right(trials, agreeing=False)


def _conflict_optimum(trials: Trials) -> Floats:
    """What would be left if the conflicting word moved the model's own plain answer by the optimum."""
    against = trials.gold == trials.label
    shift = np.where(against, trials.of("partner_optimum"), trials.of("word_optimum"))
    chosen = shifted_choice(trials.logprob[:, PLAIN], trials.label, shift)
    return np.where(chosen == trials.gold, 1.0, 0.0)


_VALUES: Mapping[Metric, Callable[[Trials], Floats]] = {
    SWAP: _swap_effect,
    PLACEBO_SWAP: _placebo_effect,
    INSERTION: _insertion,
    FLIPS: _flips,
    PLACEBO_FLIPS: _placebo_flips,
    AGREEMENT: _agreement,
    CONFLICT: _conflict,
    CONFLICT_OPTIMUM: _conflict_optimum,
}


def _reliance(trials: Trials) -> Interval:
    """Swap effect over the optimal one, where that is more than two standard errors from zero."""
    justified = trials.of("optimum") > CERTAIN * trials.of("error")
    if not justified.any():
        return Interval(value=NAN, n=len(trials.swaps), why=UNJUSTIFIED)
    optimum = float(trials.of("optimum")[justified].mean())
    return RELIANCE.interval(_swap_effect(trials)[justified] / optimum, trials.clusters[justified])


def _worst(trials: Trials) -> Interval:
    """Groups are right label by word put in."""
    right = trials.said[:, [WORD, PARTNER]] == trials.gold[:, None]
    words = np.array([(swap.word, swap.partner) for swap in trials.swaps])
    named = np.char.add(np.char.add(trials.gold.astype(str), " ")[:, None], words)
    groups = np.unique(named.ravel(), return_inverse=True)[1]
    return worst_group_interval(right.ravel().astype(np.float64), groups, np.repeat(trials.clusters, 2))


def _items(trials: Trials, dataset: str) -> Iterator[Item]:
    for example, swap, said, effect in zip(
        trials.examples, trials.swaps, trials.said, _swap_effect(trials), strict=True
    ):
        answers = (f"{word}: {trials.labels[said[at]]}" for at, word in inserted(swap)[:2])
        yield Item(
            metric=SWAP.name,
            item=f"{origin(example)} {pair_of(swap)}",
            value=float(effect),
            dataset=dataset,
            stratum=pair_of(swap),
            cluster=example.cluster,
            prediction=", ".join(answers),
            target=example.target,
            prompt=example.prompt,
        )


def _of_set(rows: Dataset, labels: frozenset[str]) -> list[Example]:
    """Rows with these labels and a turn of the user."""
    return [
        row
        for row in rows
        if frozenset(row.choices) == labels
        and row.target in labels
        and any(message.role == "user" for message in row.messages)
    ]


def _touched(row: Example, swap: Swap) -> bool:
    """A prompt that has one of the words already would not show what putting it in does."""
    return any(has_word(row, word) for _, word in inserted(swap))
