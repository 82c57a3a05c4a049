"""A study of any size, written straight into a store, for measuring what its report costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sft_probe.data.examples import Example, Message
from sft_probe.schema import Measurement, Measurements
from sft_probe.store import documents
from sft_probe.store.columns import ITEMS
from sft_probe.store.runs import BASE, RunStore, RunWriter

LAYERS, MODULES, STRATA = 24, ("attention", "mlp", "norm"), ("stored", "weak", "unseen")
BENCHMARKS = ("facts", "grammar", "context", "registers")
RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
WORDS = "amber bay cedar dune elm fern grove heath isle juniper kelp larch moss nettle oak pine".split()


@dataclass(frozen=True, kw_only=True)
class Size:
    """runs: arms times seeds, three seeds each.  items: half of the task, half of the benchmarks."""

    runs: int = 30
    steps: int = 12
    items: int = 5000
    seeds: int = 3

    @property
    def looks(self) -> tuple[int, ...]:
        """Step 0 and log-spaced steps after it."""
        return (0, *(2**power for power in range(self.steps - 1)))


def write_store(folder: Path, size: Size) -> Path:
    """Write a whole study into an empty folder: every item is asked at every look of every run."""
    rates = RATES[: -(-size.runs // size.seeds)]
    names = [f"arm{place}" for place in range(len(rates))]
    documents.write_study(folder, json.dumps({"name": "size", "arms": {name: {} for name in names}}))
    documents.write_environment(folder, {"versions": {}, "command": "python -m analyses.performance"})
    documents.write_audit(folder, [])
    probes = ("task_alignment", "forgetting", "representation_drift", "weight_change", "token_shift")
    documents.write_probes(folder, {probe: _about(probe) for probe in probes})
    documents.write_rows(folder, [_row(i) for i in range(size.items)])
    store = RunStore(folder)
    _write(store, size, BASE, 0, 0.0)
    for seed in range(size.seeds):
        for name, rate in zip(names, rates, strict=True):
            _write(store, size, name, seed, rate)
    return folder


def _row(i: int) -> Example:
    return Example(id=f"t{i}", messages=(Message("user", _question(i)),), target=WORDS[i % len(WORDS)])


def _question(i: int) -> str:
    return f"Where does the {WORDS[i % 16]} {WORDS[i // 16 % 16]} keeper of house {i} live now?"


def _about(probe: str) -> dict[str, object]:
    keys = ("question", "source", "null", "blind_spots", "cost")
    axes = {"forgetting": "cost", "representation_drift": "where", "weight_change": "where"}
    return {**dict.fromkeys(keys, probe), "axis": axes.get(probe, "what"), "version": 1}


def _write(store: RunStore, size: Size, arm: str, seed: int, rate: float) -> None:
    config = {"arm": arm, "seed": seed, "digest": f"{arm}{seed}", "label": f"{arm}, {rate:g}"}
    config |= {"method": "full", "method_options": {}, "regulariser": {}}
    config |= {"training": {"learning_rate": rate}}
    run_id = BASE if arm == BASE else f"{arm}-seed{seed}"
    rng = np.random.default_rng([seed, *arm.encode()])
    with store.open_run(run_id, config=config, environment={}) as run:
        for step in (0,) if arm == BASE else size.looks:
            done = step / size.looks[-1] * min(1.0, 0.4 + 100 * rate)
            _look(run, size, step, done, rng)
            run.log(step, {"loss": 3.0 - done})
        run.finish()


def _look(run: RunWriter, size: Size, step: int, done: float, rng: np.random.Generator) -> None:
    half = size.items // 2
    task = (np.arange(half) % 10 < 9 * done) & (rng.random(half) < 0.95)
    kept = (np.arange(half) % 10 < 8) & ~((rng.random(half) < 0.3 * done) & (step > 0))
    run.append(step, "task_alignment", Measurements(tuple(_task_rows(task))))
    run.append(step, "forgetting", Measurements(tuple(_benchmark_rows(kept))))
    run.append(step, "representation_drift", Measurements(tuple(_layer_rows(done))))
    run.append(step, "weight_change", Measurements(tuple(_weight_rows(done))))
    run.append(step, "token_shift", Measurements(tuple(_shift_rows(done))))
    names = ["test"] * half, [BENCHMARKS[i % len(BENCHMARKS)] for i in range(half)]
    for metric, right in (("exact_match", task), ("contains_match", task | (np.arange(half) % 10 < 2))):
        _items(run, step, "task_alignment", metric, names[0], right)
    _items(run, step, "forgetting", "correct", names[1], kept)


def _items(
    run: RunWriter, step: int, probe: str, metric: str, datasets: list[str], right: np.ndarray
) -> None:
    """Add to the part that `append` wrote for a probe and step, which is quicker than rows one by one."""
    n = len(right)
    told = [
        WORDS[i % 16] if good else f"I think that it is {WORDS[(i + step) % 16]}"
        for i, good in enumerate(right)
    ]
    config = run._config
    values = {
        "run": [run.folder.name] * n,
        "arm": [config["arm"]] * n,
        "seed": [config["seed"]] * n,
        "step": [step] * n,
        "probe": [probe] * n,
        "metric": [metric] * n,
        "item": [f"q{i}" for i in range(n)],
        "value": right.astype(float),
        "dataset": datasets,
        "stratum": [STRATA[i % 3] for i in range(n)],
        "cluster": [f"c{i // 4}" for i in range(n)],
        "prediction": told,
        "target": [WORDS[i % 16] for i in range(n)],
        "prompt": [_question(i) for i in range(n)],
        "by_token": [""] * n,
    }
    path = run._part("items", step, probe)
    table = pa.table([pa.array(values[field.name], field.type) for field in ITEMS], schema=ITEMS)
    pq.write_table(pa.concat_tables([pq.read_table(path, schema=ITEMS), table]), path)


def _share(metric: str, right: np.ndarray, **more: object) -> Measurement:
    p = float(right.mean())
    low, high = max(0.0, p - 0.02), min(1.0, p + 0.02)
    return Measurement(
        metric=metric,
        value=p,
        unit="1",
        se=0.01,
        ci_low=low,
        ci_high=high,
        n=len(right),
        better="higher",
        n_clusters=len(right) // 4,
        **more,
    )  # type: ignore[arg-type]


def _number(metric: str, value: float, **more: object) -> Measurement:
    return Measurement(
        metric=metric,
        value=value,
        unit="1",
        se=0.01,
        ci_low=value - 0.02,
        ci_high=value + 0.02,
        n=100,
        n_clusters=50,
        null_value=0.0,
        **more,
    )  # type: ignore[arg-type]


def _task_rows(right: np.ndarray) -> Iterator[Measurement]:
    yield _share("exact_match", right, dataset="test")
    yield _share("contains_match", right | (np.arange(len(right)) % 10 < 2), dataset="test")
    for place, stratum in enumerate(STRATA):
        yield _share("exact_match", right[place::3], dataset="test", stratum=stratum)


def _benchmark_rows(kept: np.ndarray) -> Iterator[Measurement]:
    for place, name in enumerate(BENCHMARKS):
        yield _share("accuracy", kept[place :: len(BENCHMARKS)], dataset=name)


def _layer_rows(done: float) -> Iterator[Measurement]:
    for layer in range(LAYERS + 1):
        yield _number("relative_drift", done * layer / LAYERS, layer=layer)
        yield _number("cka", 1 - done * layer / LAYERS / 2, layer=layer)


def _weight_rows(done: float) -> Iterator[Measurement]:
    for layer in range(1, LAYERS + 1):
        for module in MODULES:
            yield _number("relative_norm", done * layer / LAYERS, layer=layer, module=module)


def _shift_rows(done: float) -> Iterator[Measurement]:
    for metric in ("unshifted", "shifted", "kl_tuned_base"):
        yield _number(metric, done, dataset="test", module="tuned")
    for position in range(16):
        yield _number("kl_at_position", done / (1 + position), dataset="test", module=f"tuned {position}")
