"""Run the study, build its report, judge the predictions."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from analyses.gain_waterfall.rules import FULL, classes, judge
from sft_probe import RunStore, StudySpec, build_report, parse_study, run_study

HERE = Path(__file__).parent


def main() -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("runs/gain_waterfall"))
    parser.add_argument("--reports", type=Path, default=Path("reports/gain_waterfall"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--full-only", action="store_true", help="without the arms of the waterfall")
    given = parser.parse_args()
    run_study(study(given.output_dir, given.seeds, full_only=given.full_only))
    page = build_report(given.output_dir).html.parent
    outcome = judge(RunStore(given.output_dir), classes(given.output_dir))
    keep(page, given.reports, outcome, full_only=given.full_only)
    print(outcome)
    return 0


def study(work: Path, seeds: int, *, full_only: bool) -> StudySpec:
    """The study of this folder with so many seeds."""
    text = (HERE / "study.yaml").read_text("utf-8").replace("{work}", str(work))
    spec = parse_study(text, file=str(HERE / "study.yaml"), overrides={"seeds": str(list(range(seeds)))})
    return spec.model_copy(update={"arms": {FULL: spec.arms[FULL]}}) if full_only else spec


def keep(page: Path, reports: Path, outcome: str, *, full_only: bool) -> None:
    """Write the outcome, and copy the report of the study that has all arms beside it."""
    reports.mkdir(parents=True, exist_ok=True)
    if not full_only:
        for name in ("report.html", "report.md"):
            shutil.copy(page / name, reports / name)
        shutil.rmtree(reports / "figures", ignore_errors=True)
        shutil.copytree(page / "figures", reports / "figures")
    name = "classes.md" if full_only else "README.md"
    (reports / name).write_text(
        "# What a gain is made of\n\nQuestion, material and pass rules: "
        f"[`analyses/gain_waterfall`](../../analyses/gain_waterfall/README.md).\n\n{outcome}",
        "utf-8",
    )
