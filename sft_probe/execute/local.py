"""Run a study on this machine: the base once, then arm after arm and seed after seed. A rerun resumes."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sft_probe.errors import SpecError, StoreError, nearest
from sft_probe.execute.between import compare_runs
from sft_probe.execute.executors import Jobs
from sft_probe.execute.failures import attempt, failed_before, lost, stop_if_failed
from sft_probe.execute.prepare import Prepared, prepare
from sft_probe.execute.timing import job_memory
from sft_probe.execute.together import joined
from sft_probe.observe.ranks import Ranks, apart
from sft_probe.schema import RELEARNING
from sft_probe.store.atomic import make_durable
from sft_probe.store.documents import STUDY, read_study, write_edits, write_study
from sft_probe.store.lock import locked
from sft_probe.store.runs import BASE, BETWEEN, RunStore, RunWriter
from sft_probe.study.arms import Job, Stage, jobs, looks_at, resolve, stages_of
from sft_probe.study.decompose import is_companion
from sft_probe.study.progress import Progress, Silent
from sft_probe.study.schedule import stage_steps
from sft_probe.study.yaml import dump_study, parse_study
from sft_probe.train.divergence import StopIfDiverged
from sft_probe.train.edits.pipeline import make_edits
from sft_probe.train.host import ProbeHost
from sft_probe.train.regularisers.attach import make_regularisers
from sft_probe.train.relearning import Patient, relearn
from sft_probe.train.sft import ArmRun, make_method
from sft_probe.train.stages import check_stages, train_arm
from sft_probe.train.stopping import StopAtForm
from sft_probe.train.trackers import check_trackers, tracked_as

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from transformers import TrainerCallback

    from sft_probe.execute.executors import Executor
    from sft_probe.probes.battery import Battery
    from sft_probe.store.failures import Failure
    from sft_probe.study.spec import StudySpec

SFT = "sft"
LOOK_UNITS = 12  # one look at a model costs about as much as this many training steps; steers only the bar


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
    progress.start(LOOK_UNITS + sum(_units(spec, job) for job in todo))
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
    digest, ranks = _digest(job.digest, prepared), Ranks.here()
    if ranks.of_first(store.finished(job.run_id, digest, progress.note)):
        progress.note(f"{job.run_id}: finished before, kept")
        progress.advance(_units(spec, job))
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
    return attempt(job, _digest(job.digest, prepared), store, progress, run)


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
            job, digest = by_id[run_id], _digest(by_id[run_id].digest, prepared)
            if reason:
                failures.append(lost(job, digest, reason, store))
            done = "finished" if store.finished(run_id, digest) else "left out"
            progress.note(f"{run_id}: {f'failed: {reason}' if reason else done}")
            progress.advance(_units(spec, job))
    return failures


def _run_base(
    spec: StudySpec, prepared: Prepared, store: RunStore, progress: Progress, *, force: bool
) -> None:
    """Look once at the untouched base; its rows are the run `base`, step 0."""
    digest = _digest(f"{spec.base!r}{prepared.probes!r}", prepared)
    if force or not Ranks.here().of_first(store.finished(BASE, digest, progress.note)):
        config = {"arm": BASE, "seed": 0, "digest": digest, "label": "base model"}
        with store.open_run(BASE, config=config, environment=prepared.environment) as writer:
            battery = prepared.battery()
            found = battery.measure(
                prepared.base.model, on_probe=lambda probe: progress.activity(BASE, 0, 0, probe)
            )
            for probe, measurements in found.items():
                writer.append(0, probe, measurements)
            _finish(writer, prepared, battery.seconds)
    progress.advance(LOOK_UNITS)


def _try_job(spec: StudySpec, job: Job, prepared: Prepared, store: RunStore, progress: Progress) -> None:
    """Run a job. An arm that only takes the gain apart and does not fit the data leaves the others to go on:
    a base that knows none of the facts has no rows for the arm of known ones.
    """
    try:
        _run_job(spec, job, prepared, store, progress)
    except SpecError as error:
        if not is_companion(spec, job.arm):
            raise
        progress.note(f"{job.run_id}: left out, for {error}")
        progress.advance(_units(spec, job))


def _run_job(spec: StudySpec, job: Job, prepared: Prepared, store: RunStore, progress: Progress) -> None:
    """Train one arm with one seed while the battery looks, and leave a finished run in the store."""
    arm, training = spec.arms[job.arm], resolve(spec, job.arm)
    digest = _digest(job.digest, prepared)
    prepared.observer.forget()
    prepared, changes = prepared.edited(make_edits(arm.edits), job.seed)
    battery = prepared.battery()
    config = {
        "arm": job.arm,
        "seed": job.seed,
        "digest": digest,
        "label": arm.label or job.arm,
        "method": arm.method,
        "method_options": dict(arm.method_options),
        "regulariser": arm.regulariser.model_dump(),
        "edits": [edit.model_dump() for edit in arm.edits],
        "stop": arm.stop.model_dump() if arm.stop else None,
        "stages": [_described(stage) for stage in stages_of(spec, job.arm)] if arm.stages else [],
        "training": training.model_dump(),
        "base": spec.base.model_dump(),
        "data": spec.data.model_dump(),
        "probes": {probe.name: asdict(probe) for probe in prepared.probes},  # type: ignore[call-overload]
    }
    with store.open_run(job.run_id, config=_plain(config), environment=prepared.environment) as writer:
        if changes:
            write_edits(writer.folder, ({"edit": edit, **change._asdict()} for edit, change in changes))
        scratch = writer.folder / "trainer"
        run = ArmRun(
            arm=arm,
            training=training,
            seed=job.seed,
            max_length=spec.data.max_length,
            report_to=spec.report_to,
            name=job.run_id,
            study=spec.name,
        )
        start = time.perf_counter()
        stages = stages_of(spec, job.arm)
        watch = _watching(spec, job, prepared, battery, writer, _reporter(job, progress))
        with tracked_as(spec.name, job.run_id, spec.output_dir / "trackers"):
            trained = train_arm(run, stages, prepared.base, prepared.data, scratch, watch)
        elapsed = time.perf_counter() - start
        writer.note(
            trainable_parameters=trained.trainable_parameters, total_parameters=trained.total_parameters
        )
        if spec.revive:
            progress.activity(job.arm, job.seed, trained.steps, RELEARNING)
            patient = Patient(
                tuned=trained.model,
                base=prepared.base,
                observer=prepared.observer,
                training=training,
                seed=job.seed,
            )
            began = time.perf_counter()
            writer.append(trained.steps, RELEARNING, relearn(patient, spec.revive, scratch))
            writer.spent(RELEARNING, time.perf_counter() - began)
        if spec.save_model and Ranks.here().first:
            folder = str(writer.folder / "model")
            trained.model.save_pretrained(folder)
            prepared.base.tokenizer.save_pretrained(folder)
            make_durable(writer.folder / "model")
        shutil.rmtree(scratch, ignore_errors=True)
        _finish(writer, prepared, battery.seconds | {"training": elapsed - sum(battery.seconds.values())})


def _watching(
    spec: StudySpec,
    job: Job,
    prepared: Prepared,
    battery: Battery,
    writer: RunWriter,
    report: Callable[[int, str], None],
) -> Callable[[Stage], tuple[TrainerCallback, ...]]:
    """Who watches the training of a stage."""
    stop = spec.arms[job.arm].stop
    ends = (StopAtForm(prepared.observer, stop, writer),) if stop else ()
    vocabulary = prepared.base.model.config.vocab_size

    def callbacks(stage: Stage) -> tuple[TrainerCallback, ...]:
        steps = stage_steps(spec.schedule, stage.first, stage.training.max_steps)
        host = ProbeHost(
            battery,
            steps,
            writer,
            ends_only=spec.schedule.ends_only,
            on_activity=report,
            first=stage.first,
            loss="loss" if stage.spec.objective == SFT else f"{stage.spec.objective}_loss",
        )
        return StopIfDiverged(vocabulary, steps), *ends, host

    return callbacks


def _finish(writer: RunWriter, prepared: Prepared, seconds: dict[str, float]) -> None:
    for activity, spent in seconds.items():
        writer.spent(activity, spent)
    writer.note(device=str(prepared.base.device), token_budget=prepared.observer.budget.tokens)
    writer.finish()


def _reporter(job: Job, progress: Progress) -> Callable[[int, str], None]:
    """Tell the progress bar what is going on: a training step is one unit, a look is `LOOK_UNITS`."""

    def report(step: int, what: str) -> None:
        progress.activity(job.arm, job.seed, step, what)
        progress.advance({"training": 1, "look": LOOK_UNITS}.get(what, 0))

    return report


def _units(spec: StudySpec, job: Job) -> int:
    return stages_of(spec, job.arm)[-1].last + LOOK_UNITS * len(looks_at(spec, job.arm))


def _described(stage: Stage) -> dict[str, Any]:
    """A stage in the settings of a run, with the steps at which it begins and ends."""
    training = stage.training.model_dump()
    return stage.spec.model_dump() | {
        "name": stage.name,
        "training": training,
        "first": stage.first,
        "last": stage.last,
    }


def _digest(settings: str, prepared: Prepared) -> str:
    """Settings together with the content of base and data: all that decides a run's numbers."""
    data = (prepared.data[name].digest for name in sorted(prepared.data))
    return sha256("\n".join((settings, prepared.base.digest, *data)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Tuples as lists and paths as text, for YAML."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, int | float | str | bool | None) else str(value)
