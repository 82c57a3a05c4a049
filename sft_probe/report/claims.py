"""The one family of tests of a report: every contrast that may become a sentence, adjusted together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan, nan
from typing import TYPE_CHECKING

import numpy as np

from sft_probe.stats.families import adjust

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sft_probe.report.summaries import Change

LEVEL = 0.05  # share of false sentences among those that claim something


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A contrast with its test.

    about: what is claimed; `claim.<about>` in the catalogue.  arm: its name; for growth, the fastest one.
    dataset: "" for all together.  p: as tested.  adjusted: after Benjamini-Hochberg over the family.
    sign: +1 or -1 if every seed agrees on it, else 0, and then nothing is claimed.
    """

    about: str
    arm: str
    dataset: str = ""
    p: float
    sign: int
    adjusted: float = nan

    @property
    def shown(self) -> int:
        """The sign if the test finds it within the family, else 0."""
        return self.sign if self.adjusted <= LEVEL else 0


def of_change(about: str, arm: str, change: Change, dataset: str = "") -> Claim:
    """The claim that something changed."""
    return Claim(about=about, arm=arm, dataset=dataset, p=change.p, sign=change.leaning)


def of_no_loss(arm: str, change: Change, margin: float) -> Claim:
    """The claim that an arm lost no more than the margin, which each seed must keep for itself too.

    The interval that is printed beside it, wider than the test asks for, must not reach beyond the margin.
    """
    values = (change.estimate.low, *change.per_seed)
    kept = bool(change.per_seed) and all(value > -margin for value in values)
    return Claim(about="no_loss", arm=arm, p=change.no_loss, sign=int(kept))


def decide(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The family with adjusted p-values; what could not be tested is left out."""
    tested = [claim for claim in claims if not isnan(claim.p)]
    adjusted = adjust(np.array([claim.p for claim in tested]))
    return tuple(replace(claim, adjusted=float(p)) for claim, p in zip(tested, adjusted, strict=True))


def shown(claims: Iterable[Claim], about: str, arms: Iterable[str]) -> Mapping[str, int]:
    """By arm the sign of what is shown over all data sets together; 0 if nothing is."""
    found = {claim.arm: claim.shown for claim in claims if claim.about == about and not claim.dataset}
    return {arm: found.get(arm, 0) for arm in arms}
