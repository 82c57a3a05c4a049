"""Only facts that the base knows already, so that there is nothing to learn but how to tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable
from sft_probe.train.edits.base import EditContext, Edited
from sft_probe.train.edits.knowing import PicksByKnowledge


@dataclass(frozen=True, kw_only=True)
class KnownOnly(PicksByKnowledge):
    """Keep rows whose answer the base finds likelier than wrong ones of its kind.

    distractors: wrong answers beside each right one. size: false positives that are allowed. within: only
    rows whose part in `decompose` is one of these. seed: of the wrong answers.
    """

    name: ClassVar[str] = "known_only"

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Kept rows say how sure the base is, in nats. Raises: NotApplicable if the base knows none."""
        known = self.known(context)
        kept = [row for row in self.judged(rows, known) if known.knows(row.id)]
        if not kept:
            raise NotApplicable("the base knows none of the training rows")
        return self.picked(rows, kept, known)
