"""The forgetting ledger: where right and wrong documents of the base went, and when losses began."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from sft_probe.report import cells
from sft_probe.report.cells import Column, Table
from sft_probe.report.charts import COLOURS, FAINT, INK, QUIET, Chart, Missing, Panel
from sft_probe.report.ledger import GAINED, KEPT, LOST, NEVER, VERDICTS, ledgers, onsets
from sft_probe.report.numbers import Kind, Value, number, p_value, with_interval
from sft_probe.report.panels import over_steps
from sft_probe.report.reasons import seeds_phrase, subtitle
from sft_probe.report.summaries import records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from matplotlib.axes import Axes

    from sft_probe.report.findings import Findings
    from sft_probe.report.ledger import Ledger, Onset
    from sft_probe.report.material import Arm
    from sft_probe.report.words import Words

PANELS = 8
RISE, FALL = COLOURS[0], COLOURS[1]
FILLS = {KEPT: QUIET, GAINED: RISE, LOST: FALL, NEVER: FAINT}
SHADES = {"form": 0.3, "suppressed": 0.55, "erased": 1.0}
MARGINS = {"retained_accuracy": "retained", "retained_margin_change": "retained_margin"}


def ledger_charts(found: Findings, words: Words) -> list[Chart | Missing]:
    """Flows and curves, as far as their probes were asked for."""
    return [*_flows(found, words), *_curves(found, words)]


def _flows(found: Findings, words: Words) -> Iterator[Chart | Missing]:
    by_arm = ledgers(found)
    if not by_arm:
        return
    shown = [arm for arm in found.arms if arm.name in by_arm]
    documents = max(ledger.documents for ledger in by_arm.values())
    asked = any(ledger.shares.keys() & set(VERDICTS) for ledger in by_arm.values())
    yield Chart(
        name="ledger",
        title=_flows_title(found, by_arm, words),
        subtitle=words(
            "chart.ledger.subtitle", n=f"{documents:,}", seeds=seeds_phrase(found.material, words)
        ),
        note=words("chart.ledger.note" if asked else "chart.ledger.unasked"),
        panels=tuple(_flow_panel(arm, by_arm[arm.name], words) for arm in shown[:PANELS]),
        table=_flows_table(shown, by_arm, words, VERDICTS if asked else ()),
    )


def _flows_title(found: Findings, by_arm: Mapping[str, Ledger], words: Words) -> str:
    """The arm that lost most, and whether what it lost came back beyond chance."""
    worst = max((arm for arm in found.arms if arm.name in by_arm), key=lambda arm: by_arm[arm.name].lost)
    ledger = by_arm[worst.name]
    revived = ledger.revived
    if not (isfinite(revived.low) and (revived.low > 0 or revived.high < 0)):
        return words("chart.ledger.plain")
    return words(
        "chart.ledger.revived" if revived.low > 0 else "chart.ledger.unrevived",
        arm=worst.label,
        lost=number(ledger.lost, "share", 0),
        share=with_interval(revived, "points", words.interval_word()),
    )


def _flow_panel(arm: Arm, ledger: Ledger, words: Words) -> Panel:
    parts = {name: ledger.shares.get(name, 0.0) for name in (KEPT, GAINED, NEVER)} | {LOST: ledger.lost}
    again = {name: ledger.shares.get(name, 0.0) for name in VERDICTS}

    def draw(axes: Axes) -> None:
        left, middle = _stack(parts, (KEPT, LOST, GAINED, NEVER)), _stack(parts, (KEPT, GAINED, LOST, NEVER))
        for name, share in parts.items():
            _ribbon(axes, (0.06, 0.94), (left[name], middle[name]), share, FILLS[name], 0.45)
            for x, start in ((0.0, left[name]), (1.0, middle[name])):
                _block(axes, x, start, share, FILLS[name])
            x = {LOST: 0.2, GAINED: 0.8}.get(name, 0.5)  # where their ribbons do not cross
            if share > 0.03:
                y = left[name] + (middle[name] - left[name]) * (3 * x**2 - 2 * x**3) + share / 2
                axes.text(x, y, words(f"chart.ledger.{name}"), **_TEXT)
        if ledger.lost > 0 and any(again.values()):
            _second_chances(axes, middle[LOST], again, ledger, words)
        axes.set_xlim(-0.1, 2.75)
        axes.set_ylim(1.0, 0.0)
        places = ("base", "tuned", "again") if any(again.values()) else ("base", "tuned")
        axes.set_xticks(range(len(places)), [words(f"chart.ledger.at.{place}") for place in places])
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)

    said = "; ".join(
        f"{words(f'chart.ledger.{name}')} {number(share, 'share')}" for name, share in (parts | again).items()
    )
    return Panel(title=f"{arm.label}, %", draw=draw, alt=f"{arm.label}: {said}.", size=(4.4, 2.9))


_TEXT: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5, "color": INK}


def _stack(parts: Mapping[str, float], order: tuple[str, ...]) -> dict[str, float]:
    """Where each part begins, from above."""
    starts, at = {}, 0.0
    for name in order:
        starts[name] = at
        at += parts[name]
    return starts


def _ribbon(
    axes: Axes,
    across: tuple[float, float],
    starts: tuple[float, float],
    width: float,
    colour: str,
    alpha: float,
) -> None:
    x = np.linspace(0, 1, 24)
    bend = starts[0] + (starts[1] - starts[0]) * (3 * x**2 - 2 * x**3)
    place = across[0] + (across[1] - across[0]) * x
    axes.fill_between(place, bend, bend + width, color=colour, alpha=alpha, linewidth=0)


def _block(axes: Axes, x: float, start: float, height: float, colour: str, alpha: float = 1.0) -> None:
    axes.bar(x, height, bottom=start, width=0.12, color=colour, alpha=alpha, linewidth=0)


def _second_chances(
    axes: Axes, start: float, again: Mapping[str, float], ledger: Ledger, words: Words
) -> None:
    """The lost ones asked again, drawn to the panel's height; beside them what never-known ones do."""
    whole, at, chance = sum(again.values()), 0.02, 0.02
    room = 0.96
    below = start
    for name, share in again.items():
        height = room * share / whole
        x = np.linspace(0, 1, 24)
        bend = 3 * x**2 - 2 * x**3
        top, bottom = below + (at - below) * bend, below + share + (at + height - below - share) * bend
        axes.fill_between(1.06 + 0.88 * x, top, bottom, color=FALL, alpha=0.35 * SHADES[name], linewidth=0)
        _block(axes, 2.0, at, height, FALL, SHADES[name])
        by_chance = room * ledger.chance.get(name, 0.0)
        axes.bar(2.16, by_chance, bottom=chance, width=0.07, color=QUIET, alpha=SHADES[name], linewidth=0)
        if height > 0.04:
            label = f"{words(f'chart.ledger.{name}')} {number(share / whole, 'share', 0)}"
            axes.text(2.24, at + height / 2, label, ha="left", va="center", fontsize=7.5, color=INK)
        at, below, chance = at + height, below + share, chance + by_chance


