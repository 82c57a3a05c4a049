"""Run a study on this machine: the base once, then arm after arm and seed after seed. A rerun resumes."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sft_probe.errors import SpecError
from sft_probe.execute.between import compare_runs
from sft_probe.execute.prepare import Prepared, prepare
from sft_probe.schema import RELEARNING
from sft_probe.store.documents import write_edits, write_study
from sft_probe.store.runs import BASE, BETWEEN, RunStore, RunWriter
from sft_probe.study.arms import Job, jobs, resolve
from sft_probe.study.decompose import is_companion
from sft_probe.study.progress import Progress, Silent
from sft_probe.study.schedule import probe_steps
from sft_probe.study.yaml import dump_study
from sft_probe.train.edits.pipeline import make_edits
from sft_probe.train.host import ProbeHost
from sft_probe.train.relearning import Patient, relearn
from sft_probe.train.sft import ArmRun, make_method, run_sft
from sft_probe.train.stopping import StopAtForm
from sft_probe.train.trackers import check_trackers, tracked_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from sft_probe.study.spec import StudySpec

LOOK_UNITS = 12  # one look at a model costs about as much as this many training steps; steers only the bar


def run_study(spec: StudySpec, *, progress: Progress | None = None, force: bool = False) -> Prepared:
    """Measure the base and train every arm with every seed, keeping rows as they come.

    Finished runs whose settings, data and base are unchanged are left as they are, unless `force`.
    Raises: InputError before any compute if something given cannot be used.
    """
    progress = progress or Silent()
    for arm in spec.arms.values():
        make_method(arm)
        make_edits(arm.edits)
    check_trackers(spec.report_to)
    write_study(spec.output_dir, dump_study(spec))
    prepared = prepare(spec)
    for finding in prepared.findings:
        if finding.severity != "info":
            progress.note(finding.message)
    store, todo = RunStore(spec.output_dir), jobs(spec)
    progress.note(f"device: {prepared.base.device}")
    progress.start(LOOK_UNITS + sum(_units(spec, job) for job in todo))
    try:
        _run_base(spec, prepared, store, progress, force=force)
        for job in todo:
            if not force and store.finished(job.run_id, _digest(job.digest, prepared)):
                progress.note(f"{job.run_id}: finished before, kept")
                progress.advance(_units(spec, job))
            else:
                _try_job(spec, job, prepared, store, progress)
        if spec.save_model:
            progress.activity(BETWEEN, 0, 0, "task_vectors")
            compare_runs(prepared, store)
    finally:
        progress.close()
    return prepared


def _run_base(
    spec: StudySpec, prepared: Prepared, store: RunStore, progress: Progress, *, force: bool
) -> None:
    """Look once at the untouched base; its rows are the run `base`, step 0."""
    digest = _digest(f"{spec.base!r}{prepared.probes!r}", prepared)
    if force or not store.finished(BASE, digest):
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
        "training": training.model_dump(),
        "base": spec.base.model_dump(),
        "data": spec.data.model_dump(),
        "probes": {probe.name: asdict(probe) for probe in prepared.probes},  # type: ignore[call-overload]
    }
    with store.open_run(job.run_id, config=_plain(config), environment=prepared.environment) as writer:
        if changes:
            write_edits(writer.folder, ({"edit": edit, **change._asdict()} for edit, change in changes))
        scratch = writer.folder / "trainer"
        host = ProbeHost(
            battery,
            probe_steps(spec.schedule, training.max_steps),
            writer,
            ends_only=spec.schedule.ends_only,
            on_activity=_reporter(job, progress),
        )
        run = ArmRun(
            arm=arm,
            training=training,
            seed=job.seed,
            max_length=spec.data.max_length,
            report_to=spec.report_to,
            name=job.run_id,
            study=spec.name,
        )
        ends = (StopAtForm(prepared.observer, arm.stop, writer),) if arm.stop else ()
        start = time.perf_counter()
        with tracked_as(spec.name, job.run_id, spec.output_dir / "trackers"):
            trained = run_sft(run, prepared.base, prepared.data, scratch, callbacks=(*ends, host))
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
        if spec.save_model:
            folder = str(writer.folder / "model")
            trained.model.save_pretrained(folder)
            prepared.base.tokenizer.save_pretrained(folder)
        shutil.rmtree(scratch, ignore_errors=True)
        _finish(writer, prepared, battery.seconds | {"training": elapsed - sum(battery.seconds.values())})


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
    steps = resolve(spec, job.arm).max_steps
    return steps + LOOK_UNITS * len(probe_steps(spec.schedule, steps))


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
