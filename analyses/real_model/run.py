"""Run the study, build its report, judge the predictions."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from analyses.real_model.material import write_material
from analyses.real_model.rules import judge
from sft_probe import InputError, RunStore, build_report, parse_study, run_study

HERE = Path(__file__).parent
COMMAND = "python -m analyses.real_model --real ../shared/real -o runs/real_model"


def main() -> int:
    """Exit code 3 if the real material is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder with models/ and data/")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("runs/real_model"))
    parser.add_argument("--reports", type=Path, default=Path("reports/real_model"))
    given = parser.parse_args()
    if not (given.real / "models").is_dir():
        print(InputError("there is no folder models/ with the real material.", file=given.real))
        return InputError.exit_code
    write_material(given.real, given.output_dir)
    text = (HERE / "study.yaml").read_text("utf-8")
    text = text.replace("{real}", str(given.real)).replace("{work}", str(given.output_dir))
    run_study(parse_study(text, file=str(HERE / "study.yaml")))
    paths = build_report(given.output_dir)
    keep(paths.html.parent, given.reports, judge(RunStore(given.output_dir)))
    print(given.reports / "README.md")
    return 0


def keep(output_dir: Path, reports: Path, outcome: str) -> None:
    """Copy the report's pages and figures beside the outcome of the predictions."""
    reports.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "report.md"):
        shutil.copy(output_dir / name, reports / name)
    shutil.rmtree(reports / "figures", ignore_errors=True)
    shutil.copytree(output_dir / "figures", reports / "figures")
    page = (
        "# A real model, real instructions, real benchmarks\n\n"
        "Question, material, predictions and pass rules: "
        "[`analyses/real_model`](../../analyses/real_model/README.md), "
        f"written before the run. Command: `{COMMAND}`. The whole report: [report.md](report.md), "
        "[report.html](report.html).\n\n"
        f"{outcome}"
    )
    (reports / "README.md").write_text(page, "utf-8")
