"""One number of two models side by side: paired by item where both answered the same, else from the rows.

Everything that sets a model against another rests on this: a run against a run, an arm against the base or
against the reference, and the rules of a gate.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf, isclose, isfinite, nan
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd

from sft_probe.report.claims import LEVEL
from sft_probe.report.numbers import Value, kind_of
from sft_probe.report.summaries import Change, by_item, paired
from sft_probe.schema import TRAINING
from sft_probe.stats.families import adjust
from sft_probe.stats.intervals import Interval, mean_interval, share_interval, t_test
from sft_probe.stats.two_samples import estimates_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOGETHER = "all"  # the data set of what was measured on several together
ITEMS_OF = {  # metrics whose items have a name of their own
    ("forgetting", "accuracy"): "correct",
    ("forgetting_curve", "retained_accuracy"): "retained",
}
MANY = 1e6  # degrees of freedom with which Student's t is the normal distribution
_COLUMNS = ["seed", "dataset", "item", "cluster", "value", "prompt", "target", "stratum"]

Outcome = Literal["higher", "lower", "alike", "open", "untested"]


class Place(NamedTuple):
    """Where a number of the whole model stands."""

    probe: str
    metric: str
    dataset: str = ""
    stratum: str = ""


@dataclass(frozen=True, kw_only=True)
class Side:
    """What was measured of one model, or of the seeds of one arm, at one moment.

    rows: one row per seed, by place.  items: of one probe and metric, all data sets and seeds.
    exact: values that the null makes certain need no interval, as those of the base against itself.
    """

    rows: Mapping[Place, pd.DataFrame]
    items: Mapping[tuple[str, str], pd.DataFrame]
    exact: bool = False
    _known: dict[Place, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    def answers(self, place: Place) -> pd.DataFrame:
        """The items behind a number; none if their mean is something else, as where tokens weigh."""
        if place not in self._known:
            self._known[place] = _answers(place, self)
        return self._known[place]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`b` minus `a` at one place.

    change: with `estimate` the difference.  paired: by item; `items` of them, else NaN.  partial: only these
    items are shared, and a and b are their values.  adjusted, adjusted_alike: p-values within the family, of
    no difference and of one as large as the margin; NaN where not tested.  margin: largest difference that
    counts as none, which the printed interval must keep too.
    """

    place: Place
    unit: str
    better: str
    a: Value
    b: Value
    change: Change
    paired: bool
    partial: bool = False
    margin: float = nan
    adjusted: float = nan
    adjusted_alike: float = nan
    why: str = ""

    @property
    def outcome(self) -> Outcome:
        """What the family lets stand: a difference, that there is none beyond the margin, or neither."""
        if not isfinite(self.adjusted):
            return "untested"
        if self.adjusted <= LEVEL and self.change.leaning:
            return "higher" if self.change.leaning > 0 else "lower"
        inside = -self.margin < self.change.estimate.low and self.change.estimate.high < self.margin
        return "alike" if self.adjusted_alike <= LEVEL and inside else "open"

    @property
    def good(self) -> int:
        """+1 if a shown difference is for the better, -1 for the worse, 0 if neither can be said."""
        sign = {"higher": 1, "lower": -1}.get(self.outcome, 0)
        return sign * {"higher": 1, "lower": -1}.get(self.better, 0)


def side(measurements: pd.DataFrame, items: pd.DataFrame, *, exact: bool = False) -> Side:
    """Rows of one moment, without those of single layers and modules and of training itself."""
    whole = measurements[
        measurements["layer"].eq(-1) & measurements["module"].eq("") & measurements["probe"].ne(TRAINING)
    ]
    keys = list(Place._fields)
    return Side(
        rows={Place(*map(str, key)): rows for key, rows in whole.groupby(keys, sort=False)},
        items={
            (str(probe), str(metric)): rows[_COLUMNS]
            for (probe, metric), rows in items.groupby(["probe", "metric"], sort=False)
        },
        exact=exact,
    )


