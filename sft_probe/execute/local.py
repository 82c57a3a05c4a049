"""Run a study on this machine: the base once, then arm after arm and seed after seed. A rerun resumes."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from sft_probe.errors import SpecError, StoreError, nearest
from sft_probe.execute.between import compare_runs
from sft_probe.execute.executors import Jobs
from sft_probe.execute.failures import attempt, failed_before, lost, stop_if_failed
from sft_probe.execute.job import LOOK_UNITS, digest_of, finish, run_job, units
from sft_probe.execute.prepare import Prepared, prepare
from sft_probe.execute.timing import job_memory
from sft_probe.execute.together import joined
from sft_probe.observe.ranks import Ranks, apart
from sft_probe.store.documents import STUDY, read_study, write_study
from sft_probe.store.lock import locked
from sft_probe.store.runs import BASE, BETWEEN, RunStore
from sft_probe.study.arms import Job, jobs
from sft_probe.study.decompose import is_companion
from sft_probe.study.progress import Progress, Silent
from sft_probe.study.yaml import dump_study, parse_study
from sft_probe.train.edits.pipeline import make_edits
from sft_probe.train.regularisers.attach import make_regularisers
from sft_probe.train.sft import make_method
from sft_probe.train.stages import check_stages
from sft_probe.train.trackers import check_trackers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sft_probe.execute.executors import Executor
    from sft_probe.store.failures import Failure
    from sft_probe.study.spec import StudySpec


def run_study(
    spec: StudySpec,
    *,
    progress: Progress | None = None,
    force: bool = False,
    executor: Executor | None = None,
) -> Prepared:
    """Measure the base and train every arm with every seed, keeping rows as they come.

    Finished runs whose settings, data and base are unchanged are left as they are, unless `force`; so is a
    run whose training diverged. A run that was cut short begins anew, and ends with the same numbers.
    executor: where runs are made; one after the other in this process if not given.
    Raises: InputError before any compute if something given cannot be used, or if another process works
    in this folder; RunsFailed, once the other runs are finished, if some failed.
    """
    with joined(spec, executor) as own:
        return _run_study(own, progress or Silent(), executor, force=force)


def _run_study(spec: StudySpec, progress: Progress, executor: Executor | None, *, force: bool) -> Prepared:
    for arm in spec.arms.values():
        make_method(arm)
        make_regularisers(arm.regulariser.parts)
        make_edits(arm.edits)
    check_trackers(spec.report_to)
    with locked(spec.output_dir):
        write_study(spec.output_dir, dump_study(spec))
        prepared = prepare(spec)
        check_stages(spec, prepared.given)
        for finding in prepared.findings:
            if finding.severity != "info":
                progress.note(finding.message)
        _run_all(spec, prepared, progress, executor, force=force)
    return prepared


def _run_all(
    spec: StudySpec, prepared: Prepared, progress: Progress, executor: Executor | None, *, force: bool
) -> None:
    store, todo = RunStore(spec.output_dir), jobs(spec)
    progress.note(f"device: {prepared.base.device}")
    progress.start(LOOK_UNITS + sum(units(spec, job) for job in todo))
    try:
        _run_base(spec, prepared, store, progress, force=force)
        failures: list[Failure] = []
        waiting: list[Job] = []
        for job in todo:
            before = None if force else _before(spec, job, prepared, store, progress)
            if before is not None:
                failures += before
            elif executor:
                waiting.append(job)
            else:
                failures += _attempt_job(spec, job, prepared, store, progress)
        if executor and waiting:
            failures += _run_elsewhere(spec, waiting, prepared, executor, progress)
        if spec.save_model and Ranks.here().first:
            progress.activity(BETWEEN, 0, 0, "task_vectors")
            comparing = partial(compare_runs, prepared, store)
            with apart():
                failures += attempt(Job(BETWEEN, 0, BETWEEN, ""), "", store, progress, comparing)
    finally:
        progress.close()
    stop_if_failed(failures, len(todo) + spec.save_model)


def _before(
    spec: StudySpec, job: Job, prepared: Prepared, store: RunStore, progress: Progress
) -> tuple[Failure, ...] | None:
    """The failure that a job had and would have again, nothing if it is finished, None if it must be run."""
    digest, ranks = digest_of(job.digest, prepared), Ranks.here()
    if ranks.of_first(store.finished(job.run_id, digest, progress.note)):
        progress.note(f"{job.run_id}: finished before, kept")
        progress.advance(units(spec, job))
        return ()
    if failure := ranks.of_first(failed_before(job, digest, store)):
        progress.note(f"{job.run_id}: failed before, not tried again without --force: {failure.reason}")
        return (failure,)
    return None


def _attempt_job(
    spec: StudySpec, job: Job, prepared: Prepared, store: RunStore, progress: Progress
) -> tuple[Failure, ...]:
    """Run a job; returns its failure, if it failed. An error of one of several processes ends them all."""
    run = partial(_try_job, spec, job, prepared, store, progress)
    if Ranks.here().count > 1:
        run()
        return ()
    return attempt(job, digest_of(job.digest, prepared), store, progress, run)


def run_one(folder: Path, run_id: str) -> str:
    """Run one job of a study that `run_study` has begun in a folder; what executors call in other processes.

    What the base shows is read from the study's cache, where the first process has left it.
    Returns: why it failed, which is kept in its place, or nothing.
    Raises: StoreError if there is no study, SpecError if it has no such run.
    """
    text = read_study(folder)
    if not text:
        raise StoreError("there is no study here.", file=folder, remedy="Begin one with: sft-probe run.")
    spec = parse_study(text, file=str(folder / STUDY)).model_copy(update={"output_dir": folder})
    known = {job.run_id: job for job in jobs(spec)}
    if run_id not in known:
        raise SpecError(f"the study has no run '{run_id}'.", file=folder, remedy=nearest(run_id, known))
    prepared = prepare(spec, keep=False)
    failures = _attempt_job(spec, known[run_id], prepared, RunStore(folder), Silent())
    return failures[0].reason if failures else ""


def _run_elsewhere(
    spec: StudySpec, waiting: Sequence[Job], prepared: Prepared, executor: Executor, progress: Progress
) -> list[Failure]:
    """Hand jobs to an executor and hear how each ends. Returns the failures."""
    by_id = {job.run_id: job for job in waiting}
    gpu = prepared.base.device.type == "cuda"
    memory = 0 if gpu else job_memory(prepared.base)
    work = Jobs(folder=spec.output_dir, run_ids=tuple(by_id), memory=memory, gpu=gpu)
    store = RunStore(spec.output_dir)
    failures: list[Failure] = []
    progress.note(f"{len(waiting)} runs go to the executor '{executor.name}'")
    with closing(executor.run(work)) as ends:
        for run_id, reason in ends:
            job, digest = by_id[run_id], digest_of(by_id[run_id].digest, prepared)
            if reason:
                failures.append(lost(job, digest, reason, store))
            done = "finished" if store.finished(run_id, digest) else "left out"
            progress.note(f"{run_id}: {f'failed: {reason}' if reason else done}")
            progress.advance(units(spec, job))
    return failures


def _run_base(
    spec: StudySpec, prepared: Prepared, store: RunStore, progress: Progress, *, force: bool
) -> None:
    """Look once at the untouched base; its rows are the run `base`, step 0."""
    digest = digest_of(f"{spec.base!r}{prepared.probes!r}", prepared)
    if force or not Ranks.here().of_first(store.finished(BASE, digest, progress.note)):
        config = {"arm": BASE, "seed": 0, "digest": digest, "label": "base model"}
        with store.open_run(BASE, config=config, environment=prepared.environment) as writer:
            battery = prepared.battery()
            found = battery.measure(
                prepared.base.model, on_probe=lambda probe: progress.activity(BASE, 0, 0, probe)
            )
            for probe, measurements in found.items():
                writer.append(0, probe, measurements)
            finish(writer, prepared, battery.seconds)
    progress.advance(LOOK_UNITS)


def _try_job(spec: StudySpec, job: Job, prepared: Prepared, store: RunStore, progress: Progress) -> None:
    """Run a job. An arm that only takes the gain apart and does not fit the data leaves the others to go on:
    a base that knows none of the facts has no rows for the arm of known ones.
    """
    try:
        run_job(spec, job, prepared, store, progress)
    except SpecError as error:
        if not is_companion(spec, job.arm):
            raise
        progress.note(f"{job.run_id}: left out, for {error}")
        progress.advance(units(spec, job))
