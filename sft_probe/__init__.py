"""What a language model learns during supervised fine-tuning: what, when, where, at what cost, how sure.

Public names are imported on first use, so that `import sft_probe` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sft_probe.errors import GateNotMet, InputError, SftProbeError
    from sft_probe.execute.checking import Checked
    from sft_probe.execute.in_python import probe, run, validate
    from sft_probe.execute.local import run_study
    from sft_probe.execute.pairs import Pairs, probe_checkpoints
    from sft_probe.execute.watching import Watch, watch
    from sft_probe.probes.base import About, Observed, Probe
    from sft_probe.probes.battery import Battery
    from sft_probe.registry import register
    from sft_probe.report import build_report
    from sft_probe.report.opened import Figure, Runs, open_runs
    from sft_probe.schema import Item, Measurement, Measurements
    from sft_probe.store.query import query
    from sft_probe.store.runs import RunStore
    from sft_probe.study.spec import StudySpec
    from sft_probe.study.yaml import load_study, parse_study
    from sft_probe.train.host import ProbeHost

__version__ = "0.1.0"

_HOMES = {
    "About": "sft_probe.probes.base",
    "Battery": "sft_probe.probes.battery",
    "Checked": "sft_probe.execute.checking",
    "Figure": "sft_probe.report.opened",
    "GateNotMet": "sft_probe.errors",
    "InputError": "sft_probe.errors",
    "Item": "sft_probe.schema",
    "Measurement": "sft_probe.schema",
    "Measurements": "sft_probe.schema",
    "Observed": "sft_probe.probes.base",
    "Pairs": "sft_probe.execute.pairs",
    "Probe": "sft_probe.probes.base",
    "ProbeHost": "sft_probe.train.host",
    "RunStore": "sft_probe.store.runs",
    "Runs": "sft_probe.report.opened",
    "SftProbeError": "sft_probe.errors",
    "StudySpec": "sft_probe.study.spec",
    "Watch": "sft_probe.execute.watching",
    "build_report": "sft_probe.report",
    "load_study": "sft_probe.study.yaml",
    "open_runs": "sft_probe.report.opened",
    "parse_study": "sft_probe.study.yaml",
    "probe": "sft_probe.execute.in_python",
    "probe_checkpoints": "sft_probe.execute.pairs",
    "query": "sft_probe.store.query",
    "register": "sft_probe.registry",
    "run": "sft_probe.execute.in_python",
    "run_study": "sft_probe.execute.local",
    "validate": "sft_probe.execute.in_python",
    "watch": "sft_probe.execute.watching",
}

__all__ = [
    "About",
    "Battery",
    "Checked",
    "Figure",
    "GateNotMet",
    "InputError",
    "Item",
    "Measurement",
    "Measurements",
    "Observed",
    "Pairs",
    "Probe",
    "ProbeHost",
    "RunStore",
    "Runs",
    "SftProbeError",
    "StudySpec",
    "Watch",
    "build_report",
    "load_study",
    "open_runs",
    "parse_study",
    "probe",
    "probe_checkpoints",
    "query",
    "register",
    "run",
    "run_study",
    "validate",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sft_probe' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
