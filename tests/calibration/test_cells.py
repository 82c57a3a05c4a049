"""Cells on a tiny model: made, kept, killed and gone on with."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from sft_probe.calibration.cells import Cell, Panel, Task, finished, rows, run_cells, tasks
from sft_probe.calibration.kinds import NUMERICS, PERMUTED, RANDOM, SAME, SHAM, changed, middle
from sft_probe.calibration.plan import planned
from sft_probe.calibration.plants import PLANTS
from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.execute.processes import Local
from sft_probe.study.progress import Silent
from sft_probe.testing.tiny import tiny_base, tiny_data

CELLS = (Cell("noise", 0.0, 0), Cell("noise", 0.5, 0))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """Label noise in tiny data, for a tiny model."""
    folder = tmp_path_factory.mktemp("tiny")
    base = tiny_base()
    base.model.save_pretrained(folder / "model")
    base.tokenizer.save_pretrained(folder / "model")
    lines = (
        {
            "id": e.id,
            "messages": [*(m._asdict() for m in e.messages), {"role": "assistant", "content": e.target}],
            "choices": list(e.choices),
        }
        for e in tiny_data(48)["test"].examples
    )
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def study(dose: float) -> dict[str, Any]:
        return {
            "model_name_or_path": str(folder / "model"),
            "data": {"train": str(folder / "rows.jsonl"), "test_size": 0.2},
            "max_steps": 2,
            "per_device_train_batch_size": 4,
            "arms": {"arm": {"edits": [{"label_noise": {"rate": dose}}]}},
        }

    return Plant(
        name="noise",
        unit="share",
        doses=(0.0, 0.25, 0.5),
        probes=({"task_alignment": {"max_new_tokens": 4}}, "weight_change"),
        readings=(Reading(probe="task_alignment", metric="answer_logprob"),),
        study=study,
    )


class KilledAt(Silent):
    """Ends the process, as the kernel does, when training of a cell begins."""

    def __init__(self, arm: str) -> None:
        self._arm = arm

    def activity(self, arm: str, seed: int, step: int, what: str) -> None:
        """Perhaps the last moment."""
        if arm == self._arm and what == "training":
            os.kill(os.getpid(), signal.SIGKILL)


def _killed(todo: tuple[Task, ...], arm: str) -> None:
    run_cells(todo, progress=KilledAt(arm))


@pytest.mark.slow
def test_cells_that_were_cut_short_go_on(noise: Plant, tmp_path: Path) -> None:
    """Killed while the second of two cells is trained; the table in the end is that of an unbroken run."""
    whole, cut = (tasks(CELLS, tmp_path / name, {"noise": noise}) for name in ("whole", "cut"))
    assert run_cells(whole) == ()
    process = multiprocessing.get_context("forkserver").Process(target=_killed, args=(cut, "dose-0.5"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert set(rows(cut).dose) == {0.0}
    before = (cut[0].folder / "runs" / CELLS[0].run / "manifest.json").read_bytes()
    assert not finished(cut[0])
    assert run_cells(cut) == ()
    assert finished(cut[0])
    assert (cut[0].folder / "runs" / CELLS[0].run / "manifest.json").read_bytes() == before
    one, other = rows(whole), rows(cut)
    pd.testing.assert_frame_equal(one, other)
    assert set(one.dose) == {0.0, 0.5}
    assert set(one.kind) == {"dose"}
    assert one[one.metric == "answer_logprob"].base.notna().all()


@pytest.mark.slow
def test_nulls_have_nothing_to_find(noise: Plant, tmp_path: Path) -> None:
    """The base read again shows what it showed; noise has the norm of a training, tensor by tensor."""
    kinds = (SAME, NUMERICS, RANDOM)
    todo = tasks([*CELLS, *(Cell("noise", 0.5, 0, kind) for kind in kinds)], tmp_path, {"noise": noise})
    assert run_cells(todo) == ()
    found = rows(todo)
    same = found[found.kind == SAME]
    assert len(same) > 0
    assert (same.value == same.base)[same.base.notna()].all()
    other = found[found.kind == NUMERICS]
    assert ((other.value - other.base).abs().dropna() < 1e-3).all()
    norms = found[(found.metric == "relative_norm") & (found.dose == 0.5)].set_index(["layer", "module"])
    trained, noisy = (norms[norms.kind == kind].value for kind in ("dose", RANDOM))
    assert len(noisy) > 2
    pd.testing.assert_series_equal(noisy, trained, rtol=1e-3, check_names=False)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
def test_studies_are_shared_out_among_processes_and_failures_are_told(noise: Plant, tmp_path: Path) -> None:
    broken = replace(
        noise, name="broken", study=lambda dose: {**noise.study(dose), "data": {"train": "no.jsonl"}}
    )
    given = [Cell("noise", 0.0, 0), Cell("broken", 0.0, 0)]
    todo = tasks(given, tmp_path, {"noise": noise, "broken": broken})
    (sentence,) = run_cells(todo, executor=Local(workers=2))
    assert sentence.startswith("broken-seed0: ")
    assert "no.jsonl" in sentence
    assert set(rows(todo).plant) == {"noise"}
    assert run_cells(todo) == (sentence,)  # tried again, and said again


def test_doses_of_a_seed_are_arms_of_one_study(noise: Plant, tmp_path: Path) -> None:
    seen = Panel(({"name": "coherence"}, {"name": "weight_change"}), {"more": "x.jsonl"})
    given = [*CELLS, Cell("noise", 0.5, 1), Cell("noise", 0.25, 0, panel=True), Cell("noise", 0.5, 0, SAME)]
    todo = tasks(given, tmp_path, {"noise": noise}, seen)
    names = {task.folder.name: sorted(task.study["arms"]) for task in todo}
    assert names == {
        "noise-seed0": ["dose-0", "dose-0.5"],
        "noise-seed0-1": ["dose-0.25"],
        "noise-looked-seed0": ["same_weights-0.5"],
        "noise-seed1": ["dose-0.5"],
    }
    wide = next(task for task in todo if task.folder.name == "noise-seed0-1")
    assert wide.study["probes"][2:] == [{"name": "coherence", "optional": True}]
    assert wide.study["data"]["others"] == {"more": "x.jsonl"}
    assert len({cell.id for cell in given}) == len(given)
    for task in todo:
        spec = task.spec()
        assert {f"{arm}-seed{seed}" for arm in spec.arms for seed in spec.seeds} == {
            c.run for c in task.cells
        }


def test_a_null_keeps_the_study_and_changes_what_is_learned(noise: Plant) -> None:
    sham, dealt = (changed(noise, 0.5, 3, kind) for kind in (SHAM, PERMUTED))
    assert sham["arms"]["arm"]["edits"] == [{"sham": {"seed": 3}}]
    assert [next(iter(edit)) for edit in dealt["arms"]["arm"]["edits"]] == ["label_noise", "shuffled_answers"]
    assert sham["probes"][1] == {"name": "weight_change", "optional": True}
    assert noise.sown(0.5, 3)["probes"][1] == "weight_change"


def test_what_a_certificate_needs() -> None:
    quick = planned([plant for plant in PLANTS if plant.quick], "quick")
    assert {cell.seed for cell in quick} == {10, 11, 12}
    full = planned(PLANTS, "full")
    assert len({cell.id for cell in full}) == len(full)
    for plant in PLANTS:
        own = [cell for cell in full if cell.plant == plant.name and cell.kind == "dose"]
        assert len(plant.doses) >= 5
        assert len(own) == len(plant.doses) * plant.seeds >= 15
        ends = set() if plant.trained_as else {plant.doses[0], middle(plant.doses)}
        assert {cell.dose for cell in own if cell.panel} == ends
        assert not plant.trained_as or plant.trained_as in {other.name for other in PLANTS}
    assert {cell.kind for cell in full} >= {
        "sham",
        "random_change",
        "permuted_labels",
        "same_weights",
        "numerics",
    }


@dataclass(frozen=True, kw_only=True)
class Elsewhere(Local):
    """An executor of another name, as on a cluster: it gets the runs of a study."""

    name: ClassVar[str] = "elsewhere"


@pytest.mark.slow
def test_other_executors_get_single_runs(noise: Plant, tmp_path: Path) -> None:
    todo = tasks(CELLS, tmp_path, {"noise": noise})
    assert run_cells(todo, executor=Elsewhere(workers=2)) == ()
    assert {path.stem for path in todo[0].folder.glob("logs/*.log")} == {cell.run for cell in CELLS}
    assert set(rows(todo).dose) == {0.0, 0.5}
