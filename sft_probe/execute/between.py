"""What can be said only of several models at once: how alike their changes are, and what lies between seeds.

It needs weights, so it looks at the runs of a study that kept theirs (`save_model: true`), read from disk
tensor by tensor. Its rows are a run of their own, named `between`; `stratum` names the two runs compared.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sft_probe.errors import ModelError
from sft_probe.measures.spectra import Floats, energy_rank, inner_products, singular_values
from sft_probe.measures.task_vectors import cosines, products
from sft_probe.models.load import LoadedModel, load_tuned, pristine
from sft_probe.observe.observations import WeightDelta
from sft_probe.observe.observer import Observer
from sft_probe.observe.weight_files import weights_on_disk
from sft_probe.observe.weights import weights_seen
from sft_probe.probes.battery import Battery
from sft_probe.probes.mode_connectivity import ModeConnectivity
from sft_probe.schema import Measurement, Measurements
from sft_probe.store.runs import BASE, BETWEEN, RunStore

if TYPE_CHECKING:
    from sft_probe.execute.prepare import Prepared
    from sft_probe.store.manifest import RunManifest

ALL = "all"
DRAWS = 4  # permutations of the null
AT = 1  # the "step" of all rows; 0 is a base

Place = tuple[int, str]


def compare_runs(prepared: Prepared, store: RunStore) -> bool:
    """Compare the finished runs that kept their weights. Returns whether there were two or more.

    A comparison of the same runs that was made before is left as it is.
    """
    runs = [run for run in store.runs() if run.arm not in (BASE, BETWEEN) and _model(store, run).is_dir()]
    if len(runs) < 2:
        return False
    digest = sha256("\n".join(f"{run.run} {run.digest}" for run in runs).encode()).hexdigest()
    if store.finished(BETWEEN, digest):
        return True
    config = {"arm": BETWEEN, "seed": 0, "digest": digest, "runs": [run.run for run in runs]}
    with store.open_run(BETWEEN, config=config, environment=prepared.environment) as writer:
        with writer.timing("task_vectors"):
            writer.append(AT, "task_vectors", _task_vectors(prepared.base, store, runs))
        with writer.timing("mode_connectivity"):
            writer.append(AT, "mode_connectivity", _seeds_connected(prepared, store, runs))
        writer.finish()
    return True


@dataclass(frozen=True)
class _Sums:
    """Sums over the tensors of one layer and kind."""

    products: Floats  # (R, R)
    permuted: Floats  # (DRAWS, R, R)
    base: float
    noise: dict[tuple[int, int], list[float]]  # r90 of the difference of two seeds, by tensor


def _task_vectors(base: LoadedModel, store: RunStore, runs: Sequence[RunManifest]) -> Measurements:
    """Cosines of all pairs, and for pairs of seeds of one arm what the seed alone changes."""
    seeds = [(a, b) for a, b in _pairs(runs) if runs[a].arm == runs[b].arm]
    count = len(runs)
    sums: defaultdict[Place, _Sums] = defaultdict(
        lambda: _Sums(np.zeros((count, count)), np.zeros((DRAWS, count, count)), 0.0, defaultdict(list))
    )
    rng = np.random.default_rng(0)
    lost: defaultdict[int, list[float]] = defaultdict(list)
    for deltas in zip(*(_deltas(base, _model(store, run)) for run in runs), strict=True):
        one = _of_tensor(deltas, seeds, rng)
        for place in {(deltas[0].layer, deltas[0].module), (deltas[0].layer, ALL), (-1, ALL)}:
            sums[place] = _added(sums[place], one)
        for index, delta in enumerate(deltas):
            if delta.factors and delta.delta.any():
                lost[index].append(_merge_error(delta, base.model.dtype))
    rows = [row for place in sorted(sums) for row in _cosine_rows(place, sums[place], runs)]
    rows += [row for place in sorted(sums) for row in _noise_rows(place, sums[place], runs, seeds)]
    rows += [
        Measurement(metric="merge_error", value=max(found), unit="1", stratum=runs[i].run, n=len(found))
        for i, found in sorted(lost.items())
    ]
    return Measurements(tuple(rows))


def _deltas(base: LoadedModel, folder: Path) -> Iterator[WeightDelta]:
    """From disk where that is possible, else from the loaded model."""
    try:
        seen = weights_on_disk(base.path, folder)
    except ModelError:
        seen = weights_seen(load_tuned(folder, base), base.model)
    return seen.iterate()


def _of_tensor(
    deltas: Sequence[WeightDelta], seeds: Sequence[tuple[int, int]], rng: np.random.Generator
) -> _Sums:
    vectors = [delta.delta for delta in deltas]
    orders = [rng.permutation(len(vectors[0])) for _ in range(DRAWS)]
    noise: dict[tuple[int, int], list[float]] = {}
    for a, b in seeds:
        difference = vectors[a] - vectors[b]
        known = difference.ndim == 2 and np.isfinite(difference).all() and difference.any()
        noise[a, b] = [energy_rank(singular_values(difference))] if known else []
    return _Sums(
        products(vectors),
        np.stack([products(vectors, order) for order in orders]),
        inner_products(deltas[0].base, deltas[0].base)[0],
        noise,
    )


def _added(one: _Sums, other: _Sums) -> _Sums:
    noise = {pair: [*one.noise.get(pair, ()), *found] for pair, found in other.noise.items()}
    return _Sums(one.products + other.products, one.permuted + other.permuted, one.base + other.base, noise)


def _cosine_rows(place: Place, sums: _Sums, runs: Sequence[RunManifest]) -> Iterator[Measurement]:
    lengths = np.diagonal(sums.products)
    found = cosines(sums.products, lengths)
    null = np.sqrt(np.mean([cosines(p, lengths) ** 2 for p in sums.permuted], axis=0))
    for a, b in _pairs(runs):
        for metric, value in (("task_vector_cosine", found[a, b]), ("task_vector_cosine_null", null[a, b])):
            yield _row(metric, value, place, f"{runs[a].run} | {runs[b].run}", null=0.0)


def _noise_rows(
    place: Place, sums: _Sums, runs: Sequence[RunManifest], seeds: Sequence[tuple[int, int]]
) -> Iterator[Measurement]:
    for a, b in seeds:
        pair = f"{runs[a].run} | {runs[b].run}"
        apart = sums.products[a, a] + sums.products[b, b] - 2 * sums.products[a, b]
        norm = sqrt(max(0.0, apart) / 2 / sums.base) if sums.base > 0 else np.nan
        yield _row("seed_noise_norm", norm, place, pair)
        found = sums.noise.get((a, b), [])
        yield _row("seed_noise_r90", float(np.mean(found)) if found else np.nan, place, pair)


def _row(metric: str, value: float, place: Place, pair: str, null: float = np.nan) -> Measurement:
    return Measurement(
        metric=metric,
        value=float(value),
        unit="1",
        layer=place[0],
        module=place[1],
        stratum=pair,
        null_value=null,
        why="a change is zero here, or no matrix changed" if np.isnan(value) else "",
    )


def _merge_error(delta: WeightDelta, dtype: torch.dtype) -> float:
    """What an adapter loses when it is merged in the model's own precision, relative to its own size."""
    merged = torch.from_numpy(delta.base.astype(np.float64) + delta.delta)
    error = (merged.to(dtype).double() - merged).numpy()
    return float(np.linalg.norm(error) / np.linalg.norm(delta.delta))


