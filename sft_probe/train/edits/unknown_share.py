"""Facts that are new to the base as a known share of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.train.edits.base import EditContext, Edited
from sft_probe.train.edits.knowing import PicksByKnowledge


@dataclass(frozen=True, kw_only=True)
class UnknownShare(PicksByKnowledge):
    """Keep known and unknown rows so that the unknown ones have a known share.

    share: of unknown rows, in [0, 1]. rows: how many to keep, alike for every share so that doses differ in
    nothing else; as many as possible if 0. The other options are those of `known_only`.
    Source: Gekhman et al. 2024 (arXiv 2405.05904).
    """

    name: ClassVar[str] = "unknown_share"
    share: float = 0.5
    rows: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.rows < 0:
            raise SpecError("share must be in [0, 1], and rows not below 0.", field="edits.unknown_share")

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Kept rows say whether the base knows them. Raises: NotApplicable with too few of a kind."""
        known = self.known(context)
        judged = self.judged(rows, known)
        kinds = [[row for row in judged if known.knows(row.id) is wanted] for wanted in (False, True)]
        shares = (self.share, 1 - self.share)
        most = min(int(len(kind) / share + 1e-9) for kind, share in zip(kinds, shares, strict=True) if share)
        total = self.rows or most
        unknown = round(self.share * total)
        if total < 1 or unknown > len(kinds[0]) or total - unknown > len(kinds[1]):
            raise NotApplicable(
                f"at a share of {self.share} only {most} rows can be kept: the base knows {len(kinds[1])} "
                f"and does not know {len(kinds[0])}"
            )
        draw = context.draw(self.name, self.seed)
        chosen = {
            row.id
            for kind, number in zip(kinds, (unknown, total - unknown), strict=True)
            for row in draw.sample(kind, number)
        }
        return self.picked(rows, [row for row in rows if row.id in chosen], known)
