"""How an analysis is run: one command line, one way through a study, one kind of page under `reports/`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from analyses.outcomes import Finding, outcome_table
from sft_probe import RunStore, StudySpec, build_report, parse_study, run_study

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.execute.executors import Executor

HERE = Path(__file__).parent
PAGE_LIMIT = 1_500_000  # bytes of a report that is committed
PACKAGES = ("sft-probe", "python", "torch", "transformers", "trl", "peft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A folder of `analyses/`. name: of that folder.  title: of its page under `reports/`."""

    name: str
    title: str

    @property
    def folder(self) -> Path:
        """Where README.md, study.yaml and full.yaml stand."""
        return HERE / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line says.

    seeds: how many, those of the study if not given.  full: the size for a GPU.  report: whether the runs
    get their own.  settings: keys of the study by dotted name, values as YAML.  executor: where runs are
    made.  command: as it was typed.  rest: what only this question asks for.
    """

    output_dir: Path
    reports: Path
    seeds: int | None = None
    full: bool = False
    report: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    executor: Executor | None = None
    command: str = ""
    rest: Sequence[Path] = ()


def answer(
    question: Question,
    judged: Callable[[pd.DataFrame], Sequence[Finding]],
    figures: Mapping[str, Callable[[pd.DataFrame, str], str]],
    *,
    more: Callable[[pd.DataFrame], str] | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Run or resume the one study of a question, judge its numbers, write its page.

    judged: findings from the measurements.  figures: SVG by name, from the measurements and the seeds in
    words.  more: Markdown that follows the outcomes. Returns exit code 0 when the run came to its end,
    whatever the outcome.
    """
    given = command_line(question, argv)
    spec = study_of(question, given)
    carry_out(spec, given)
    rows, seeds = RunStore(spec.output_dir).measurements(), seeds_run(spec.output_dir)
    drawn = {name: draw(rows, seeds) for name, draw in figures.items()}
    told = more(rows) if more else ""
    publish(question, given, judged(rows), {"report": spec.output_dir}, figures=drawn, more=told)
    return 0


def command_line(question: Question, argv: Sequence[str] | None = None, *, folders: str = "") -> Given:
    """Read the arguments every question takes. folders: what folders as arguments mean, if it takes any."""
    from sft_probe.cli.options import executor_of, parse_settings

    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog=f"python -m analyses.{question.name}", description=question.title)
    if folders:
        parser.add_argument("rest", nargs="*", type=Path, metavar="DIR", help=folders)
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("runs") / question.name)
    parser.add_argument("--reports", type=Path, default=Path("reports") / question.name)
    parser.add_argument("--seeds", type=int, help="how many; three if not given")
    parser.add_argument("--full", action="store_true", help="the size for a GPU: full.yaml over study.yaml")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="change a key of the study")
    parser.add_argument("--no-report", action="store_true", help="without the reports of the runs")
    parser.add_argument("--executor", metavar="NAME", help="where runs are made, e.g. local; else here")
    parser.add_argument("--with", action="append", metavar="KEY=VALUE", help="option of the executor")
    given = vars(parser.parse_args(argv))
    return Given(
        output_dir=given["output_dir"],
        reports=given["reports"],
        seeds=given["seeds"],
        full=given["full"],
        report=not given["no_report"],
        settings=parse_settings(given["set"]),
        executor=executor_of(given["executor"], given["with"]),
        command=" ".join((parser.prog, *argv)),
        rest=tuple(given.get("rest", ())),
    )


def study_of(
    question: Question, given: Given, *, file: str = "study.yaml", part: str = "", **words: str
) -> StudySpec:
    """A study of a question at the asked size.

    part: folder below the output folder, where a question has several studies.  words: stand in the file as
    {word}. What the command line says wins over full.yaml, and that over the study.
    """
    path = question.folder / file
    text = path.read_text("utf-8")
    for word, value in {"work": str(given.output_dir / part), **words}.items():
        text = text.replace(f"{{{word}}}", value)
    changes = dict(given.settings)
    if given.seeds is not None:
        changes = {"seeds": str(list(range(given.seeds)))} | changes
    if given.full:
        full = yaml.safe_load((question.folder / "full.yaml").read_text("utf-8"))
        changes = {key: yaml.safe_dump(value) for key, value in full.items()} | changes
    return parse_study(text, file=str(path), overrides=changes)


def carry_out(spec: StudySpec, given: Given) -> None:
    """Run or resume a study and build its report, under a progress bar."""
    from sft_probe.cli.progress import Bar

    with Bar() as bar:
        run_study(spec, progress=bar, executor=given.executor)
        if given.report:
            build_report(spec.output_dir)


def publish(
    question: Question,
    given: Given,
    findings: Sequence[Finding],
    studies: Mapping[str, Path],
    *,
    figures: Mapping[str, str] | None = None,
    more: str = "",
) -> Path:
    """Write the page of a question. Returns its path.

    studies: folders whose reports go beside the page, by the name of their files.  figures: SVG by name.
    more: Markdown that follows the outcomes.
    """
    given.reports.mkdir(parents=True, exist_ok=True)
    for name, svg in (figures or {}).items():
        (given.reports / f"{name}.svg").write_text(svg, "utf-8")
    lines = [
        f"# {question.title}",
        "",
        f"Question, published finding, predictions and pass rules: [`analyses/{question.name}`]"
        f"(../../analyses/{question.name}/README.md), written before the run.",
        "",
        outcome_table(findings),
        *(f"![{name.replace('_', ' ')}]({name}.svg)\n" for name in figures or {}),
        *([more] if more else []),
        f"Command: `{given.command}`. {_size(given)} {_versions(studies)}",
        "",
        *_copied(given.reports, studies),
    ]
    page = given.reports / "README.md"
    page.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    print(page)
    return page


def seeds_run(output_dir: Path) -> str:
    """How many seeds the finished runs of a study have, in words."""
    seeds = {run.seed for run in RunStore(output_dir).runs() if run.arm not in ("base", "between")}
    return f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}"


def _size(given: Given) -> str:
    return "Full size." if given.full else "Default size."


def _versions(studies: Mapping[str, Path]) -> str:
    """Seeds of every study, and the versions and the device of the last one."""
    if not studies:
        return ""
    seeds = "; ".join(f"{name}: {seeds_run(folder)}" for name, folder in studies.items())
    *_, last = studies.values()
    known = json.loads((last / "environment.json").read_text("utf-8"))
    versions = ", ".join(f"{name} {known['versions'][name]}" for name in PACKAGES)
    return f"{seeds}. {versions}; device: {known['device']}."


def _copied(reports: Path, studies: Mapping[str, Path]) -> list[str]:
    """Copy the reports that are small enough, each to a folder of its own; links to them as Markdown."""
    links = []
    for name, folder in studies.items():
        figures = folder / "figures"
        parts = {"report.html": [folder / "report.html"], "report.md": [folder / "report.md", figures]}
        for page, files in parts.items():
            if 0 < sum(map(_bytes, files)) <= PAGE_LIMIT:
                (reports / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / page, reports / name / page)
                links.append(f"[{name}/{page}]({name}/{page})")
        if (reports / name / "report.md").is_file():
            shutil.rmtree(reports / name / "figures", ignore_errors=True)
            shutil.copytree(figures, reports / name / "figures")
    return [f"Reports of the runs: {', '.join(links)}."] if links else []


def _bytes(path: Path) -> int:
    """Of a file, or of all files in a folder; 0 if there is none."""
    return sum(file.stat().st_size for file in (path, *path.glob("*")) if file.is_file())
