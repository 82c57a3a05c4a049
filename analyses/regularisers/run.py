"""Run the study, place every arm against the frontier of learning rates, judge the predictions."""

from __future__ import annotations

import argparse
from pathlib import Path

from analyses.regularisers.rules import outcome, placed
from sft_probe import RunStore, parse_study, run_study

HERE = Path(__file__).parent
COMMAND = "python -m analyses.regularisers -o runs/regularisers"


def main() -> int:
    """Exit code 0 when the run came to its end, whatever the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("runs/regularisers"))
    parser.add_argument("--reports", type=Path, default=Path("reports/regularisers"))
    given = parser.parse_args()
    run_study(
        parse_study(
            (HERE / "study.yaml").read_text("utf-8"),
            file=str(HERE / "study.yaml"),
            overrides={"output_dir": str(given.output_dir)},
        )
    )
    table = placed(RunStore(given.output_dir))
    given.reports.mkdir(parents=True, exist_ok=True)
    page = (
        "# What each regulariser does to the frontier of learning and forgetting\n\n"
        "Question, frontier, predictions and pass rules: "
        "[`analyses/regularisers`](../../analyses/regularisers/README.md), "
        f"written before the run. Command: `{COMMAND}`.\n\n{outcome(table)}"
    )
    (given.reports / "README.md").write_text(page, "utf-8")
    print(page)
    return 0
