"""From rows of the store to what a report shows: means over seeds, and paired changes over items.

Two kinds of uncertainty are kept apart. Intervals are over items (entities), for the average of the
seeds at hand; the values of the single seeds stand beside them. `Change.anew` answers for new seeds too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sft_probe.report.numbers import Value
from sft_probe.stats.contrasts import (
    Equivalence,
    change_equivalence,
    change_interval,
    change_test,
    equivalence,
)
from sft_probe.stats.intervals import Floats, Interval, Ints, mean_interval, share_interval, t_test
from sft_probe.stats.power import detectable_effect
from sft_probe.stats.seeds import over_seeds_and_items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KEYS = ["probe", "metric", "dataset", "stratum", "layer", "module"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A paired change over items, averaged over seeds.

    anew: the same change with an interval for new seeds and new items; undefined with one seed.
    p: two-sided, of no change.  no_loss, no_gain: p-values against a loss or a gain as large as the margin.
    per_seed: the change of each seed.  detectable: smallest true change found with 80 % power.
    why: the reason if there is no interval.
    """

    estimate: Value
    se: float = nan
    n: int = 0
    n_clusters: int = 0
    df: float = nan
    level: float = 0.95
    p: float = nan
    no_loss: float = nan
    no_gain: float = nan
    anew: Value = field(default=Value(nan))
    per_seed: tuple[float, ...] = ()
    why: str = ""

    @property
    def detectable(self) -> float:
        """In the unit of the change; from the interval's width where no item changed; NaN without one."""
        width = (self.estimate.high - self.estimate.low) / 3.92  # a 95 % interval spans 2 x 1.96 SE
        df = self.df if isfinite(self.df) else inf
        return detectable_effect(self.se if isfinite(self.se) and self.se > 0 else width, df=df)

    @property
    def leaning(self) -> int:
        """+1 or -1 if the estimate and every seed have that sign, else 0."""
        values = (self.estimate.value, *self.per_seed)
        return next((sign for sign in (1, -1) if all(sign * value > 0 for value in values)), 0)

    @property
    def direction(self) -> int:
        """+1 or -1 if the interval excludes zero and every seed has that sign, else 0: nothing shown."""
        nearest = min(self.leaning * self.estimate.low, self.leaning * self.estimate.high)
        return self.leaning if nearest > 0 else 0


UNKNOWN = Change(estimate=Value(nan), why="not measured")