def _flows_table(
    arms: list[Arm], by_arm: Mapping[str, Ledger], words: Words, verdicts: tuple[str, ...]
) -> Table:
    """verdicts: those that lost documents were given; none if they were not asked again."""
    revived = Column(key="revived_beyond_chance", title=words("col.revived"), interval=True)
    columns = (
        Column(key="arm", title=words("col.arm"), numeric=False),
        *(Column(key=name, title=words(f"chart.ledger.{name}")) for name in (*FILLS, *verdicts)),
        *(Column(key=f"{name}_chance", title=words(f"chart.ledger.chance.{name}")) for name in verdicts),
        *((revived,) if verdicts else ()),
        Column(key="seed_flips", title=words("col.seed_flips"), interval=True),
        Column(key="excess_churn", title=words("col.excess_churn"), interval=True),
        Column(key="n", title=words("col.items")),
    )
    to, one, none = words.interval_word(), words("why.one_seed"), words("why.not_asked")

    def row(arm: Arm) -> tuple[cells.Cell, ...]:
        ledger = by_arm[arm.name]
        shares = {**ledger.shares, LOST: ledger.lost}
        return (
            cells.text(arm.label),
            *(cells.amount(shares.get(name, 0.0), "share") for name in FILLS),
            *(cells.amount(_of_lost(ledger, name), "share", why=none) for name in verdicts),
            *(cells.amount(ledger.chance.get(name, nan), "share", why=none) for name in verdicts),
            *((cells.amount(ledger.revived, "points", to=to, why=none),) if verdicts else ()),
            cells.amount(ledger.seed_flips, "share", to=to, why=one),
            cells.amount(ledger.excess, "points", to=to, why=one),
            cells.count(ledger.documents),
        )

    return Table(
        name="ledger",
        caption=words("chart.ledger.plain"),
        columns=columns,
        rows=tuple(row(arm) for arm in arms),
    )


