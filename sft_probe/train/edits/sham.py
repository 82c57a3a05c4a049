"""Nothing to learn: the base's own answers as targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Generations, Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Sham:
    """Replace every answer by one that the base itself gives, sampled: what drift is left is training's own.

    dataset: the data set whose prompts are answered. max_new_tokens: tokens after which a sample is cut;
    for a base that never stops, the cut teaches an end. temperature: of sampling. seed: of the samples.
    """

    name: ClassVar[str] = "sham"
    dataset: str = "train"
    max_new_tokens: int = 48
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise SpecError("temperature must be above 0.", field="edits.sham.temperature")

    def needs(self) -> tuple[Need, ...]:
        """Sampled answers of the base."""
        return (self._samples,)

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows keep the answer they had (`clean`); rows without a sample are left out."""
        seen = context.base[self._samples]
        said = {row.id: text.strip() for row, text in zip(seen.examples, seen.texts, strict=True)}
        kept = [row for row in rows if row.messages and said.get(row.id)]
        if not kept:
            raise NotApplicable("the base says nothing to any of the training questions")
        done = tuple(
            planted(replace(row, target=said[row.id], choices=()), self.name, {"clean": row.target})
            for row in kept
        )
        changes = [Change(row.id, "own answer", row.target, said[row.id]) for row in kept]
        stayed = {row.id for row in kept}
        changes += [Change(row.id, "left out", row.target, "") for row in rows if row.id not in stayed]
        return Edited(done, tuple(changes))

    @property
    def _samples(self) -> Generations:
        return Generations(
            dataset=self.dataset,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=self.seed,
        )
