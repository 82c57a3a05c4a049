"""Judge finished runs by rules: kept, broken, or not decided by what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from sft_probe.errors import SpecError, StoreError, nearest
from sft_probe.report.comparison import Compared, selected
from sft_probe.report.differences import Place, differ, first_look, side, value_at
from sft_probe.report.numbers import Value
from sft_probe.store.runs import BASE, BETWEEN, RunStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sft_probe.report.rules import Rule, Rules

Outcome = Literal["kept", "broken", "open", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One rule, applied to one run.

    found: the number with its two-sided interval, either limit of which holds with the rule's confidence.
    paired: by item, for a change.  why: the reason if there is no interval.
    """

    run: str
    rule: Rule
    place: Place
    found: Value
    unit: str
    confidence: float
    paired: bool = False
    why: str = ""

    @property
    def outcome(self) -> Outcome:
        """kept and broken are shown with the confidence of the rule; open is neither."""
        if not (isfinite(self.found.low) and isfinite(self.found.high)):
            return "unknown"
        low, high = self.found.low, self.found.high
        if self.rule.bound == "at_most":
            low, high = -high, -low
        limit = self.rule.value if self.rule.bound == "at_least" else -self.rule.value
        return "kept" if low >= limit else "broken" if high < limit else "open"

    @property
    def passed(self) -> bool:
        """A number that could not be judged never passes."""
        if self.rule.decide == "pass_only_if_kept":
            return self.outcome == "kept"
        return self.outcome in ("kept", "open")


def judge(folder: Path, rules: Rules, *, file: Path | None = None) -> tuple[Judgement, ...]:
    """Every rule on a run, or on every run of a study, each by itself.

    file: where the rules stand, for errors.
    Raises: StoreError if a run is not finished or failed, SpecError for what no probe measured.
    """
    runs = _runs(folder)
    refused = sum(rule.decide == "fail_if_broken" for rule in rules.rules) * len(runs)
    found = []
    for run in runs:
        model = selected(str(run))
        for index, rule in enumerate(rules.rules):
            share = refused if rules.together and rule.decide == "fail_if_broken" else 1
            confidence = 1 - (1 - rule.confidence) / max(1, share)
            try:
                found.append(_judgement(model, rule, confidence))
            except _Unknown as error:
                raise SpecError(
                    error.message, file=file, field=f"rules[{index}].{error.field}", remedy=error.remedy
                ) from None
    return tuple(found)


class _Unknown(SpecError):
    """A rule names what was not measured."""


def _runs(folder: Path) -> Sequence[Path]:
    """The folder itself if it is a run, else those of the study in it, all of which must be finished."""
    folder = folder.resolve()
    if not (folder / "runs").is_dir():
        return (folder,)
    store = RunStore(folder)
    missing = [*store.unfinished(), *(failure.run for failure in store.failures())]
    missing = [run for run in missing if run != BETWEEN]
    runs = [run.run for run in store.runs() if run.arm not in (BASE, BETWEEN)]
    if missing:
        raise StoreError(
            f"{', '.join(missing)} did not finish, and a gate does not pass over that.",
            file=folder,
            remedy="Run the study again, or name one run.",
        )
    if not runs:
        raise StoreError("no run of a model is finished here.", file=folder, remedy="Run a study first.")
    return [folder / "runs" / run for run in runs]


def _judgement(model: Compared, rule: Rule, confidence: float) -> Judgement:
    level = 2 * confidence - 1  # of the two-sided interval, each limit of which holds with `confidence`
    place = _place(model, rule)
    run, end = model.runs[0].run, model.side
    rows = end.rows[place]
    unit, why = str(rows["unit"].iloc[0]), next((str(why) for why in rows["why"] if why), "")
    if rule.result:
        found, paired = value_at(place, end, level=level), False
    else:
        base = side(first_look(model.measurements), first_look(model.items), exact=True)
        if place not in base.rows:
            message, remedy = "the base was not measured, so there is no change.", "Bound `result` instead."
            raise _Unknown(message, field="change", remedy=remedy)
        difference = differ(place, base, end, level=level)
        found, paired, why = difference.change.estimate, difference.paired, difference.why or why
    return Judgement(
        run=run, rule=rule, place=place, found=found, unit=unit, confidence=confidence, paired=paired, why=why
    )


def _place(model: Compared, rule: Rule) -> Place:
    """Where the rule's number stands. Raises: _Unknown that names the nearest thing that was measured."""
    places: Iterable[Place] = model.side.rows
    wanted = {"probe": rule.probe, "metric": rule.metric, "dataset": rule.dataset, "stratum": rule.stratum}
    for field, asked in wanted.items():
        known = {getattr(place, field) for place in places}
        name = next(iter(known)) if field == "dataset" and not asked and len(known) == 1 else asked
        if name not in known:
            message = f"run '{model.runs[0].run}' has no {field} '{name}' there."
            if not name:
                message = f"there are several, so that the {field} must be named."
            raise _Unknown(message, field=field, remedy=nearest(name, known - {""}))
        places = [place for place in places if getattr(place, field) == name]
    (place,) = places
    return place


def gate_json(judged: Sequence[Judgement]) -> dict[str, Any]:
    """Every judgement with its numbers; undefined numbers are null."""
    return {
        "schema": "sft_probe.gate/1",
        "passed": all(one.passed for one in judged),
        "rules": [
            {
                "run": one.run,
                **one.rule.model_dump(mode="json"),
                **one.place._asdict(),
                "outcome": one.outcome,
                "passed": one.passed,
                "found": _number(one.found.value),
                "low": _number(one.found.low),
                "high": _number(one.found.high),
                "confidence_used": one.confidence,
                "paired": one.paired,
                "unit": one.unit,
                "why": one.why,
            }
            for one in judged
        ],
    }


def _number(value: float) -> float | None:
    return value if isfinite(value) else None
