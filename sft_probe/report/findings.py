"""What can be said, and how surely: tested contrasts, and the sentences made of them.

A sentence claims an effect only if the interval at a level corrected for the number of arms (Bonferroni)
excludes zero and every seed agrees in sign. Otherwise it says that nothing was shown and how large an
effect would have been found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING

import pandas as pd

from sft_probe.report.numbers import Value, interval, number, rate
from sft_probe.report.summaries import UNKNOWN, Change, at_end, before_and_after, change, contrast, over_seeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sft_probe.report.material import Arm, Material
    from sft_probe.report.words import Words

STRICT, LENIENT = "exact_match", "contains_match"


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Arms that differ only in their learning rate, slowest first, and the change from first to last."""

    arms: tuple[Arm, ...]
    contrast: Change


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Every number the verdict, the tiles and the figure titles rest on. Mappings are by arm name.

    summary: `summaries.over_seeds`.  learned, lenient: change of the share of right answers.
    form: change of the strict score minus change of the lenient one.  kept: change of the benchmarks'
    accuracy, all items pooled; kept_by: by benchmark.  sure: the same as learned and kept, at the level
    that decides.
    """

    material: Material
    summary: pd.DataFrame
    dataset: str = ""
    answers: pd.DataFrame = field(default_factory=pd.DataFrame)
    benchmarks: pd.DataFrame = field(default_factory=pd.DataFrame)
    learned: Mapping[str, Change] = field(default_factory=dict)
    lenient: Mapping[str, Change] = field(default_factory=dict)
    form: Mapping[str, Change] = field(default_factory=dict)
    kept: Mapping[str, Change] = field(default_factory=dict)
    kept_by: Mapping[tuple[str, str], Change] = field(default_factory=dict)
    shown_learned: Mapping[str, int] = field(default_factory=dict)
    shown_kept: Mapping[str, int] = field(default_factory=dict)
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

    def rows(self, metric: str, *, end: bool = True) -> pd.DataFrame:
        """Seed means of one metric over all items, defined values only; at the last step or at every step."""
        found = self._by_metric.get(metric, self.summary.head(0))
        return at_end(found[found["step"] > 0]) if end else found

    def seed_rows(self, metric: str) -> pd.DataFrame:
        """The single seeds' rows of one metric over all items, defined values only, at every step."""
        return self._seeds_by_metric.get(metric, self.material.measurements.head(0))

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
        form={arm.name: contrast(_of(strict, arm), _of(lenient, arm)) for arm in material.arms},
        kept={arm.name: change(_of(marks, arm)) for arm in material.arms},
        kept_by=by_task,
        shown_learned={arm.name: change(_of(strict, arm), level=level).direction for arm in material.arms},
        shown_kept={arm.name: change(_of(marks, arm), level=level).direction for arm in material.arms},
        growth=_growth(material.arms, marks),
    )


def verdict(found: Findings, words: Words) -> list[str]:
    """Two to four plain sentences, never more certain than the intervals."""
    sentences = [_learned_sentence(found, words), _form_sentence(found, words)]
    sentences += [_kept_sentence(found, words), _growth_sentence(found, words)]
    return [sentence for sentence in sentences if sentence]


def points(value: Change, words: Words) -> str:
    """ "+94.6 points (92.1 to 97.0)"; if only these seeds show it, with the interval for new seeds too."""
    limits = interval(value.estimate, "points", words.interval_word())
    if value.direction and value.anew.low <= 0 <= value.anew.high:
        limits += words("new_seeds", limits=interval(value.anew, "points", words.interval_word()))
    shown = words("points", value=number(value.estimate.value, "points"))
    return f"{shown} ({limits})" if limits else shown


def detectable(changes: Iterable[Change]) -> str:
    """The largest of the smallest detectable changes, in points without sign."""
    sizes = [c.detectable for c in changes if isfinite(c.detectable)]
    return number(max(sizes), "size") if sizes else "?"


def base_share(found: Findings, metric: str) -> Value:
    """The base model's share on the task, NaN if it was not measured."""
    rows = found.of_main_data(found.rows(metric, end=False))
    rows = rows[rows["step"] == 0]
    if rows.empty:
        return Value(float("nan"))
    first = rows.iloc[0]
    return Value(float(first["value"]), float(first["ci_low"]), float(first["ci_high"]))


def _learned_sentence(found: Findings, words: Words) -> str:
    best = found.best()
    if best is None:
        return words("verdict.no_task")
    gain = found.learned[best.name]
    learners = [arm for arm in found.arms if found.shown_learned[arm.name] > 0]
    others = [arm for arm in found.arms if found.shown_learned[arm.name] <= 0]
    mde = detectable(found.learned[arm.name] for arm in others)
    if not learners:
        return words("verdict.learned_none", mde=mde)
    values = {"before": number(base_share(found, STRICT).value, "share", 0), "best": best.label}
    values["change"] = points(gain, words)
    if others:
        names = words.listed(arm.label for arm in learners)
        rest = words.listed(arm.label for arm in others)
        return words("verdict.learned_some", names=names, others=rest, mde=mde, **values)
    return words("verdict.learned_one" if len(learners) == 1 else "verdict.learned_all", **values)


def _form_sentence(found: Findings, words: Words) -> str:
    best = found.best()
    if best is None or found.shown_learned[best.name] <= 0 or found.form[best.name].direction <= 0:
        return ""
    return words(
        "verdict.form",
        base=number(base_share(found, LENIENT).value, "share", 0),
        lenient=points(found.lenient[best.name], words),
        best=best.label,
    )


def _kept_sentence(found: Findings, words: Words) -> str:
    if found.worst() is None:
        return words("verdict.no_benchmarks")
    losers = [arm for arm in found.arms if found.shown_kept[arm.name] < 0]
    losers.sort(key=lambda arm: found.kept[arm.name].estimate.value)
    unclear = [arm for arm in found.arms if found.shown_kept[arm.name] == 0]
    mde = detectable(found.kept[arm.name] for arm in unclear)
    names = words.listed(arm.label for arm in unclear) if unclear else ""
    if not losers:
        return words("verdict.no_loss", names=names, mde=mde) if unclear else words("verdict.all_gained")
    lost = words.listed_apart(f"{arm.label} {points(found.kept[arm.name], words)}" for arm in losers)
    rest = words("verdict.no_loss", names=names, mde=mde) if unclear else ""
    return " ".join(part for part in (words("verdict.lost", list=lost), rest) if part)


def _growth_sentence(found: Findings, words: Words) -> str:
    shown = [growth for growth in found.growth if growth.contrast.direction < 0]
    return words("verdict.growth", list=growth_list(found, shown[0], words)) if shown else ""


def growth_list(found: Findings, growth: Growth, words: Words) -> str:
    """The pooled change of each arm with its learning rate, slowest first."""
    return words.listed(
        words(
            "at_rate",
            change=words("points", value=number(found.kept[arm.name].estimate.value, "points")),
            rate=rate(arm.learning_rate or 0.0),
        )
        for arm in growth.arms
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


def _of(rows: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    return rows[rows["arm"] == arm.name]


def _main_dataset(rows: pd.DataFrame) -> str:
    """The task's test set: "test" if it is there, else the data set with most rows."""
    if rows.empty:
        return ""
    counts = rows["dataset"].value_counts()
    return "test" if "test" in counts else str(counts.index[0])