def over_seeds(measurements: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, step and metric place: mean over seeds with its interval, and the range of seeds.

    The interval comes from the items where there are several seeds and items whose mean is the value;
    otherwise it is the mean of the seeds' own limits, which errs on the wide side, as seeds share items.
    """
    if measurements.empty:
        return measurements.assign(seeds=0, seed_low=nan, seed_high=nan)
    grouped = measurements.groupby(["arm", "step", *KEYS], sort=False, dropna=False)
    table = grouped.agg(
        value=("value", "mean"),
        ci_low=("ci_low", "mean"),
        ci_high=("ci_high", "mean"),
        se=("se", "mean"),
        n=("n", "max"),
        n_clusters=("n_clusters", "max"),
        null_value=("null_value", "first"),
        unit=("unit", "first"),
        better=("better", "first"),
        why=("why", "max"),
        seeds=("seed", "nunique"),
        seed_low=("value", "min"),
        seed_high=("value", "max"),
    ).reset_index()
    return _with_item_intervals(table, items)


def _with_item_intervals(table: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    place = ["arm", "step", "probe", "metric", "dataset"]
    whole = table["stratum"].eq("") & table["module"].eq("") & table["layer"].eq(-1) & table["seeds"].gt(1)
    if not whole.any() or items.empty:
        return table
    known: Mapping[Any, Any] = items.groupby(place, sort=False).indices
    own = items[["dataset", "item", "cluster", "value"]]
    keys = zip(table.index[whole], *(table.loc[whole, name] for name in [*place, "value"]), strict=True)
    better: dict[Any, tuple[float, float, int, int]] = {}
    for index, *key, value in keys:
        if tuple(key) in known:
            found = _mean_of_seeds(own.take(known[tuple(key)]))
            if isfinite(found.low) and abs(found.value - value) <= 1e-6 + 1e-5 * abs(value):
                better[index] = (found.low, found.high, found.n, found.n_clusters)
    for column, values in zip(
        ("ci_low", "ci_high", "n", "n_clusters"), zip(*better.values(), strict=True), strict=False
    ):
        table.loc[list(better), column] = values
    return table


def _mean_of_seeds(rows: pd.DataFrame) -> Interval:
    """Interval over items of each item's mean over seeds."""
    values, clusters = by_item(rows)
    inside = values.size > 0 and values.min() >= 0 and values.max() <= 1
    return (share_interval if inside else mean_interval)(values, clusters)


def by_item(rows: pd.DataFrame) -> tuple[Floats, Ints]:
    """(items,) mean `value` of each item over seeds, and its cluster, told apart by data set."""
    asked = _asked(rows)
    return asked.mean(rows["value"]), asked.clusters


def by_item_and_step(rows: pd.DataFrame) -> tuple[Floats, Ints]:
    """(seeds, items, steps) mean `value`, NaN where there is none, and the (items,) clusters."""
    asked = _asked(rows)
    (seeds, names), (steps, looks) = (pd.factorize(rows[key], sort=True) for key in ("seed", "step"))
    shape = (len(names), asked.clusters.size, len(looks))
    places = np.ravel_multi_index((seeds, asked.codes, steps), shape) if len(rows) else asked.codes
    values = _means(places, rows["value"].to_numpy(float), int(np.prod(shape)))
    return values.reshape(shape), asked.clusters


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Each row as a mapping by column name."""
    columns = [rows[name].astype(object).tolist() for name in rows.columns]
    return [dict(zip(rows.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def extreme(rows: pd.DataFrame, *, largest: bool = True, by: str = "value") -> dict[str, Any]:
    """The row with the largest, or smallest, value or other column. rows: not empty."""
    ordered = rows.sort_values(by, ascending=not largest, kind="stable")
    return records(ordered.head(1))[0]


def at_end(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of each arm and probe at its last step."""
    if table.empty:
        return table
    last = table.groupby(["arm", "probe"])["step"].transform("max")
    return table[table["step"] == last]


def before_and_after(items: pd.DataFrame, probe: str, metric: str) -> pd.DataFrame:
    """One row per arm, seed and item: `before` and `after` values and predictions, at step 0 and at the end.

    Empty if the arms were looked at once only.
    """
    own = items[(items["probe"] == probe) & (items["metric"] == metric)]
    if own.empty:
        return own.assign(before=[], after=[], said_before=[], said_after=[])
    last = own.groupby(["arm", "seed"])["step"].transform("max")
    keys = ["arm", "seed", "dataset", "item"]
    start = own.loc[own["step"] == 0, [*keys, "value", "prediction"]]
    end = own[(own["step"] == last) & (own["step"] > 0)]
    joined = end.merge(start.rename(columns={"value": "before", "prediction": "said_before"}), on=keys)
    return joined.rename(columns={"value": "after", "prediction": "said_after"})


def change(rows: pd.DataFrame, *, level: float = 0.95, margin: float = nan) -> Change:
    """The paired change of one arm. rows: of `before_and_after`, for one arm; any mix of data sets.

    margin: largest loss that still counts as none; without it `no_loss` is not tested.
    """
    if rows.empty:
        return UNKNOWN
    return paired(rows.assign(change=rows["after"] - rows["before"]), level, margin)


def contrast(rows: pd.DataFrame, reference: pd.DataFrame, *, level: float = 0.95) -> Change:
    """Change of one arm minus change of another over the same items and, where shared, the same seeds."""
    keys = ["seed", "dataset", "item"]
    joined = rows.merge(reference, on=keys, suffixes=("", "_reference"))
    if joined.empty:
        return UNKNOWN
    joined = joined.assign(before=joined["after_reference"] - joined["before_reference"] + joined["before"])
    return paired(joined.assign(change=joined["after"] - joined["before"]), level, nan)


def paired(rows: pd.DataFrame, level: float, margin: float) -> Change:
    """The mean of `change`, with clusters told apart by data set.

    rows: seed, dataset, item, cluster, before, after, change.
    """
    asked = _asked(rows)
    after, before, clusters = asked.mean(rows["after"]), asked.mean(rows["before"]), asked.clusters
    shares = set(np.unique(np.concatenate([after, before]))) <= {0.0, 1.0}
    found = _interval(after, before, clusters, level, shares=shares)
    return Change(
        estimate=Value(found.value, found.low, found.high),
        se=found.se,
        n=found.n,
        n_clusters=found.n_clusters,
        df=found.df,
        level=level,
        p=change_test(after, before, clusters) if shares else t_test(found),
        **_within(after, before, clusters, found, margin, shares=shares)._asdict(),
        anew=_anew(rows, asked, level),
        per_seed=tuple(float(value) for value in rows.groupby("seed")["change"].mean()),
        why=found.why,
    )


def _interval(
    after: NDArray[np.float64],
    before: NDArray[np.float64],
    clusters: NDArray[np.int64],
    level: float,
    *,
    shares: bool,
) -> Interval:
    """Tango for right-or-wrong answers, whose interval has width even without any flip; else Student's t."""
    if shares:
        return change_interval(after, before, clusters, level=level)
    return mean_interval(after - before, clusters, level=level)


def _within(
    after: NDArray[np.float64],
    before: NDArray[np.float64],
    clusters: NDArray[np.int64],
    found: Interval,
    margin: float,
    *,
    shares: bool,
) -> Equivalence:
    if not isfinite(margin):
        return Equivalence(nan, nan)
    if shares:
        return change_equivalence(after, before, clusters, margin=margin)
    return equivalence(found, margin=margin)


def _anew(rows: pd.DataFrame, asked: _Asked, level: float) -> Value:
    """The mean over seeds and items with an interval for both; undefined unless every seed saw every item."""
    seeds, names = pd.factorize(rows["seed"], sort=True)
    if len(names) < 2:
        return Value(nan)
    size = asked.clusters.size
    cells = _means(seeds * size + asked.codes, rows["change"].to_numpy(float), len(names) * size)
    if np.isnan(cells).any():
        return Value(nan)
    found = over_seeds_and_items(cells.reshape(len(names), size), asked.clusters, level=level)
    return Value(found.value, found.low, found.high)


class _Asked(NamedTuple):
    """The items of some rows, numbered as they first appear.

    codes: (rows,) item of each row.  clusters: (items,) told apart by data set.
    """

    codes: Ints
    clusters: Ints

    def mean(self, values: pd.Series) -> Floats:
        """(items,) the mean of a column over the rows of each item."""
        return _means(self.codes, values.to_numpy(float), self.clusters.size)


def _asked(rows: pd.DataFrame) -> _Asked:
    datasets, names = _codes(rows["dataset"]), rows["cluster"]
    codes = _pairs(datasets, _codes(rows["item"]))
    first = np.unique(codes, return_index=True)[1]
    clusters = _pairs(datasets[first], _codes(names)[first])
    alone = (names.take(first) == "").to_numpy()
    clusters[alone] = -1 - np.arange(alone.sum())
    return _Asked(codes, pd.factorize(clusters)[0].astype(np.int64))


def _codes(column: pd.Series) -> Ints:
    """A number for each name of a column."""
    codes = column.cat.codes.to_numpy() if hasattr(column, "cat") else pd.factorize(column)[0]
    return codes.astype(np.int64)


def _pairs(one: Ints, other: Ints) -> Ints:
    """A number for each pair of numbers, counted as they first appear."""
    width = other.max(initial=0) + 1
    codes: Ints = pd.factorize(one * width + other)[0].astype(np.int64)
    return codes


def _means(codes: Ints, values: Floats, size: int) -> Floats:
    """(size,) mean of the known values of each code, NaN where there is none."""
    known = ~np.isnan(values)
    sums = np.bincount(codes[known], values[known], minlength=size)
    counts = np.bincount(codes[known], minlength=size)
    means: Floats = np.divide(sums, counts, out=np.full(size, nan), where=counts > 0)
    return means
