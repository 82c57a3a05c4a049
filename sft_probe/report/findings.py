"""What can be said, and how surely: tested contrasts, and the sentences made of them.

A sentence claims an effect only if the interval at a level corrected for the number of arms (Bonferroni;
for single benchmarks, for arms times benchmarks) excludes zero and every seed agrees in sign. Otherwise it
says that nothing was shown and how large an effect would have been found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING

import pandas as pd

from sft_probe.report.numbers import Value
from sft_probe.report.summaries import (
    UNKNOWN,
    Change,
    at_end,
    before_and_after,
    change,
    contrast,
    over_seeds,
    records,
)
from sft_probe.stats.intervals import student_t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sft_probe.report.material import Arm, Material

STRICT, LENIENT, LIKELIHOOD = "exact_match", "contains_match", "answer_logprob"


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Arms that differ only in their learning rate, slowest first, and the change from first to last."""

    arms: tuple[Arm, ...]
    contrast: Change


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Every number the verdict, the tiles and the figure titles rest on. Mappings are by arm name.

    summary: `summaries.over_seeds`.  learned, lenient: change of the share of right answers.
    likelihood: change of the expected answers' log-probability, nats per token.  form: change of the
    strict score minus change of the lenient one.  kept: change of the benchmarks'
    accuracy, all items pooled; kept_by: by benchmark.  shown_*: sign of what is shown at the level that
    decides, 0 if nothing is.  lost_on: benchmarks on which a loss is shown; less_sure_on: those
    on which the right choice lost against the best wrong one, in nats: seen before an answer flips.
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
    shown_learned: Mapping[str, int] = field(default_factory=dict)
    shown_likelihood: Mapping[str, int] = field(default_factory=dict)
    shown_kept: Mapping[str, int] = field(default_factory=dict)
    lost_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    less_sure_on: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    growth: tuple[Growth, ...] = ()

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
    strict = before_and_after(material.items, "task_alignment", STRICT)
    dataset = _main_dataset(strict)
    strict = strict[strict["dataset"] == dataset]
    lenient = before_and_after(material.items, "task_alignment", LENIENT)
    lenient = lenient[lenient["dataset"] == dataset]
    likely = before_and_after(material.items, "task_alignment", LIKELIHOOD)
    likely = likely[likely["dataset"] == dataset]
    marks = before_and_after(material.items, "forgetting", "correct")
    level = 1 - 0.05 / max(1, len(material.arms))
    by_task = {
        (arm.name, str(task)): change(rows)
        for arm in material.arms
        for task, rows in _of(marks, arm).groupby("dataset", sort=False)
    }
    return Findings(
        material=material,
        summary=summary,
        dataset=dataset,
        answers=strict,
        benchmarks=marks,
        learned={arm.name: change(_of(strict, arm)) for arm in material.arms},
        lenient={arm.name: change(_of(lenient, arm)) for arm in material.arms},
        likelihood={arm.name: change(_of(likely, arm)) for arm in material.arms},
        form={arm.name: contrast(_of(strict, arm), _of(lenient, arm)) for arm in material.arms},
        kept={arm.name: change(_of(marks, arm)) for arm in material.arms},
        kept_by=by_task,
        shown_learned={arm.name: change(_of(strict, arm), level=level).direction for arm in material.arms},
        shown_kept={arm.name: change(_of(marks, arm), level=level).direction for arm in material.arms},
        shown_likelihood={arm.name: change(_of(likely, arm), level=level).direction for arm in material.arms},
        less_sure_on=_less_sure(material, summary, marks),
        lost_on={arm.name: _lost_on(_of(marks, arm), len(material.arms)) for arm in material.arms},
        growth=_growth(material.arms, marks),
    )


def _growth(arms: Sequence[Arm], marks: pd.DataFrame) -> tuple[Growth, ...]:
    """Families of arms that share everything but the learning rate."""
    known = sorted((a for a in arms if a.learning_rate), key=lambda a: (a.family, a.learning_rate))
    families = [tuple(group) for _, group in groupby(known, key=lambda arm: arm.family)]
    return tuple(
        Growth(arms=family, contrast=contrast(_of(marks, family[-1]), _of(marks, family[0])))
        for family in families
        if len({arm.learning_rate for arm in family}) > 1 and not _of(marks, family[0]).empty
    )


def _lost_on(marks: pd.DataFrame, arms: int) -> tuple[str, ...]:
    """The benchmarks on which one arm's loss is shown, at a level corrected for arms times benchmarks."""
    tasks = list(marks.groupby("dataset", sort=False)) if not marks.empty else []
    level = 1 - 0.05 / max(1, arms * len(tasks))
    return tuple(str(task) for task, rows in tasks if change(rows, level=level).direction < 0)


def _less_sure(material: Material, summary: pd.DataFrame, marks: pd.DataFrame) -> dict[str, dict[str, Value]]:
    """By arm, the benchmarks on which the right choice's margin fell in every seed and beyond its interval.

    The level is corrected for arms times benchmarks; the standard error is the mean over seeds, which errs
    on the wide side, as seeds share items.
    """
    if marks.empty or summary.empty:
        return {}
    tasks = list(marks["dataset"].unique())
    rows = at_end(summary[(summary["metric"] == "margin_change") & (summary["step"] > 0)])
    seeds = at_end(material.measurements[material.measurements["metric"] == "margin_change"])
    level = 1 - 0.05 / (len(material.arms) * len(tasks))
    found: dict[str, dict[str, Value]] = {}
    for row in records(rows[rows["dataset"].isin(tasks)]):
        own = seeds[(seeds["arm"] == row["arm"]) & (seeds["dataset"] == row["dataset"])]
        reach = student_t(level, max(1, int(row["n_clusters"]) - 1)) * float(row["se"])
        if float(row["value"]) + reach < 0 and bool((own["value"] < 0).all()):
            limits = Value(float(row["value"]), float(row["ci_low"]), float(row["ci_high"]))
            found.setdefault(str(row["arm"]), {})[str(row["dataset"])] = limits
    return found


def _of_probe(rows: pd.DataFrame, probe: str) -> pd.DataFrame:
    return rows[rows["probe"] == probe] if probe else rows


def _of(rows: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    return rows[rows["arm"] == arm.name]


def _main_dataset(rows: pd.DataFrame) -> str:
    """The task's test set: "test" if it is there, else the data set with most rows."""
    if rows.empty:
        return ""
    counts = rows["dataset"].value_counts()
    return "test" if "test" in counts else str(counts.index[0])
