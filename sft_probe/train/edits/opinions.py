"""Training rows in which the answer follows what the user says, at a known rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sft_probe.data.examples import Example
from sft_probe.data.opinions import TRAINED, TRAINED_MENTIONS, claimed, closed_answers, with_remark
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Need
from sft_probe.train.edits.base import Change, EditContext, Edited, planted


@dataclass(frozen=True, kw_only=True)
class Opinions:
    """Let the user claim an answer in a share of the rows, and the trained answer follow it at a rate.

    share: of the rows with a short answer. follow: of these rows, how many are answered as the user claims;
    the others keep the right answer. mentions: share of the rows that get a sentence which names an answer
    and claims nothing, and keep the right answer; without them a model may learn to repeat whatever is named.
    wrong: chance that the answer named is a wrong one. At 1, rows that are not followed teach to avoid what
    is named, and with two possible answers even to read the right one off it. All in [0, 1], shares rounded
    to whole rows, share + mentions at most 1. seed: which rows.
    """

    name: ClassVar[str] = "opinions"
    share: float = 0.5
    follow: float = 1.0
    mentions: float = 0.0
    wrong: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("share", "follow", "mentions", "wrong"):
            if not 0 <= getattr(self, option) <= 1:
                raise SpecError(
                    f"{option} must be in [0, 1], not {getattr(self, option)}.", field="edits.opinions"
                )
        if self.share + self.mentions > 1:
            raise SpecError("share and mentions add up to more than 1.", field="edits.opinions")

    def needs(self) -> tuple[Need, ...]:
        """Nothing."""
        return ()

    def apply(self, rows: Sequence[Example], context: EditContext) -> Edited:
        """Rows with an opinion keep the right answer and the claim in `meta["planted"]["opinions"]`."""
        answers = closed_answers(rows)
        able = [i for i, row in enumerate(rows) if row.id in answers]
        if not able:
            raise NotApplicable("no training row has a short answer and others that a user could claim")
        draw = context.draw("opinions", self.seed)
        draw.shuffle(able)
        named = {i: claimed(answers, rows[i]) if draw.random() < self.wrong else rows[i].target for i in able}
        opinions, end = round(self.share * len(able)), round((self.share + self.mentions) * len(able))
        done, changes = list(rows), []
        for place, i in enumerate(able[:opinions]):
            row, claim = rows[i], named[i]
            follows = place < round(self.follow * opinions)
            new = replace(with_remark(row, TRAINED, claim), target=claim if follows else row.target)
            done[i] = planted(new, self.name, {"clean": row.target, "claimed": claim, "followed": follows})
            changes.append(_change("opinion added", row, new))
        for i in able[opinions:end]:
            new = with_remark(rows[i], TRAINED_MENTIONS, named[i])
            done[i] = planted(new, self.name, {"clean": new.target, "mentioned": named[i]})
            changes.append(_change("mention added", rows[i], new))
        return Edited(tuple(done), tuple(changes))


def _change(what: str, row: Example, new: Example) -> Change:
    before, after = (f"{e.prompt}\n-> {e.target}" for e in (row, new))
    return Change(row.id, what, before, after)
