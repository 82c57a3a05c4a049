"""The pass rules of README.md as code. Each gives met or not met with the numbers it was judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd
from scipy.stats import false_discovery_control

if TYPE_CHECKING:
    from sft_probe import RunStore

STORIES = "real_stories"
QUESTIONS = ("real_copa", "real_piqa", "real_arc_easy")
Verdict = tuple[bool, str]


def judge(store: RunStore) -> str:
    """The outcome of every prediction as a Markdown table."""
    rows = store.measurements()
    rows = rows[(rows.arm != "base") & (rows.stratum == "")]
    last = rows[rows.step == rows.groupby("run").step.transform("max")]
    rules: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Verdict]] = {
        "1. every arm learns the answers' distribution": learns,
        "2. `full_high` learns to stop": stops,
        "3. stories are forgotten, more at the high rate": forgets_more_at_high_rate,
        "4. replay keeps stories": replay_keeps,
        "5. benchmarks at chance stay there": stays_at_chance,
    }
    lines = ["| prediction | outcome | numbers |", "|---|---|---|"]
    for name, rule in rules.items():
        met, numbers = rule(rows, last)
        lines.append(f"| {name} | {'**met**' if met else '**not met**'} | {numbers} |")
    return "\n".join(lines) + "\n"


def learns(rows: pd.DataFrame, last: pd.DataFrame) -> Verdict:
    """Answer log-probability rises in every arm and seed; its interval lies above the base's value."""
    found = _of(last, "answer_logprob")
    met = bool((found.ci_low > found.null_value).all())
    return met, _per_arm(found, "value", "nats/token", f"base {found.null_value.iloc[0]:.2f}")


def stops(rows: pd.DataFrame, last: pd.DataFrame) -> Verdict:
    """The stop rate rises in every seed of `full_high`."""
    found = _of(last, "stop_rate").query("arm == 'full_high'")
    met = bool((found.value > found.null_value).all())
    return met, _per_arm(found, "value", "of answers stop", f"base {found.null_value.iloc[0]:.2f}")


def forgets_more_at_high_rate(rows: pd.DataFrame, last: pd.DataFrame) -> Verdict:
    """A significant fall at the high rate in every seed, and a smaller one at the low rate."""
    change = _by_seed(_of(last, "accuracy_change", STORIES))
    p = _by_seed(_of(last, "mcnemar_p", STORIES))["full_high"]
    high, low = change["full_high"], change["full_low"]
    met = bool((high < 0).all() and (p < 0.05).all() and (low > high).all())
    text = f"change at the high rate {_list(high)}, McNemar p {_list(p)}; at the low rate {_list(low)}"
    return met, text


def replay_keeps(rows: pd.DataFrame, last: pd.DataFrame) -> Verdict:
    """The fall with replay is smaller in every seed."""
    change = _by_seed(_of(last, "accuracy_change", STORIES))
    with_replay, without = change["full_high_replay"], change["full_high"]
    met = bool((with_replay > without).all())
    return met, f"with replay {_list(with_replay)}, without {_list(without)}"


def stays_at_chance(rows: pd.DataFrame, last: pd.DataFrame) -> Verdict:
    """No McNemar test over arms, seeds and question sets is significant after Benjamini-Hochberg."""
    found = last[(last.metric == "mcnemar_p") & last.dataset.isin(QUESTIONS)]
    adjusted = false_discovery_control(found.value)
    return bool((adjusted >= 0.05).all()), f"smallest adjusted p {adjusted.min():.3f} of {len(found)} tests"


def _of(rows: pd.DataFrame, metric: str, dataset: str | None = None) -> pd.DataFrame:
    found = rows[rows.metric == metric]
    return found if dataset is None else found[found.dataset == dataset]


def _by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Seeds down, arms across."""
    return rows.pivot(index="seed", columns="arm", values="value")


def _per_arm(rows: pd.DataFrame, column: str, unit: str, base: str) -> str:
    def parts() -> Iterator[str]:
        for arm, group in rows.groupby("arm", sort=False):
            yield f"{arm} {_list(group.sort_values('seed')[column])}"

    return f"{base}; {'; '.join(parts())} ({unit}, one number per seed)"


def _list(values: pd.Series) -> str:
    return ", ".join(f"{value:+.3f}" if value < 0 else f"{value:.3f}" for value in values)
