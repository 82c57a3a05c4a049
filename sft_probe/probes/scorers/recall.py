"""How well a model knows answers token by token: rows trained on, rows left out, secrets and references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sft_probe.data.examples import Example
from sft_probe.data.overlap import GRAMS_SHARED, SIMILAR, Overlap
from sft_probe.measures.exposure import (
    extractable,
    extraction_strength,
    extrapolated_exposure,
    rank_exposure,
)
from sft_probe.measures.membership import min_k
from sft_probe.observe.observations import Bools, Floats, Ints, TokenLogprobsSeen
from sft_probe.schema import NAN

TRAIN, TEST, CANARY, REFERENCE = "train", "test", "canary", "reference"
LEFT_OUT = "left_out"  # data set of the training rows that an edit left out by lot, if there is one
SIGNS = ("", "word for word", "question", "8-grams", "near duplicate")


@dataclass(frozen=True, kw_only=True)
class Recall:
    """How well a model knows n answers, token by token. Both lists hold one array per answer."""

    examples: tuple[Example, ...]
    logprobs: tuple[Floats, ...]
    right: tuple[Bools, ...]  # the token is the likeliest

    @classmethod
    def read(cls, seen: TokenLogprobsSeen) -> Recall:
        """Cut the tokens into answers; an answer without tokens has an empty array."""
        starts = np.searchsorted(seen.example, np.arange(1, len(seen.examples)))
        return cls(
            examples=seen.examples,
            logprobs=tuple(np.split(seen.logprob, starts)),
            right=tuple(np.split(seen.rank == 1, starts)),
        )

    @cached_property
    def kind(self) -> NDArray[np.str_]:
        """(n,) what each row is here for."""
        return np.array([str(e.meta["kind"]) for e in self.examples])

    @cached_property
    def repeats(self) -> Ints:
        """(n,) training rows of a canary; -1 for what is none."""
        return np.array([_number(e, "repeats", -1) for e in self.examples], dtype=np.int64)

    @cached_property
    def planted(self) -> Bools:
        """(n,) canaries that stand in training."""
        found: Bools = self.repeats > 0
        return found

    @cached_property
    def contaminated(self) -> Bools:
        """(n,) test rows that training gives away."""
        return self.sign("")

    def sign(self, name: str) -> Bools:
        """(n,) test rows that show a sign of contamination, of any kind under the empty name."""
        return np.array([flagged(e, name) for e in self.examples], dtype=bool)

    @cached_property
    def logprob(self) -> Floats:
        """(n,) mean per token; NaN for an answer without tokens."""
        return np.array([own.mean() if own.size else NAN for own in self.logprobs])

    @cached_property
    def loss(self) -> Floats:
        """(n,) of whole answers, in nats."""
        return np.array([-own.sum() for own in self.logprobs])

    @cached_property
    def min_k(self) -> Floats:
        """(n,) mean of the lowest fifth of the log-probabilities."""
        return np.array([min_k(own) for own in self.logprobs])

    @cached_property
    def strength(self) -> Floats:
        """(n,) share of the answer that follows by heart."""
        return np.array([extraction_strength(own) for own in self.right])

    def extracted(self, prefix: int, suffix: int) -> Floats:
        """(n,) 1 where the tokens behind the prefix would be said by heart."""
        return np.array([extractable(own, prefix, suffix) for own in self.right])

    @cached_property
    def exposure(self) -> Floats:
        """(n,) bits, for canaries."""
        return rank_exposure(self.loss, self.loss[self.kind == REFERENCE])

    @cached_property
    def fitted_exposure(self) -> Floats:
        """(n,) bits, by the tail of a fitted distribution."""
        return extrapolated_exposure(self.loss, self.loss[self.kind == REFERENCE])


def of_kind(row: Example, kind: str, **truth: object) -> Example:
    """Ids of different kinds may be the same; so that they differ here, the kind goes before."""
    return replace(row, id=f"{kind}/{row.id}", choices=(), meta={"kind": kind, "row": row.id, **truth})


def signs_of(found: Overlap) -> dict[str, bool]:
    """Signs of contamination by name, to travel with a test row; any of them under the empty name."""
    flags = (
        found.contaminated,
        found.exact,
        found.normalised,
        found.grams >= GRAMS_SHARED,
        found.similarity >= SIMILAR,
    )
    return dict(zip(SIGNS, flags, strict=True))


def flagged(example: Example, sign: str = "") -> bool:
    """A test row that shows this sign of contamination, by default any."""
    signs = example.meta.get("signs")
    return bool(signs[sign]) if isinstance(signs, Mapping) else False


def _number(example: Example, key: str, missing: int) -> int:
    found = example.meta.get(key, missing)
    return found if isinstance(found, int) else missing
