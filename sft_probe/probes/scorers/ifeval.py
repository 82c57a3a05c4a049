"""IFEval and its like, as lm-eval's own tasks score them: by prompt or instruction, strictly or loosely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen
from sft_probe.probes.rows import Metric
from sft_probe.schema import Measurement
from sft_probe.stats.contrasts import change_interval
from sft_probe.stats.intervals import cluster_codes

IFEVAL = Metric(name="ifeval_accuracy", unit="1", better="higher", share=True)
IFEVAL_CHANGE = Metric(name="ifeval_accuracy_change", unit="1", better="higher", null=0.0)
METRICS = (IFEVAL, IFEVAL_CHANGE)
READINGS = {
    "prompt_level_strict_acc": "prompts, strict",
    "inst_level_strict_acc": "instructions, strict",
    "prompt_level_loose_acc": "prompts, loose",
    "inst_level_loose_acc": "instructions, loose",
}


def benchmark_rows(seen: BenchmarkSeen, base: BenchmarkSeen) -> Iterator[Measurement]:
    """Rows per task and reading, clustered by prompt; the readings are strata.

    A task that reports none of IFEval's readings gives no row.
    """
    before = {(item.task, item.metric, item.item): item.value for item in base.items}
    for task in dict.fromkeys(item.task for item in seen.items):
        for metric, reading in READINGS.items():
            found = [item for item in seen.items if (item.task, item.metric) == (task, metric)]
            if found:
                yield from _rows(found, [before[task, metric, item.item] for item in found], reading)


def _rows(found: list[BenchmarkItem], earlier: list[float], reading: str) -> Iterator[Measurement]:
    values, before = np.array([item.value for item in found]), np.array(earlier)
    clusters = cluster_codes([item.cluster for item in found])
    task = found[0].task
    level = IFEVAL.row(IFEVAL.interval(values, clusters), dataset=task, stratum=reading)
    yield replace(level, null_value=float(before.mean()))
    yield IFEVAL_CHANGE.row(change_interval(values, before, clusters), dataset=task, stratum=reading)