def _seeds_connected(prepared: Prepared, store: RunStore, runs: Sequence[RunManifest]) -> Measurements:
    """The line between the first seed of each arm and each of its others, on the task."""
    rows: list[Measurement] = []
    for first in {run.arm: run for run in reversed(runs)}.values():
        others = [run for run in runs if run.arm == first.arm and run.run != first.run]
        if not others:
            continue
        start = pristine(
            _whole(prepared.base, _model(store, first)),
            prepared.base.tokenizer,
            path=str(_model(store, first)),
            device=prepared.base.device,
        )
        battery = Battery((ModeConnectivity(),), Observer(start, prepared.data))
        for other in others:
            found = battery.measure(_whole(prepared.base, _model(store, other)))["mode_connectivity"]
            rows += [replace(row, stratum=f"{first.run} | {other.run}") for row in found.rows]
    return Measurements(tuple(rows))


def _whole(base: LoadedModel, folder: Path) -> Any:
    """A kept model with its adapters merged into weights of its own."""
    model: Any = load_tuned(folder, base)
    return copy.deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model


def _pairs(runs: Sequence[RunManifest]) -> list[tuple[int, int]]:
    return list(combinations(range(len(runs)), 2))


def _model(store: RunStore, run: RunManifest) -> Path:
    return store.folder / run.run / "model"
