"""Pages that `view` makes anew at every call: the index of studies, and a study while it runs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

import pandas as pd
import yaml

from sft_probe.report.cells import Table
from sft_probe.report.charts import Chart, Drawing, draw
from sft_probe.report.figures_when import TIMELINE
from sft_probe.report.material import Arm
from sft_probe.report.page import fill_in
from sft_probe.report.panels import over_steps
from sft_probe.report.shelf import Shelved, shelf, shelved
from sft_probe.report.summaries import over_seeds
from sft_probe.report.words import Words
from sft_probe.store.documents import read_study
from sft_probe.store.runs import BASE, BETWEEN, RunStore

REFRESH = 5  # seconds between two looks of the page
DRAWING = Lock()  # the settings of matplotlib are one for all threads


class RunLine(NamedTuple):
    """One run on the page. step: the last one looked at."""

    run: str
    state: Literal["finished", "failed", "running", "stopped"]
    step: int
    why: str = ""


def index_page(root: Path, *, lang: str = "en") -> str:
    """All studies below a folder."""
    studies = shelf(root)
    live = any(study.state == "running" for study in studies)
    return fill_in(
        "index.html.j2",
        Words(lang),
        {},
        script="live.js",
        connect=True,
        studies=studies,
        folder=root.resolve().name,
        refresh=REFRESH if live else 0,
    )


def study_page(folder: Path, root: Path, *, lang: str = "en") -> str:
    """One study as far as it is: its runs, and what was measured over the steps until now."""
    words, study = Words(lang), shelved(folder, root)
    with DRAWING:
        drawn = None if study.state == "unreadable" else _timeline(folder, _parts(folder), lang)
    return fill_in(
        "live.html.j2",
        words,
        {drawn.chart.name: drawn} if drawn else {},
        script="live.js",
        connect=True,
        study=study,
        runs=_runs(study),
        chart=drawn.chart if drawn else None,
        refresh=REFRESH if study.state == "running" else 0,
    )


def _runs(study: Shelved) -> list[RunLine]:
    if study.state == "unreadable":
        return []
    store = RunStore(study.folder)
    going: Literal["running", "stopped"] = "running" if study.state == "running" else "stopped"
    lines = [
        RunLine(run.run, "finished", max(run.steps, default=0)) for run in store.runs() if run.arm != BETWEEN
    ]
    lines += [RunLine(failure.run, "failed", 0, failure.reason) for failure in store.failures()]
    for run in store.unfinished():
        steps = [int(name.partition(".")[0]) for of, name in _parts(study.folder) if of == run]
        lines.append(RunLine(run, going, max(steps, default=0)))
    return lines


def _parts(folder: Path) -> tuple[tuple[str, str], ...]:
    """Run and name of every table that stands now; the same parts give the same figure."""
    parts = sorted((folder / "runs").glob("*/parts/measurements/*.parquet"))
    done = sorted((folder / "runs").glob("*/measurements.parquet"))
    return tuple((path.parts[-4], path.name) for path in parts) + tuple(
        (path.parent.name, f"{path.stat().st_mtime_ns}") for path in done
    )


@lru_cache(maxsize=16)
def _timeline(folder: Path, parts: tuple[tuple[str, str], ...], lang: str) -> Drawing | None:
    """What was looked at more than once, arm by arm; drawn anew only when there is more to draw."""
    store = RunStore(folder)
    rows = pd.concat([store.measurements(), *(store.so_far(run) for run in store.unfinished())])
    rows = rows[~rows["arm"].isin((BASE, BETWEEN)) & rows["layer"].eq(-1) & rows["value"].notna()]
    rows = rows[rows["module"].eq("") & rows["stratum"].eq("") & rows["metric"].isin(TIMELINE)]
    if rows.empty:
        return None
    rows = rows[rows["dataset"] == rows.groupby("metric")["dataset"].transform("first")]
    seen = rows.groupby("metric")["step"].nunique()
    words = Words(lang)
    arms = _arms(folder, rows)
    means = over_seeds(rows, rows.head(0))
    panels = tuple(
        over_steps(words.metric(m), arms, means[means["metric"] == m], rows[rows["metric"] == m], words)
        for m in TIMELINE
        if seen.get(m, 0) > 1
    )
    if not panels:
        return None
    said = Words(lang)
    chart = Chart(
        name="timeline",
        title=said("live.timeline"),
        subtitle=said("live.timeline.subtitle"),
        note=said("compare.timeline.note"),
        panels=panels,
        table=Table(name="timeline", caption=said("live.timeline"), columns=(), rows=()),
        legend=arms,
    )
    return draw(chart)


def _arms(folder: Path, rows: pd.DataFrame) -> tuple[Arm, ...]:
    """The arms that have rows, in the order and with the colours of the study."""
    asked = (yaml.safe_load(read_study(folder)) or {}).get("arms") or {}
    known = [*asked, *(arm for arm in dict.fromkeys(rows["arm"]) if arm not in asked)]
    present = set(rows["arm"])
    return tuple(
        Arm(
            name=name,
            label=str((asked.get(name) or {}).get("label") or name),
            position=place,
            seeds=(),
            learning_rate=None,
            family="",
        )
        for place, name in enumerate(known)
        if name in present
    )
