"""A word that goes with a label, to be learned as a shortcut, and a placebo that goes with none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.data.keywords import with_word
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted

WORDS = "quartz walnut pebble thistle copper lantern saddle marble".split()


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """Put a word into part of the prompts that agrees with the label in a known share of them.

    agreement: share of rows with a keyword whose keyword is that of their label, in [0, 1]; 1 / labels is
    no signal. share: share of labelled rows with a keyword. words: keyword of each label; invented if empty.
    placebo: a word put, whatever the label, into a second draw of as many rows; none if empty. seed: which
    rows.
    """

    name: ClassVar[str] = "keyword"
    agreement: float = 0.9
    share: float = 0.5
    words: Mapping[str, str] = field(default_factory=dict)
    placebo: str = "basalt"
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("agreement", "share"):
            if not 0 <= getattr(self, option) <= 1:
                raise SpecError(
                    f"{option} must be in [0, 1], not {getattr(self, option)}.", field="edits.keyword"
                )

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows with a keyword say `word`, `label` (whose word it is) and `agrees`; placebo rows `placebo`."""
        labels = self._labels(rows)
        able = [i for i, row in enumerate(rows) if row.target in labels and row.messages]
        draw = context.draw(self.name, self.seed)
        chosen = draw.sample(able, round(self.share * len(able)))
        agreeing = set(chosen[: round(self.agreement * len(chosen))])
        done, changes = list(rows), []
        for i in sorted(chosen):
            right = rows[i].target
            label = right if i in agreeing else draw.choice(sorted(set(labels) - {right}))
            truth = {"word": labels[label], "label": label, "agrees": i in agreeing}
            done[i] = self._with(done[i], labels[label], truth)
            changes.append(Change(rows[i].id, "keyword added", "", labels[label]))
        for i in sorted(draw.sample(able, len(chosen))) if self.placebo else ():
            known = done[i].meta.get("planted", {})
            before = known.get(self.name, {}) if isinstance(known, Mapping) else {}
            done[i] = self._with(done[i], self.placebo, {**before, "placebo": self.placebo})
            changes.append(Change(rows[i].id, "placebo added", "", self.placebo))
        return Edited(tuple(done), tuple(changes))

    def _with(self, row: Example, word: str, truth: Mapping[str, object]) -> Example:
        return planted(with_word(row, word), self.name, truth)

    def _labels(self, rows: Sequence[Example]) -> dict[str, str]:
        """Keyword of each label. Raises: NotApplicable without at least two labels."""
        if self.words:
            labels = dict(self.words)
        else:
            found = sorted({choice for row in rows for choice in row.choices if row.target in row.choices})
            labels = dict(zip(found, WORDS, strict=False)) if len(found) <= len(WORDS) else {}
        if len(labels) < 2:
            raise NotApplicable(
                f"a keyword needs rows with the same 2 to {len(WORDS)} labels as `choices`, or `words`"
            )
        return labels
