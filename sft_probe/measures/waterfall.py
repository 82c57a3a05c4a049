"""Accounts of a gain: steps between arms that add up exactly, and a verdict for every item.

The path through the weights is fixed beforehand (`science.md` section 2.2). With S_e(A) the share of right
answers of arm A in stratum e, the change of full fine-tuning over its base is, for every e,

    S_e(full) - S_e(base) = format + elicited + generalised + injected + verbatim,

    format       S_e(format) - S_e(base)         questions about nobody teach only how to answer
    elicited     S_e(known) - S_e(format)        facts the base has teach to tell what it has
    generalised  S_E0(full) - S_E0(known)        what new facts teach about facts held out
    injected     what trained facts gain beyond that, in other words
    verbatim     what they gain beyond that when asked as trained; E2 only

Format and elicited depend on which comes first. With an arm that teaches known facts in another form, scored
leniently, each can be averaged over both orders (Shapley 1953), and their sum stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Step = Literal["format", "elicited", "generalised", "injected", "verbatim"]
Verdict = Literal[
    "", "elicited", "generalised", "injected", "memorised", "overwritten", "suppressed", "erased"
]
HELD_OUT, PARAPHRASED, VERBATIM = "E0", "E1", "E2"
BASE, FORMAT, KNOWN, MAPPING, FULL = "base", "format", "known", "mapping", "full"
GAINS: tuple[Verdict, ...] = ("elicited", "generalised", "injected", "memorised", "overwritten")
LOSSES: tuple[Verdict, ...] = ("suppressed", "erased")


class Term(NamedTuple):
    """`weight` times the share of right answers of an arm in a stratum."""

    weight: float
    arm: str
    stratum: str


def steps(stratum: str) -> dict[Step, tuple[Term, ...]]:
    """The steps of a stratum as signed sums; together they are exactly full minus base."""
    found: dict[Step, tuple[Term, ...]] = {
        "format": (Term(1, FORMAT, stratum), Term(-1, BASE, stratum)),
        "elicited": (Term(1, KNOWN, stratum), Term(-1, FORMAT, stratum)),
        "generalised": (Term(1, FULL, HELD_OUT), Term(-1, KNOWN, HELD_OUT)),
    }
    if stratum == HELD_OUT:
        return found
    found["injected"] = _beyond(PARAPHRASED, HELD_OUT)
    if stratum != PARAPHRASED:
        found["verbatim"] = _beyond(stratum, PARAPHRASED)
    return found


def both_orders(stratum: str) -> dict[Step, tuple[Term, ...]]:
    """Format and elicited as means over both orders; their sum is that of the two steps."""
    base, form, mapping, known = ((arm, stratum) for arm in (BASE, FORMAT, MAPPING, KNOWN))
    return {
        "format": (Term(0.5, *form), Term(-0.5, *base), Term(0.5, *known), Term(-0.5, *mapping)),
        "elicited": (Term(0.5, *mapping), Term(-0.5, *base), Term(0.5, *known), Term(-0.5, *form)),
    }


def _beyond(stratum: str, other: str) -> tuple[Term, ...]:
    """Full over known in one stratum beyond full over known in another."""
    return (
        Term(1, FULL, stratum),
        Term(-1, KNOWN, stratum),
        Term(-1, FULL, other),
        Term(1, KNOWN, other),
    )


def evaluate(terms: Sequence[Term], scores: Mapping[tuple[str, str], float]) -> float:
    """The signed sum. scores: share of right answers by arm and stratum."""
    return sum(term.weight * scores[term.arm, term.stratum] for term in terms)


def by_stratum(terms: Sequence[Term], scores: Mapping[tuple[str, str], Floats]) -> dict[str, Floats]:
    """What each item of each stratum adds: the sum of the means of these arrays is the signed sum.

    scores: (..., items) by arm and stratum, the same items for every arm.
    """
    found: dict[str, Floats] = {}
    for term in terms:
        found[term.stratum] = found.get(term.stratum, 0.0) + term.weight * scores[term.arm, term.stratum]
    return found


class Account(NamedTuple):
    """What is known of n items, each (n,). before, after: right or not. known: the base knows the answer.
    believed: it is sure of another one. reworded: right after training in other words too. revived: right
    again after training with examples in the prompt or weights half way back to the base."""

    before: Bools
    after: Bools
    known: Bools
    believed: Bools
    reworded: Bools
    revived: Bools


def verdicts(items: Account, strata: Sequence[str]) -> list[Verdict]:
    """One verdict per item; empty where nothing changed. Gains minus losses is n times the change of the
    share of right answers, exactly.

    A gain is elicited if the base knew the answer, overwritten if it held another one; else generalised if
    the fact was held out, and if it was trained injected, or memorised where it is right as trained only.
    A loss is suppressed if it can be revived, else erased.
    """
    found: list[Verdict] = []
    for stratum, row in zip(strata, zip(*items, strict=True), strict=True):
        before, after, known, believed, reworded, revived = row
        if before == after:
            found.append("")
        elif before:
            found.append("suppressed" if revived else "erased")
        elif known:
            found.append("elicited")
        elif believed:
            found.append("overwritten")
        elif stratum == HELD_OUT:
            found.append("generalised")
        else:
            found.append("injected" if reworded or stratum == PARAPHRASED else "memorised")
    return found
