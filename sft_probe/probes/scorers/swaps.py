"""Prompts with words put in, two that speak for different labels and two placebos, and a model's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sft_probe.data.examples import Example
from sft_probe.data.keywords import with_word
from sft_probe.data.shortcuts import Swap
from sft_probe.measures.shortcut import log_odds
from sft_probe.observe.observations import Bools, Floats, Ints, ScoresSeen
from sft_probe.probes.rows import clusters_of

PLAIN, WORD, PARTNER, PLACEBO, OTHER_PLACEBO = range(5)
VARIANTS = 5


@dataclass(frozen=True, kw_only=True)
class Trials:
    """n prompts, each with one pair of words. logprob: (n, variants, labels), normalised over the labels."""

    examples: tuple[Example, ...]
    swaps: tuple[Swap, ...]
    labels: tuple[str, ...]
    logprob: Floats

    @classmethod
    def read(cls, scores: ScoresSeen) -> Trials:
        """Gather the variants of each prompt, which stand one after the other."""
        labels = tuple(sorted(scores.examples[0].choices))
        order = [[e.choices.index(label) for label in labels] for e in scores.examples]
        raw = np.array([values[at] for values, at in zip(scores.choice_logprob, order, strict=True)])
        logprob = raw - np.logaddexp.reduce(raw, axis=-1, keepdims=True)
        examples = scores.examples[PLAIN::VARIANTS]
        return cls(
            examples=examples,
            swaps=tuple(swap_of(example) for example in examples),
            labels=labels,
            logprob=logprob.reshape(len(examples), VARIANTS, len(labels)),
        )

    def among(self, chosen: Bools) -> Trials:
        """Some of the prompts."""
        at = np.flatnonzero(chosen)
        return replace(
            self,
            examples=tuple(self.examples[i] for i in at),
            swaps=tuple(self.swaps[i] for i in at),
            logprob=self.logprob[at],
        )

    def strata(self) -> Iterator[tuple[str, Bools]]:
        """All; the named pairs if others were found too; each pair."""
        named = np.array([swap.named for swap in self.swaps])
        pairs = np.array([pair_of(swap) for swap in self.swaps], dtype=object)
        yield "", np.ones(len(pairs), dtype=bool)
        if named.any() and not named.all():
            yield "named", named
        yield from ((pair, pairs == pair) for pair in dict.fromkeys(pairs.tolist()))

    def of(self, field: str) -> Floats:
        """(n,) a number that belongs to the pair of words."""
        return np.array([getattr(swap, field) for swap in self.swaps], dtype=np.float64)

    @cached_property
    def clusters(self) -> Ints:
        """One prompt serves several pairs: without a cluster of its own it is one."""
        named = [replace(e, cluster=e.cluster or origin(e)) for e in self.examples]
        return clusters_of(named)

    @cached_property
    def gold(self) -> Ints:
        """(n,) the right label."""
        return np.array([self.labels.index(e.target) for e in self.examples], dtype=np.int64)

    @cached_property
    def label(self) -> Ints:
        """(n,) the label that the word speaks for."""
        return np.array([self.labels.index(swap.label) for swap in self.swaps], dtype=np.int64)

    @cached_property
    def odds(self) -> Floats:
        """(n, variants) log odds of that label."""
        found: Floats = log_odds(self.logprob)[np.arange(len(self.swaps)), :, self.label]
        return found

    @cached_property
    def said(self) -> Ints:
        """(n, variants) the likeliest label."""
        found: Ints = self.logprob.argmax(-1)
        return found


def variants(row: Example, number: int, swap: Swap) -> Iterator[Example]:
    """The prompt as it is, then with each of the four words; `number` is that of the pair."""
    plain = replace(
        row,
        id=f"{row.id}/{number}",
        choices=tuple(dict.fromkeys(row.choices)),
        meta={"row": row.id, "swap": asdict(swap)},
    )
    yield plain
    for variant, word in inserted(swap):
        yield replace(with_word(plain, word), id=f"{plain.id}/{variant}")


def inserted(swap: Swap) -> Sequence[tuple[int, str]]:
    """The four words with the number of their variant."""
    first, second = swap.placebos
    return (WORD, swap.word), (PARTNER, swap.partner), (PLACEBO, first), (OTHER_PLACEBO, second)


def swap_of(example: Example) -> Swap:
    """The pair that a variant travels with."""
    fields: Any = example.meta["swap"]
    return Swap(**{**fields, "placebos": tuple(fields["placebos"])})


def origin(example: Example) -> str:
    """Id of the prompt that a variant was made of."""
    return str(example.meta["row"])


def pair_of(swap: Swap) -> str:
    """What a pair is called in tables."""
    return f"{swap.word} / {swap.partner}"
