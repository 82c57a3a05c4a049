"""Jobs in processes, on a Ray cluster and through submitit leave what one process leaves."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from sft_probe.cli.main import main
from sft_probe.errors import RunsFailed, SpecError, UnknownComponent
from sft_probe.execute.executors import Executor, Jobs, make_executor, work
from sft_probe.execute.local import run_one, run_study
from sft_probe.execute.processes import Local
from sft_probe.registry import available
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec

Make = Callable[..., StudySpec]
LORA = {"method": "lora", "method_options": {"r": 2}}
RUNS = ["base", "full-seed0", "lora-seed0"]
BROKEN = {"method": "layers", "method_options": {"first": 9}}


def same_tables(one: Path, other: Path) -> None:
    for table in ("measurements", "items", "train_log"):
        ours, theirs = (getattr(RunStore(folder), table)() for folder in (one, other))
        if table == "train_log":  # wall time is no result
            ours, theirs = (f[~f.metric.str.contains("runtime|per_second")] for f in (ours, theirs))
        assert len(ours) > 0
        pd.testing.assert_frame_equal(ours.reset_index(drop=True), theirs.reset_index(drop=True))


def kill_when(begun: Path, is_worker: Callable[[psutil.Process], bool]) -> tuple[threading.Thread, list[int]]:
    """Kill the first worker once a run has begun. Returns the thread, and the processes it killed."""
    killed: list[int] = []

    def watch() -> None:
        deadline = time.monotonic() + 300
        while not killed and time.monotonic() < deadline:
            for process in psutil.Process().children(recursive=True) if begun.exists() else ():
                try:
                    if is_worker(process):
                        os.kill(process.pid, signal.SIGKILL)
                        killed.append(process.pid)
                        return
                except psutil.Error:
                    continue
            time.sleep(0.01)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread, killed


def test_executors_come_by_name_with_options_in_yaml() -> None:
    assert make_executor("local", {"workers": "3", "memory": "0.5"}) == Local(workers=3, memory=0.5)
    assert set(available("executors")) >= {"local", "ray", "submitit"}
    with pytest.raises(UnknownComponent, match="local"):
        make_executor("locl", {})
    with pytest.raises(SpecError, match="Did you mean 'workers'"):
        make_executor("local", {"worker": "3"})
    with pytest.raises(SpecError, match=r"field 'workers': expected a number of at least 1, not 0\."):
        make_executor("local", {"workers": "0"})
    with pytest.raises(SpecError, match="not 'many'"):
        make_executor("ray", {"gpus": "many"})


def test_options_need_an_executor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "study.yaml", "--with", "workers=2"]) == 3
    assert "Name one by --executor." in capsys.readouterr().err


def test_processes_are_bounded_by_memory_cores_and_jobs(tmp_path: Path) -> None:
    free = psutil.virtual_memory().available
    jobs = Jobs(folder=tmp_path, run_ids=tuple("abcdefgh"), memory=1)
    cores = len(os.sched_getaffinity(0))
    assert len(Local().slots(jobs)) == min(cores, 8)
    assert len(Local(cpus=2 * cores).slots(jobs)) == 1
    assert len(Local(memory=free / 2**30).slots(jobs)) == 1
    assert len(Local(workers=5).slots(jobs)) == 5
    assert len(Local(workers=50).slots(jobs)) == 8


def test_every_process_gets_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    jobs = Jobs(folder=tmp_path, run_ids=("a", "b", "c"), gpu=True)
    assert Local().slots(jobs) == ["4", "6"]
    assert Local(workers=3).slots(jobs) == ["4", "6", "4"]


def test_a_job_needs_its_study(tmp_path: Path) -> None:
    assert "all machines see" in work(str(tmp_path), "full-seed0", str(tmp_path))
    assert main(["job", str(tmp_path), "full-seed0"]) == 3


def test_a_study_has_its_jobs_by_name(study: Make) -> None:
    from sft_probe.store.documents import write_study
    from sft_probe.study.yaml import dump_study

    spec = study()
    write_study(spec.output_dir, dump_study(spec))
    with pytest.raises(SpecError, match="Did you mean 'full-seed0'"):
        run_one(spec.output_dir, "fulll-seed0")


@pytest.fixture(scope="module")
def by_one_process(study_in: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms, one after the other."""
    spec = study_in(tmp_path_factory.mktemp("one"), seeds=[0])
    run_study(spec)
    return spec.output_dir


@pytest.fixture
def with_a_broken_arm(study: Make) -> StudySpec:
    return study(seeds=[0], arms={"full": {}, "lora": LORA, "broken": BROKEN})


def fails_only_where_it_must(spec: StudySpec, executor: Executor, expected: Path) -> None:
    """Run a study; the broken arm is named with its reason, and the others leave what is expected."""
    with pytest.raises(RunsFailed, match=r"1 of 3 runs failed; .*broken-seed0: .*this model has 2"):
        run_study(spec, executor=executor)
    assert [failure.run for failure in RunStore(spec.output_dir).failures()] == ["broken-seed0"]
    assert [manifest.run for manifest in RunStore(spec.output_dir).runs()] == RUNS
    same_tables(spec.output_dir, expected)


@pytest.mark.slow
def test_processes_leave_what_one_process_leaves(with_a_broken_arm: StudySpec, by_one_process: Path) -> None:
    begun = with_a_broken_arm.output_dir / "runs" / "lora-seed0" / "config.yaml"
    thread, killed = kill_when(begun, lambda process: "lora-seed0" in process.cmdline())
    fails_only_where_it_must(with_a_broken_arm, Local(workers=2), by_one_process)
    thread.join()
    assert killed


@pytest.fixture
def two_nodes() -> Iterator[None]:
    """A Ray cluster of two nodes with one core each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("two_nodes")
def test_a_ray_cluster_that_loses_a_worker_leaves_the_same(
    with_a_broken_arm: StudySpec, by_one_process: Path
) -> None:
    begun = with_a_broken_arm.output_dir / "runs" / "full-seed0" / "config.yaml"
    thread, killed = kill_when(begun, lambda process: process.name().startswith("ray::work"))
    fails_only_where_it_must(with_a_broken_arm, make_executor("ray", {}), by_one_process)
    thread.join()
    assert killed
    with pytest.raises(SpecError, match=r"a job needs 1 GPU, and the cluster has 0\."):
        run_study(with_a_broken_arm, executor=make_executor("ray", {"gpus": "1"}))


@pytest.mark.slow
def test_submitit_leaves_the_same(with_a_broken_arm: StudySpec, by_one_process: Path) -> None:
    pytest.importorskip("submitit")
    here = make_executor("submitit", {"cluster": "local", "gpus": "0"})
    fails_only_where_it_must(with_a_broken_arm, here, by_one_process)
