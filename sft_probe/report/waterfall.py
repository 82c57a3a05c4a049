"""The steps of a gain from the items of a decomposed study, each with an interval over seeds and entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sft_probe.measures import waterfall as account
from sft_probe.measures.waterfall import (
    BASE,
    FORMAT,
    FULL,
    KNOWN,
    MAPPING,
    Term,
    both_orders,
    by_stratum,
    steps,
)
from sft_probe.report.numbers import Value
from sft_probe.stats.intervals import cluster_codes, mean_interval, normal, wilson
from sft_probe.stats.seeds import over_seeds_with_errors
from sft_probe.study.decompose import COMPANIONS, PROBE, SHAM, UNKNOWN, companion

if TYPE_CHECKING:
    from sft_probe.report.findings import Findings

STRICT, LENIENT = "strict_accuracy", "lenient_accuracy"
SHUFFLED, SHOWN = "shuffled_shots_accuracy", "shots_accuracy"
WALKED = (FULL, FORMAT, KNOWN)  # arms of the steps; the others stand beside them, if they are there
STRATA = (account.HELD_OUT, account.PARAPHRASED, account.VERBATIM)
Scores = Mapping[tuple[str, str], NDArray[np.float64]]  # (seeds, items) by arm and stratum


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """One account. All are changes of the share of right answers; those of `steps` add up to `total`.

    scorer: what a lenient scorer sees in the base already. context: the steps `format` and `elicited` once
    more, from examples in the prompt of the base. symmetric: the same two, averaged over both orders, where
    the study has the arm for it. sham, unknown: change of those arms. per_seed: of steps.
    """

    name: str
    steps: Mapping[str, Value]
    total: Value
    scorer: Value
    context: Mapping[str, Value]
    symmetric: Mapping[str, Value]
    sham: Value
    unknown: Value
    per_seed: Mapping[str, tuple[float, ...]]
    items: int
    clusters: int


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """The accounts of the strata. seeds: those that every arm has. missing: arms that are not there."""

    strata: tuple[Stratum, ...]
    seeds: int
    missing: tuple[str, ...] = ()


def take_apart(found: Findings) -> Waterfall | None:
    """The accounts of a study, None if it is not decomposed. Without the arms of the steps: no strata."""
    items = found.material.items
    items = items[items["probe"] == PROBE]
    if items.empty or not found.material.study.get("decompose"):
        return None
    reference = found.material.reference
    names = {kind: companion(reference, kind) for kind in COMPANIONS} | {FULL: reference}
    ends = {kind: _at_end(items[items["arm"] == name]) for kind, name in names.items()}
    if missing := tuple(names[kind] for kind in WALKED if ends[kind].empty):
        return Waterfall(strata=(), seeds=0, missing=missing)
    start = items[(items["arm"] == reference) & (items["step"] == 0)]
    seeds = sorted(set.intersection(*(set(ends[kind]["seed"].tolist()) for kind in WALKED)))
    if not seeds:
        return Waterfall(strata=(), seeds=0, missing=tuple(names[kind] for kind in WALKED))
    accounts = _Accounts(ends=ends, start=start, seeds=tuple(seeds))
    return Waterfall(strata=tuple(accounts.of(name) for name in STRATA), seeds=len(seeds))


def _at_end(rows: pd.DataFrame) -> pd.DataFrame:
    later: pd.DataFrame = rows[rows["step"] > 0]
    last: pd.DataFrame = later[later["step"] == later["step"].max()]
    return last


@dataclass(frozen=True, kw_only=True)
class _Accounts:
    """Items of every arm at the end and of the base. Arms of other seeds than `seeds` are left out."""

    ends: Mapping[str, pd.DataFrame]
    start: pd.DataFrame
    seeds: tuple[int, ...]

    def of(self, stratum: str) -> Stratum:
        """One account."""
        terms = steps(stratum)
        clusters = {name: self._clusters(name) for name in STRATA}
        scores: dict[tuple[str, str], NDArray[np.float64]] = {}
        for name in STRATA:
            scores |= {
                (kind, name): self._table(rows, name, LENIENT if kind == MAPPING else STRICT)
                for kind, rows in self.ends.items()
            }
            scores |= {
                (metric, name): self._table(self.start, name, metric) for metric in (LENIENT, SHUFFLED, SHOWN)
            }
            scores[BASE, name] = self._table(self.start, name, STRICT)
        plain = {
            "total": _change(FULL, BASE, stratum),
            "scorer": _change(LENIENT, BASE, stratum),
            "format_context": _change(SHUFFLED, BASE, stratum),
            "elicited_context": _change(SHOWN, SHUFFLED, stratum),
            "sham": _change(SHAM, BASE, stratum),
            "unknown": _change(UNKNOWN, BASE, stratum),
        }
        made = {name: estimate(by_stratum(signed, scores), clusters) for name, signed in plain.items()}
        either = {
            str(name): estimate(by_stratum(signed, scores), clusters)
            for name, signed in both_orders(stratum).items()
        }
        walked = {str(name): by_stratum(signed, scores) for name, signed in terms.items()}
        return Stratum(
            name=stratum,
            steps={name: estimate(parts, clusters) for name, parts in walked.items()},
            total=made["total"],
            scorer=made["scorer"],
            context={"format": made["format_context"], "elicited": made["elicited_context"]},
            symmetric={} if self.ends[MAPPING].empty else either,
            sham=made["sham"],
            unknown=made["unknown"],
            per_seed={name: tuple(_per_seed(parts)) for name, parts in walked.items()},
            items=len(clusters[stratum]),
            clusters=len(np.unique(clusters[stratum])),
        )

    def _items(self, stratum: str) -> pd.DataFrame:
        own = self.start[(self.start["metric"] == STRICT) & (self.start["stratum"] == stratum)]
        return own.drop_duplicates("item").sort_values("item")

    def _clusters(self, stratum: str) -> NDArray[np.int64]:
        return cluster_codes(self._items(stratum)["cluster"].to_list())

    def _table(self, rows: pd.DataFrame, stratum: str, metric: str) -> NDArray[np.float64]:
        own = rows[(rows["metric"] == metric) & (rows["stratum"] == stratum) & rows["seed"].isin(self.seeds)]
        table = own.astype({"item": str}).pivot_table(index="seed", columns="item", values="value")
        items = self._items(stratum)["item"].astype(str)
        return table.reindex(index=list(self.seeds), columns=items).to_numpy(float)


def _change(after: str, before: str, stratum: str) -> tuple[Term, ...]:
    return (Term(1, after, stratum), Term(-1, before, stratum))


def _per_seed(parts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(seeds,) the signed sum of each seed."""
    means: NDArray[np.float64] = np.sum([part.mean(axis=1) for part in parts.values()], axis=0)
    return means


