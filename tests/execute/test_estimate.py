"""What is planned for a study is held against what the study does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from sft_probe.execute.estimate import LAST, Estimate, estimate, wanted
from sft_probe.execute.local import run_study
from sft_probe.execute.prepare import needs_of, prepare
from sft_probe.execute.timing import ForwardSpeed, time_forward
from sft_probe.observe.workload import Work
from sft_probe.probes.selection import Selection
from sft_probe.study.spec import StudySpec
from sft_probe.testing.tiny import tiny_base, tiny_tuned

Make = Callable[..., StudySpec]
PROBES = [
    {"token_shift": {"contexts": "gold"}},
    {"representation_drift": {"dataset": "test"}},
    "weight_change",
]


@contextmanager
def counting_looks() -> Iterator[list[int]]:
    """Positions of every forward pass outside of training, questions about a model itself left out."""
    sizes: list[int] = []

    def note(module: Any, args: Any) -> None:
        looks = isinstance(module, torch.nn.Embedding) and not module.training
        if looks and args[0].tolist() not in ([[1, 2, 3]], [[0]]):
            sizes.append(args[0].numel())

    handle = register_module_forward_pre_hook(note)
    try:
        yield sizes
    finally:
        handle.remove()


def planned(spec: StudySpec) -> Estimate:
    prepared = prepare(spec)
    chosen = Selection(probes=prepared.probes, data=prepared.data, not_applicable={})
    return estimate(spec, prepared.base, chosen, ())


def test_a_study_reads_what_was_planned_and_its_base_once(study: Make) -> None:
    """Two arms, one of them LoRA, with two seeds each; the plan holds the base's look once."""
    spec = study(probes=PROBES, schedule={"points": 2, "ends_only": ["token_shift"]})
    plan = planned(spec)
    with counting_looks() as sizes:
        run_study(spec)
    assert (len(sizes), sum(sizes)) == (plan.work.passes, plan.work.positions)
    assert [stage.times for stage in plan.stages if stage.name == "base, once"] == [1]
    assert sum(stage.times for stage in plan.stages if stage.name == LAST) == 4


def test_studies_over_one_cache_look_at_their_base_once(
    study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFT_PROBE_CACHE", str(tmp_path / "shared"))
    looks = []
    for name in ("first", "second"):
        prepared = prepare(study(probes=PROBES, output_dir=str(tmp_path / name)))
        with counting_looks() as sizes:
            prepared.observer.look_at_base(needs_of(prepared.probes))
        looks.append(len(sizes))
    assert looks[0] > looks[1] == 0


def test_seconds_and_memory_are_measured(study: Make) -> None:
    found = planned(study())
    assert {training.arm: training.steps for training in found.trainings} == {"full": 6, "lora": 6}
    assert all(training.seconds_per_step > 0 for training in found.trainings)
    assert found.look_seconds > 0
    assert found.peak_memory > 2**20
    together = sum((stage.work * stage.times for stage in found.stages), Work())
    assert together == found.work


def test_a_forward_pass_is_timed_as_a_line() -> None:
    speed = ForwardSpeed(per_pass=0.5, per_token=0.25)
    assert speed.seconds(Work(passes=2, positions=8, tokens=5)) == 3.0
    base = tiny_base()
    tuned = tiny_tuned(base)
    measured = time_forward(tuned, width=16, tokens=1024)
    assert measured.seconds(Work(passes=1, positions=1024)) > 0
    assert tuned.training, "the model is given back as it was"


def test_needs_name_all_their_probes(study: Make) -> None:
    probes = prepare(study(probes=["task_alignment", "format_adherence"])).probes
    shared = [names for names in wanted(probes).values() if len(names) == 2]
    assert shared == [("task_alignment", "format_adherence")]
