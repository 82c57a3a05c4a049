"""One check that every probe passes, built-in or foreign. Plug-in authors call it in their own tests."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sft_probe.data.examples import DataSets
from sft_probe.models.digest import weights_digest
from sft_probe.models.load import LoadedModel
from sft_probe.observe.lending import HOOKS
from sft_probe.observe.observer import Observer
from sft_probe.probes.base import Deriving, Probe
from sft_probe.schema import Item, Measurement, Measurements


def check_probe(
    probe: Probe,
    model: nn.Module,
    base: LoadedModel,
    data: DataSets,
    *,
    benchmark_paths: tuple[Path, ...] = (),
) -> Measurements:
    """Check a probe on a model and its base; returns what it measured, for further checks by the caller.

    data: the study's; what the probe derives from them is added, and must be the same each time.

    The probe is a frozen value that describes itself; the same input gives the same rows; weights, hooks,
    modes and random state are untouched; every row is valid; a model that is its base can be measured.
    Raises: AssertionError with the rule that is broken, NotApplicable if the data do not suit the probe.
    """
    check_declaration(probe)
    data = with_derived(probe, data)
    before = fingerprint(model), fingerprint(base.model), _random_state()
    needs = probe.needs()

    def look() -> Measurements:
        observer = Observer(base, data, benchmark_paths=benchmark_paths)
        return probe.measure(observer.look(model, needs), observer.look_at_base(needs))

    first, again = look(), look()
    assert repr(first) == repr(again), "the same input gave other rows"
    after = fingerprint(model), fingerprint(base.model), _random_state()
    for kind, was, now in zip(("model", "base", "random state"), before, after, strict=True):
        assert was == now, f"the {kind} was changed by looking at it"
    untrained = Observer(base, data, benchmark_paths=benchmark_paths).look_at_base(needs)
    for measured in (first, probe.measure(untrained, untrained)):
        check_rows(measured.rows)
        check_items(measured.items)
    return first


def with_derived(probe: Probe, data: DataSets) -> DataSets:
    """The data with what the probe derives from them. Raises: NotApplicable, AssertionError."""
    if not isinstance(probe, Deriving):
        return data
    first, again = dict(probe.derive(data)), dict(probe.derive(data))
    assert first == again, "the same data gave other derived rows"
    for name, derived in first.items():
        assert name.startswith(f"{probe.name}."), f"derived data are called {probe.name}.<something>: {name}"
        assert derived.name == name, f"{name} calls itself {derived.name}"
    return DataSets({**data, **first})


def check_declaration(probe: Probe) -> None:
    """A frozen dataclass with hashable needs, whose `about` is complete."""
    assert isinstance(probe, Probe), "it lacks name, about, needs or measure"
    assert dataclasses.is_dataclass(probe), "a probe is a dataclass"
    assert type(probe).__dataclass_params__.frozen, "a probe is frozen"
    assert probe.needs() == probe.needs(), "equal probes ask for equal needs"
    assert len({*probe.needs()}) == len(probe.needs()), "a need is named once"
    assert probe.about.question.endswith("?"), "about.question is a question"
    for field in ("source", "null", "blind_spots"):
        assert getattr(probe.about, field), f"about.{field} is empty"


def check_rows(rows: Sequence[Measurement]) -> None:
    """At least one row; each with metric and unit, NaN only with a reason, and an ordered interval."""
    assert rows, "a probe returns at least one row"
    keys = Counter((r.metric, r.dataset, r.stratum, r.layer, r.module) for r in rows)
    assert max(keys.values()) == 1, f"rows are repeated: {[key for key, n in keys.items() if n > 1]}"
    for row in rows:
        assert row.metric, f"no metric: {row}"
        assert row.unit, f"no unit: {row}"
        assert not math.isinf(row.value), f"infinite: {row}"
        assert not math.isnan(row.value) or row.why, f"NaN without a reason: {row}"
        assert not row.se < 0, f"negative standard error: {row}"
        assert math.isnan(row.ci_low) == math.isnan(row.ci_high), f"half an interval: {row}"
        assert not row.ci_low > row.ci_high, f"interval in the wrong order: {row}"
        assert row.n >= 0, f"negative n: {row}"
        assert row.n_clusters <= row.n, f"more clusters than observations: {row}"


def check_items(items: Sequence[Item]) -> None:
    """Each with metric and id, one per metric, data set and example."""
    keys = Counter((i.metric, i.dataset, i.item) for i in items)
    assert not keys or max(keys.values()) == 1, f"items are repeated: {[k for k, n in keys.items() if n > 1]}"
    for item in items:
        assert item.metric, f"no metric: {item}"
        assert item.item, f"no id: {item}"


def fingerprint(model: nn.Module) -> tuple[object, ...]:
    """What looking at a model must leave as it was: weights, modes, hooks, gradients' switches, cache use."""
    modules = tuple(model.modules())
    return (
        weights_digest(model),
        tuple(module.training for module in modules),
        tuple(tuple(getattr(module, kind)) for module in modules for kind in HOOKS),
        tuple(weight.requires_grad for weight in model.parameters()),
        getattr(getattr(model, "config", None), "use_cache", None),
    )


def _random_state() -> tuple[object, ...]:
    numpy_state = np.random.get_state(legacy=True)
    return (torch.get_rng_state().tolist(), random.getstate(), repr(numpy_state))