def estimate(parts: Mapping[str, NDArray[np.float64]], clusters: Mapping[str, NDArray[np.int64]]) -> Value:
    """Mean over seeds of a sum over strata, with an interval for new seeds and new entities.

    parts: (seeds, items) by stratum, independent of one another.  clusters: (items,) by stratum. One seed
    gives an interval over entities alone, and so do seeds that are all alike. Where entities are alike too
    the interval has the width that Wilson's has for as many entities without any change.
    """
    values = _per_seed(parts)
    if np.isnan(values).any():  # an arm, or one of its seeds, is not there
        return Value(nan)
    errors = np.sqrt(np.sum([_squared_errors(part, clusters[name]) for name, part in parts.items()], axis=0))
    if values.size < 2 or np.ptp(values) < 1e-12:
        value, half = float(values[0]), normal(0.95) * float(errors.mean())
        if not errors.any():
            half = wilson(0.0, min(len(np.unique(clusters[name])) for name in parts), normal(0.95))[1]
        return Value(value, max(-1.0, value - half), min(1.0, value + half))
    found = over_seeds_with_errors(values, errors)
    return Value(found.value, found.low, found.high)


def _squared_errors(part: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """(seeds,) squared standard error over entities of each seed's mean."""
    found: Sequence[float] = [mean_interval(row, clusters).se ** 2 for row in part]
    return np.array(found)


__all__ = ["FORMAT", "KNOWN", "STRATA", "Stratum", "Waterfall", "estimate", "take_apart"]