def _of_lost(ledger: Ledger, verdict: str) -> float:
    asked = sum(ledger.shares.get(name, 0.0) for name in VERDICTS)
    return ledger.shares.get(verdict, 0.0) / asked if asked else nan


def _curves(found: Findings, words: Words) -> Iterator[Chart | Missing]:
    known = {}
    for metric in MARGINS:
        rows = found.rows(metric, end=False, probe="forgetting_curve")
        rows = rows[rows["dataset"] == "all"]
        if rows["step"].nunique() > 2:
            known[metric] = rows
    if not known:
        return
    starts = {metric: onsets(found, MARGINS[metric]) for metric in known}
    seeds = {metric: found.seed_rows(metric, probe="forgetting_curve") for metric in known}
    first = next(iter(known.values()))
    yield Chart(
        name="forgetting_curve",
        title=_curves_title(found, starts, words),
        subtitle=subtitle(found, words, "forgetting_curve", first),
        note=words("chart.forgetting_curve.note"),
        panels=tuple(
            over_steps(
                words.metric(metric),
                found.arms,
                rows,
                seeds[metric][seeds[metric]["dataset"] == "all"],
                words,
            )
            for metric, rows in known.items()
        ),
        table=_onset_table(found, starts, words),
        legend=found.arms,
    )


def _curves_title(found: Findings, starts: Mapping[str, Mapping[str, Onset]], words: Words) -> str:
    """The earliest loss that is shown by answers, else by margins."""
    for metric, by_arm in starts.items():
        shown = {arm: onset.step for arm, onset in by_arm.items() if isfinite(onset.step)}
        if shown:
            arm = min(shown, key=lambda name: shown[name])
            key = "answers" if metric == "retained_accuracy" else "margins"
            return words(f"chart.forgetting_curve.{key}", arm=found.label(arm), step=f"{shown[arm]:g}")
    return words("chart.forgetting_curve.none")


def _onset_table(found: Findings, starts: Mapping[str, Mapping[str, Onset]], words: Words) -> Table:
    columns = (
        Column(key="measure", title=words("col.measure"), numeric=False),
        Column(key="arm", title=words("col.arm"), numeric=False),
        Column(key="first_loss", title=words("col.first_loss")),
        Column(key="p_last", title=words("col.p_last")),
        Column(key="end", title=words("col.after"), interval=True),
    )
    rows = []
    for metric, by_arm in starts.items():
        last = found.rows(metric, probe="forgetting_curve")
        ends = {row["arm"]: row for row in records(last[last["dataset"] == "all"])}
        kind: Kind = "share" if metric == "retained_accuracy" else "signed"
        for arm in found.arms:
            if arm.name in by_arm and arm.name in ends:
                end = ends[arm.name]
                rows.append(
                    (
                        cells.text(words.metric(metric)),
                        cells.text(arm.label),
                        cells.amount(by_arm[arm.name].step, why=words("why.no_loss_shown")),
                        cells.printed(p_value(by_arm[arm.name].p), by_arm[arm.name].p),
                        cells.amount(_row_value(end), kind, to=words.interval_word()),
                    )
                )
    return Table(
        name="forgetting_curve",
        caption=words("chart.forgetting_curve.plain"),
        columns=columns,
        rows=tuple(rows),
    )


def _row_value(row: Mapping[str, float]) -> Value:
    return Value(float(row["value"]), float(row["ci_low"]), float(row["ci_high"]))
