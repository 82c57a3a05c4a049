"""Run benchmarks, keep their results, render the page."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from analyses.performance.bench import Settings, to_json
from analyses.performance.machine import describe
from analyses.performance.report import write_report

BENCHMARKS = (
    "multiple_choice",
    "rolling",
    "generation",
    "sharing",
    "fused_battery",
    "cka",
    "weight_change",
    "training_overhead",
    "growth",
    "report_size",
)


def main() -> int:
    """Each benchmark runs in a process of its own, so that none inherits the memory or caches of another."""
    given = _arguments()
    names = given.names or list(BENCHMARKS)
    if len(names) == 1 and not given.page_only:
        _run(names[0], given)
    failed = [] if given.page_only or len(names) == 1 else [name for name in names if not _spawn(name, given)]
    print(write_report(given.output_dir, BENCHMARKS))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="name", help="default: all")
    parser.add_argument("--real", type=Path, help="folder with models/ and data/ of real material")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("reports/performance"))
    parser.add_argument("--repetitions", type=int, default=7, help="of each side of a race")
    parser.add_argument("--page-only", action="store_true", help="only render the page from results")
    return parser.parse_args()


def _run(name: str, given: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(1)
    machine = describe()
    with tempfile.TemporaryDirectory() as work:
        settings = Settings(
            output_dir=given.output_dir, work=Path(work), real=given.real, repetitions=given.repetitions
        )
        result = import_module(f"analyses.performance.{name}").run(settings)
    file = given.output_dir / "results" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_json(result, machine), "utf-8")


def _spawn(name: str, given: argparse.Namespace) -> bool:
    options = ["-o", str(given.output_dir), "--repetitions", str(given.repetitions)]
    options += ["--real", str(given.real)] if given.real else []
    print(f"{name} …", flush=True)
    call = [sys.executable, "-m", "analyses.performance", name, *options]
    return subprocess.run(call, check=False).returncode == 0
