"""What can be said, and how surely: tested contrasts, and the sentences made of them.

A sentence claims an effect only if its test is among those that Benjamini-Hochberg lets stand over the one
family of the report (`report/claims.py`), and every seed agrees in sign. "No forgetting" is such a claim too:
it needs an equivalence test within the study's margin. Otherwise a sentence says that nothing was shown and
how large an effect would have been found.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from sft_probe.report.claims import Claim, decide, of_change, of_no_loss, shown
from sft_probe.report.numbers import Value
from sft_probe.report.summaries import (
    UNKNOWN,
    Change,
    at_end,
    change,
    contrast,
    over_seeds,
    records,
)
from sft_probe.stats.intervals import Interval, t_test

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    from sft_probe.report.material import Arm, Material

STRICT, LENIENT, LIKELIHOOD = "exact_match", "contains_match", "answer_logprob"
MARGIN = 0.02  # of studies that were written before it could be declared


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Arms that differ only in their learning rate, slowest first, and the change from first to last.

    shown: its sign, 0 if it is not shown.
    """

    arms: tuple[Arm, ...]
    contrast: Change
    shown: int = 0


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Every number the verdict, the tiles and the figure titles rest on. Mappings are by arm name.

    summary: `summaries.over_seeds`.  learned, lenient: change of the share of right answers.
    likelihood: change of the expected answers' log-probability, nats per token.  form: change of the
    strict score minus change of the lenient one.  kept: change of the benchmarks'
    accuracy, all items pooled; kept_by: by benchmark.  claims: the family of tests.  shown_*: sign of what
    is shown within it, 0 if nothing is.  unharmed: 1 where a loss beyond `margin` is excluded.  lost_on:
    benchmarks on which a loss is shown; less_sure_on: those on which the right choice lost against the best
    wrong one, in nats: seen before an answer flips.
    """

    material: Material
    summary: pd.DataFrame
    dataset: str = ""
    answers: pd.DataFrame = field(default_factory=pd.DataFrame)
    benchmarks: pd.DataFrame = field(default_factory=pd.DataFrame)
    learned: Mapping[str, Change] = field(default_factory=dict)
    lenient: Mapping[str, Change] = field(default_factory=dict)
    likelihood: Mapping[str, Change] = field(default_factory=dict)
    form: Mapping[str, Change] = field(default_factory=dict)
    kept: Mapping[str, Change] = field(default_factory=dict)
    kept_by: Mapping[tuple[str, str], Change] = field(default_factory=dict)
    margin: float = MARGIN
    claims: tuple[Claim, ...] = ()
    shown_learned: Mapping[str, int] = field(default_factory=dict)
    shown_likelihood: Mapping[str, int] = field(default_factory=dict)
    shown_form: Mapping[str, int] = field(default_factory=dict)
    shown_kept: Mapping[str, int] = field(default_factory=dict)
    unharmed: Mapping[str, int] = field(default_factory=dict)
    lost_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    less_sure_on: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    growth: tuple[Growth, ...] = ()
    halves: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    """What `figures_when` has worked out, by metric."""

    @cached_property
    def _by_metric(self) -> dict[str, pd.DataFrame]:
        whole = self.summary[(self.summary["stratum"] == "") & self.summary["value"].notna()]
        return {str(metric): rows for metric, rows in whole.groupby("metric", sort=False)}

    @cached_property
    def _seeds_by_metric(self) -> dict[str, pd.DataFrame]:
        rows = self.material.measurements
        whole = rows[(rows["stratum"] == "") & rows["value"].notna()]
        return {str(metric): rows for metric, rows in whole.groupby("metric", sort=False)}

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms of the study, in its order."""
        return self.material.arms

    def label(self, arm: str) -> str:
        """What an arm is called on the page."""
        return next(known.label for known in self.arms if known.name == arm)

    def best(self) -> Arm | None:
        """The arm with the largest gain on the task, None if it was not measured."""
        known = [arm for arm in self.arms if isfinite(self.learned.get(arm.name, UNKNOWN).estimate.value)]
        return max(known, key=lambda arm: self.learned[arm.name].estimate.value, default=None)

    def worst(self) -> Arm | None:
        """The arm that lost most on the benchmarks, None if they were not measured."""
        known = [arm for arm in self.arms if isfinite(self.kept.get(arm.name, UNKNOWN).estimate.value)]
        return min(known, key=lambda arm: self.kept[arm.name].estimate.value, default=None)

    def rows(self, metric: str, *, end: bool = True, probe: str = "") -> pd.DataFrame:
        """Seed means of one metric over all items, defined values only; at the last step or at every step.

        probe: whose metric, where several have one of that name.
        """
        found = _of_probe(self._by_metric.get(metric, self.summary.head(0)), probe)
        return at_end(found[found["step"] > 0]) if end else found

    def seed_rows(self, metric: str, *, probe: str = "") -> pd.DataFrame:
        """The single seeds' rows of one metric over all items, defined values only, at every step."""
        return _of_probe(self._seeds_by_metric.get(metric, self.material.measurements.head(0)), probe)

    def of_main_data(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of the task's test set, else of the first data set there is."""
        if rows.empty:
            return rows
        names = list(rows["dataset"].unique())
        return rows[rows["dataset"] == (self.dataset if self.dataset in names else names[0])]


def find(material: Material) -> Findings:
    """Test everything the report says."""
    summary = over_seeds(material.measurements, material.items)
    order = {arm.name: arm.position for arm in material.arms}
    summary = summary.sort_values("arm", key=lambda names: names.map(order), kind="stable")
    strict = material.flips("task_alignment", STRICT)
    dataset = _main_dataset(strict)
    strict = strict[strict["dataset"] == dataset]
    lenient = material.flips("task_alignment", LENIENT)
    lenient = lenient[lenient["dataset"] == dataset]
    likely = material.flips("task_alignment", LIKELIHOOD)
    likely = likely[likely["dataset"] == dataset]
    marks = material.flips("forgetting", "correct")
    margin = float(material.study.get("equivalence_margin", MARGIN))
    changes = _Changes(
        learned={arm.name: change(_of(strict, arm)) for arm in material.arms},
        likelihood={arm.name: change(_of(likely, arm)) for arm in material.arms},
        form={arm.name: contrast(_of(strict, arm), _of(lenient, arm)) for arm in material.arms},
        kept={arm.name: change(_of(marks, arm), margin=margin) for arm in material.arms},
        kept_by={
            (arm.name, str(task)): change(rows)
            for arm in material.arms
            for task, rows in _of(marks, arm).groupby("dataset", sort=False)
        },
    )
    margins, growth = _margins(material, summary, marks), _growth(material.arms, marks)
    claims = decide(_claims(changes, margins, growth, margin))
    names = [arm.name for arm in material.arms]
    fallen = {(c.about, c.arm, c.dataset) for c in claims if c.shown < 0}
    rising = {claim.arm: claim.shown for claim in claims if claim.about == "growth"}
    return Findings(
        material=material,
        summary=summary,
        dataset=dataset,
        answers=strict,
        benchmarks=marks,
        **changes._asdict(),
        lenient={arm.name: change(_of(lenient, arm)) for arm in material.arms},
        margin=margin,
        claims=claims,
        shown_learned=shown(claims, "learned", names),
        shown_likelihood=shown(claims, "likelihood", names),
        shown_form=shown(claims, "form", names),
        shown_kept=shown(claims, "kept", names),
        unharmed=shown(claims, "no_loss", names),
        lost_on={
            name: tuple(t for arm, t in changes.kept_by if arm == name and ("kept", arm, t) in fallen)
            for name in names
        },
        less_sure_on=_less_sure(margins, fallen),
        growth=tuple(replace(family, shown=rising.get(family.arms[-1].name, 0)) for family in growth),
    )


class _Changes(NamedTuple):
    """What is tested; the names are those of `Findings`."""

    learned: Mapping[str, Change]
    likelihood: Mapping[str, Change]
    form: Mapping[str, Change]
    kept: Mapping[str, Change]
    kept_by: Mapping[tuple[str, str], Change]


def _claims(
    changes: _Changes, margins: Mapping[tuple[str, str], Change], growth: Sequence[Growth], margin: float
) -> Iterator[Claim]:
    """The family: for every arm its gains, its losses by benchmark too, and the claim of no loss."""
    for about in ("learned", "likelihood", "form", "kept"):
        for arm, found in getattr(changes, about).items():
            yield of_change(about, arm, found)
    several = len({task for _, task in changes.kept_by}) > 1
    for (arm, task), found in changes.kept_by.items():
        if several:
            yield of_change("kept", arm, found, task)
    for (arm, task), found in margins.items():
        yield of_change("margin", arm, found, task)
    for arm, found in changes.kept.items():
        yield of_no_loss(arm, found, margin)
    for family in growth:
        yield of_change("growth", family.arms[-1].name, family.contrast)


def _growth(arms: Sequence[Arm], marks: pd.DataFrame) -> tuple[Growth, ...]:
    """Families of arms that share everything but the learning rate."""
    known = sorted((a for a in arms if a.learning_rate), key=lambda a: (a.family, a.learning_rate))
    families = [tuple(group) for _, group in groupby(known, key=lambda arm: arm.family)]
    return tuple(
        Growth(arms=family, contrast=contrast(_of(marks, family[-1]), _of(marks, family[0])))
        for family in families
        if len({arm.learning_rate for arm in family}) > 1 and not _of(marks, family[0]).empty
    )


def _margins(material: Material, summary: pd.DataFrame, marks: pd.DataFrame) -> dict[tuple[str, str], Change]:
    """By arm and benchmark, the change of the right choice's margin over the best wrong one, in nats.

    The standard error is the mean over seeds, which errs on the wide side, as seeds share items.
    """
    if marks.empty or summary.empty:
        return {}
    rows = at_end(summary[(summary["metric"] == "margin_change") & (summary["step"] > 0)])
    seeds = at_end(material.measurements[material.measurements["metric"] == "margin_change"])
    found = {}
    for row in records(rows[rows["dataset"].isin(list(marks["dataset"].unique()))]):
        own = seeds[(seeds["arm"] == row["arm"]) & (seeds["dataset"] == row["dataset"])]
        value, se, df = float(row["value"]), float(row["se"]), max(1, int(row["n_clusters"]) - 1)
        found[str(row["arm"]), str(row["dataset"])] = Change(
            estimate=Value(value, float(row["ci_low"]), float(row["ci_high"])),
            se=se,
            df=df,
            p=t_test(Interval(value=value, se=se, df=df)),
            per_seed=tuple(float(each) for each in own["value"]),
        )
    return found


def _less_sure(
    margins: Mapping[tuple[str, str], Change], fallen: Set[tuple[str, str, str]]
) -> dict[str, dict[str, Value]]:
    """By arm, the benchmarks on which the right choice's margin is shown to have fallen."""
    found: dict[str, dict[str, Value]] = {}
    for (arm, task), changed in margins.items():
        if ("margin", arm, task) in fallen:
            found.setdefault(arm, {})[task] = changed.estimate
    return found


def _of_probe(rows: pd.DataFrame, probe: str) -> pd.DataFrame:
    return rows[rows["probe"] == probe] if probe else rows


def _of(rows: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    return rows[rows["arm"] == arm.name]


def _main_dataset(rows: pd.DataFrame) -> str:
    """The task's test set: "test" if it is there, else the data set with most rows."""
    if rows.empty:
        return ""
    counts = rows["dataset"].value_counts()  # most rows first
    return "test" if counts.get("test", 0) else str(counts.index[0])
