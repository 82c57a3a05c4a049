"""What happens to a study when something in it fails."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sft_probe.errors import DataError, Diverged, LockedError, RunsFailed
from sft_probe.execute.failures import DISK, MEMORY, kind_of, reason_of
from sft_probe.execute.local import run_study
from sft_probe.report import build_report
from sft_probe.store.lock import locked
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec

Make = Callable[..., StudySpec]
ROOM = 240_000  # bytes: enough for what a run of LoRA leaves here (up to 200,000), not for a whole model more


class Notes:
    """A progress bar that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def start(self, total_units: float) -> None: ...

    def activity(self, arm: str, seed: int, step: int, what: str) -> None: ...

    def advance(self, units: float) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (Diverged("the loss is nan."), "diverged", "the loss is nan."),
        (DataError("no row.", file="a.jsonl"), "input", "a.jsonl: no row."),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "memory", MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory", MEMORY),
        (MemoryError(), "memory", MEMORY),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "disk", DISK),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk", DISK),  # of safetensors
        (OSError(errno.EACCES, "no"), "error", "PermissionError: [Errno 13] no."),
        (ValueError("bad\nmore"), "error", "ValueError: bad."),
    ],
)
def test_what_went_wrong_is_told_in_a_sentence(error: Exception, kind: str, reason: str) -> None:
    assert (kind_of(error), reason_of(error)) == (kind, reason)


def test_an_arm_that_diverges_is_reported_and_the_others_finish(study: Make) -> None:
    wild = {"learning_rate": 1e30}
    spec = study(seeds=[0], max_steps=6, arms={"wild": wild, "lora": {"method": "lora"}})
    with pytest.raises(RunsFailed, match=r"1 of 2 runs failed.*wild-seed0: .*Lower its learning_rate"):
        run_study(spec)
    store = RunStore(spec.output_dir)
    assert [run.run for run in store.runs()] == ["base", "lora-seed0"]
    (failure,) = store.failures()
    assert (failure.run, failure.kind, failure.arm) == ("wild-seed0", "diverged", "wild")
    assert failure.traceback.startswith("Traceback")
    notes = Notes()
    with pytest.raises(RunsFailed, match="wild-seed0"):
        run_study(spec, progress=notes)
    assert any("wild-seed0: failed before, not tried again without --force" in line for line in notes.said)
    report = json.loads(build_report(spec.output_dir).json.read_text("utf-8"))
    assert report["warnings"] == [f"wild-seed0 failed and is missing here: {failure.reason}"]
    run_study(study(seeds=[0], max_steps=6, arms={"wild": {}, "lora": {"method": "lora"}}))
    assert store.failures() == ()


def test_an_arm_out_of_memory_is_tried_again_by_a_rerun(study: Make) -> None:
    from torch.nn.modules.module import register_module_forward_pre_hook

    def full(module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if type(module).__name__ == "LlamaMLP" and module.training:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    spec = study(seeds=[0], arms={"full": {}})
    hook = register_module_forward_pre_hook(full)
    try:
        with pytest.raises(RunsFailed, match=r"full-seed0: Memory ran out\. Lower per_device"):
            run_study(spec)
    finally:
        hook.remove()
    run_study(spec)
    assert RunStore(spec.output_dir).failures() == ()


def test_a_damaged_table_is_noticed_and_its_run_measured_again(study: Make) -> None:
    spec = study(seeds=[0])
    run_study(spec)
    store, notes = RunStore(spec.output_dir), Notes()
    whole = store.measurements()
    path = store.folder / "lora-seed0" / "measurements.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    run_study(spec, progress=notes)
    assert any(line.startswith("lora-seed0 is done again.") and str(path) in line for line in notes.said)
    assert "full-seed0: finished before, kept" in notes.said
    assert store.measurements().equals(whole)


def test_a_second_study_in_the_same_folder_is_refused(study: Make) -> None:
    spec = study()
    with locked(spec.output_dir), pytest.raises(LockedError, match=f"process {os.getpid()} on"):
        run_study(spec)
    assert RunStore(spec.output_dir).runs() == ()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB, where this may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_an_arm_too_large_for_the_disk_leaves_room_for_the_others(study: Make, small_disk: Path) -> None:
    changes: dict[str, Any] = {"output_dir": str(small_disk / "out"), "save_model": True, "seeds": [0]}
    lora = {"method": "lora", "method_options": {"r": 2}}
    run_study(study(**changes, arms={"lora": lora}, max_steps=1))
    (small_disk / "others").write_bytes(bytes(shutil.disk_usage(small_disk).free - ROOM))
    spec = study(**changes, arms={"full": {}, "lora": lora})
    with pytest.raises(RunsFailed, match="full-seed0: No space is left on the disk"):
        run_study(spec)
    store = RunStore(spec.output_dir)
    assert [run.run for run in store.runs()] == ["base", "lora-seed0"]
    assert store.runs()[1].steps[-1] == 3
    assert [failure.kind for failure in store.failures()] == ["disk"]
    (small_disk / "others").unlink()
    run_study(spec)
    assert {run.run for run in store.runs()} == {"base", "between", "full-seed0", "lora-seed0"}
    assert not list(small_disk.rglob("*.tmp"))