def last_look(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run and probe at its last step after the beginning."""
    last = frame.groupby(["run", "probe"], sort=False)["step"].transform("max")
    return frame[(frame["step"] > 0) & (frame["step"] == last)]


def first_look(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows at step 0, the base."""
    return frame[frame["step"] == 0]


def differ(place: Place, a: Side, b: Side, *, level: float = 0.95, margin: float = nan) -> Difference:
    """`b` minus `a`, averaged over seeds, with an interval over items for the models at hand.

    margin: largest difference of a share that counts as none.
    The items serve only where their mean is what the probe reported, on both sides.
    """
    rows_a, rows_b = a.rows[place], b.rows[place]
    first = rows_b.iloc[0]
    margin = margin if kind_of(place.metric) in ("share", "points") else nan
    answers_a, answers_b = a.answers(place), b.answers(place)
    shared = _shared(answers_a, answers_b)
    made: Change
    value_a, value_b = _value(rows_a), _value(rows_b)
    partial = False
    if len(shared):
        made = paired(shared.assign(change=shared["after"] - shared["before"]), level, margin)
        sizes = {by_item(answers)[0].size for answers in (answers_a, answers_b)}
        if partial := sizes != {made.n}:
            value_a, value_b = (Value(float(shared[name].mean())) for name in ("before", "after"))
    else:
        made = apart(rows_a, rows_b, level=level, exact=a.exact)
    return Difference(
        place=place,
        unit=str(first["unit"]),
        better=str(first["better"]),
        a=value_a,
        b=value_b,
        change=made,
        paired=len(shared) > 0,
        partial=partial,
        margin=margin,
        why=_why(rows_a, rows_b) or made.why,
    )


def decided(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """The same with p-values adjusted over them all as one family (Benjamini-Hochberg)."""
    alike = [max(d.change.no_loss, d.change.no_gain) for d in differences]
    adjusted = adjust(np.array([*(d.change.p for d in differences), *alike], dtype=float))
    half = len(differences)
    return tuple(
        replace(d, adjusted=float(adjusted[i]), adjusted_alike=float(adjusted[half + i]))
        for i, d in enumerate(differences)
    )


def common(a: Side, b: Side) -> list[Place]:
    """Places that both sides have with a number, in the order of `b`."""
    return [
        place
        for place, rows in b.rows.items()
        if place in a.rows and rows["value"].notna().any() and a.rows[place]["value"].notna().any()
    ]


def apart(a: pd.DataFrame, b: pd.DataFrame, *, level: float = 0.95, exact: bool = False) -> Change:
    """`b` minus `a` from the measurements alone, as if of different items. Both: one row per seed.

    exact: an `a` that equals its null without an interval is certain.
    """
    one, two = estimate(a), estimate(b)
    if exact and one.value == float(a["null_value"].iloc[0]):
        one = replace(one, low=nan, high=nan, se=0.0)
    found = estimates_interval(one, two, level=level)
    if set(a["seed"]) == set(b["seed"]):
        each = b.set_index("seed")["value"] - a.set_index("seed")["value"]
        seeds = tuple(float(value) for value in each)
    else:
        seeds = (found.value,)
    return Change(
        estimate=Value(found.value, found.low, found.high),
        se=found.se,
        n=found.n,
        n_clusters=found.n_clusters,
        df=found.df,
        level=level,
        p=_p(found),
        per_seed=seeds,
        why=found.why,
    )


def estimate(rows: pd.DataFrame) -> Interval:
    """The mean over seeds with the mean of their limits, which errs on the wide side: seeds share items."""
    clusters = int(rows["n_clusters"].max())
    return Interval(
        value=float(rows["value"].mean()),
        low=float(rows["ci_low"].mean()),
        high=float(rows["ci_high"].mean()),
        se=float(rows["se"].mean()),
        n=int(rows["n"].max()),
        n_clusters=clusters,
        df=float(clusters - 1) if clusters > 1 else inf,
        why=next((str(why) for why in rows["why"] if why), ""),
    )


def value_at(place: Place, s: Side, *, level: float = 0.95) -> Value:
    """The number itself with limits for a level other than that of its row."""
    answers = s.answers(place)
    if answers.empty:
        row = estimate(s.rows[place])
        found = estimates_interval(Interval(value=0.0, se=0.0), row, level=level)
        return Value(row.value, found.low, found.high)
    values, clusters = by_item(answers)
    inside = values.min() >= 0 and values.max() <= 1
    interval = (share_interval if inside else mean_interval)(values, clusters, level=level)
    return Value(interval.value, interval.low, interval.high)


def _answers(place: Place, s: Side) -> pd.DataFrame:
    rows = s.rows[place]
    name = ITEMS_OF.get((place.probe, place.metric), place.metric)
    own = s.items.get((place.probe, name), pd.DataFrame(columns=_COLUMNS))
    if place.dataset != TOGETHER or (own["dataset"] == TOGETHER).any():
        own = own[own["dataset"] == place.dataset]
    if place.stratum:
        own = own[own["stratum"] == place.stratum]
    own = own[own["seed"].isin(rows["seed"])]
    means = own.groupby("seed")["value"].mean()
    known = rows.set_index("seed")["value"]
    if own.duplicated(["seed", "dataset", "item"]).any() or len(means) != len(known):
        return own.head(0)[_COLUMNS]
    if not all(isclose(means[seed], known[seed], rel_tol=1e-4, abs_tol=1e-6) for seed in means.index):
        return own.head(0)[_COLUMNS]
    return own[_COLUMNS]


def _shared(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Items that both sides were asked in the same words: seed, dataset, item, cluster, before, after."""
    if a.empty or b.empty:
        return a.head(0)
    if set(a["seed"]) != set(b["seed"]):
        a, b = _over_seeds(a), _over_seeds(b)
    keys, other = ["seed", "dataset", "item"], ["prompt", "target", "value"]
    if len(a) == len(b) and all((a[key].array == b[key].array).all() for key in keys):
        joined = b.assign(**{f"{name}_a": a[name].array for name in other})
    else:
        joined = b.merge(a[[*keys, *other]], on=keys, suffixes=("", "_a"))
    same = (joined["prompt"] == joined["prompt_a"]) & (joined["target"] == joined["target_a"])
    return joined[same].rename(columns={"value": "after", "value_a": "before"}).reset_index(drop=True)


def _over_seeds(answers: pd.DataFrame) -> pd.DataFrame:
    """Each item's mean over seeds, as one seed."""
    rest = {name: "first" for name in _COLUMNS if name not in ("seed", "dataset", "item", "value")}
    grouped = answers.groupby(["dataset", "item"], sort=False).agg({"value": "mean", **rest})
    return grouped.reset_index().assign(seed=0)


def _value(rows: pd.DataFrame) -> Value:
    found = estimate(rows)
    return Value(found.value, found.low, found.high)


def _p(found: Interval) -> float:
    """Two-sided, by the half-width towards zero; NaN where that is unknown."""
    return t_test(found if isfinite(found.df) else replace(found, df=MANY))


def _why(a: pd.DataFrame, b: pd.DataFrame) -> str:
    undefined = [*a["why"][a["value"].isna()], *b["why"][b["value"].isna()]]
    return next((str(why) for why in undefined if why), "")
