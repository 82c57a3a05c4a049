"""The studies below a folder: what each is, how far it is, and the first thing it found."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from sft_probe.errors import StoreError
from sft_probe.store.documents import read_study
from sft_probe.store.lock import holder
from sft_probe.store.runs import BASE, BETWEEN, RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

State = Literal["running", "failed", "stopped", "finished", "unreadable"]
DEPTH = 4  # folders below which no study is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelved:
    """One study. path: below the folder that is looked at, with slashes; "" is that folder itself.

    runs: finished ones, without the base.  expected: as many as the study asks for; 0 if that is not known.
    verdict: the first sentence of its report.  when: the last change, ISO 8601 in UTC, to the minute.
    why: the reason if it cannot be read.
    """

    folder: Path
    path: str
    name: str
    state: State
    arms: tuple[str, ...] = ()
    seeds: int = 0
    runs: int = 0
    expected: int = 0
    failed: int = 0
    verdict: str = ""
    when: str = ""
    report: bool = False
    why: str = ""


def shelf(root: Path) -> tuple[Shelved, ...]:
    """All studies at and below a folder: those that run, then the last changed. Reads small files only."""
    root = root.resolve()
    found = [shelved(folder, root) for folder in _studies(root)]
    return tuple(sorted(found, key=lambda study: (study.state == "running", study.when), reverse=True))


def shelved(folder: Path, root: Path) -> Shelved:
    """One study as it stands now."""
    path = "" if folder == root else folder.relative_to(root).as_posix()
    when, report = _changed(folder), (folder / "report.html").is_file()
    try:
        study = yaml.safe_load(read_study(folder)) or {}
        return _read(folder, path, when, study, report=report)
    except (StoreError, OSError, yaml.YAMLError) as error:
        return Shelved(
            folder=folder,
            path=path,
            name=folder.name,
            state="unreadable",
            when=when,
            report=report,
            why=str(error),
        )


def _read(folder: Path, path: str, when: str, study: Mapping[str, Any], *, report: bool) -> Shelved:
    store = RunStore(folder)
    runs = [run for run in store.runs() if run.arm not in (BASE, BETWEEN)]
    failed = len(store.failures())
    arms, seeds = study.get("arms") or {}, study.get("seeds") or ()
    labels = [str((arm or {}).get("label") or name) for name, arm in arms.items()]
    expected = len(arms) * len(seeds)
    state: State = "finished"
    if holder(folder):
        state = "running"
    elif failed:
        state = "failed"
    elif store.unfinished() or len(runs) < expected or not runs:
        state = "stopped"
    return Shelved(
        folder=folder,
        path=path,
        name=str(study.get("name") or folder.name),
        state=state,
        arms=tuple(labels) or tuple(dict.fromkeys(run.label or run.arm for run in runs)),
        seeds=len(seeds) or len({run.seed for run in runs}),
        runs=len(runs),
        expected=expected,
        failed=failed,
        verdict=_verdict(folder),
        when=when,
        report=report,
    )


def _studies(root: Path) -> Iterator[Path]:
    """Folders with runs; what lies inside a study is not looked through."""
    for name, folders, _ in os.walk(root):
        here = Path(name)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if any(here.glob("runs/*/config.yaml")):
            folders.clear()
            yield here
        elif len(here.relative_to(root).parts) >= DEPTH:
            folders.clear()


def _verdict(folder: Path) -> str:
    try:
        said = json.loads((folder / "report.json").read_text(encoding="utf-8"))["verdict"]
        return str(said[0]) if said else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _changed(folder: Path) -> str:
    """When a run of the study last changed."""
    times = [path.stat().st_mtime for path in (folder / "runs").glob("*")]
    return datetime.fromtimestamp(max(times, default=0.0), UTC).isoformat(sep=" ", timespec="minutes")[:16]
