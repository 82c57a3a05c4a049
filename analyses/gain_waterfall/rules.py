"""The pass rules of README.md as code, judged seed by seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from sft_probe import RunStore

PROBE, FULL = "gain_waterfall", "full"
GAINS = ("elicited", "generalised", "injected", "memorised", "overwritten")
LEARNED = ("injected", "memorised")
SEEDS_NEEDED = 0.9


def classes(output_dir: Path) -> dict[str, str]:
    """Knowledge class of every row of the planted set, by id."""
    path = output_dir / "world" / "tasks" / "mixed_facts.train.jsonl"
    rows = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return {row["id"]: row["stratum"] for row in rows}


def verdicts(store: RunStore, truth: dict[str, str]) -> pd.DataFrame:
    """One row per item gained or lost by the full arm at its end: seed, item, stratum, class, verdict."""
    items = store.items()
    own = items[(items.probe == PROBE) & (items.arm == FULL) & (items.step > 0)]
    own = own[(own.step == own.step.max()) & own.metric.str.endswith("_share")]
    return own.assign(verdict=own.metric.str.removesuffix("_share"), kind=own.item.map(truth))


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Verdicts by class, over all seeds."""
    return found.pivot_table(index="kind", columns="verdict", values="item", aggfunc="count", fill_value=0)


def outcomes(store: RunStore, truth: dict[str, str]) -> pd.DataFrame:
    """Whether each rule is met, seeds down and rules across."""
    found, rows = verdicts(store, truth), store.measurements()
    rows = rows[(rows.probe == PROBE) & (rows.arm == FULL) & (rows.stratum == "")]
    rules: dict[str, Callable[[pd.DataFrame, pd.DataFrame], bool]] = {
        "1. K1 is elicited": lambda own, _: _most(own, "K1", ("elicited",)),
        "2. U is injected or memorised": lambda own, _: _most(own[own.stratum != "E0"], "U", LEARNED),
        "3. W is overwritten": lambda own, _: _most(own, "W", ("overwritten",)),
        "4. K2 is injected, though known as read": lambda own, numbers: (
            _most(own[own.stratum != "E0"], "K2", LEARNED) and _at_end(numbers, "known_as_read_share") > 0.9
        ),
        "5. gains minus losses are the change": lambda _, numbers: _adds_up(numbers),
    }
    seeds = sorted(rows.seed.unique())
    return pd.DataFrame(
        {
            name: [bool(rule(found[found.seed == seed], rows[rows.seed == seed])) for seed in seeds]
            for name, rule in rules.items()
        },
        index=pd.Index(seeds, name="seed"),
    )


def judge(store: RunStore, truth: dict[str, str]) -> str:
    """The outcome of every prediction, and the verdicts by class, as Markdown."""
    met = outcomes(store, truth)
    lines = ["| prediction | outcome | seeds |", "|---|---|---|"]
    for name, seeds in met.items():
        held = seeds.mean() >= SEEDS_NEEDED
        lines.append(f"| {name} | {'**met**' if held else '**not met**'} | {seeds.sum()} of {len(seeds)} |")
    table = counts(verdicts(store, truth))
    lines += ["", "Items by true class (rows) and verdict, all seeds together:", ""]
    lines += [
        "| class | " + " | ".join(map(str, table.columns)) + " |",
        "|---" * (len(table.columns) + 1) + "|",
    ]
    lines += [
        f"| {kind} | " + " | ".join(map(str, row)) + " |"
        for kind, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join(lines) + "\n"


def _most(own: pd.DataFrame, kind: str, right: tuple[str, ...]) -> bool:
    """More than half of the gains of a class have a right verdict; False without any."""
    gained = own[(own.kind == kind) & own.verdict.isin(GAINS)]
    return len(gained) > 0 and float(gained.verdict.isin(right).mean()) > 0.5


def _at_end(numbers: pd.DataFrame, metric: str) -> float:
    own = numbers[numbers.metric == metric]
    return float(own[own.step == own.step.max()]["value"].iloc[0])


def _adds_up(numbers: pd.DataFrame) -> bool:
    gains = sum(_at_end(numbers, f"{verdict}_share") for verdict in GAINS)
    losses = sum(_at_end(numbers, f"{verdict}_share") for verdict in ("suppressed", "erased"))
    strict = numbers[numbers.metric == "strict_accuracy"]
    before = float(strict[strict.step == 0]["value"].iloc[0])
    return abs(gains - losses - (_at_end(numbers, "strict_accuracy") - before)) < 1e-9
