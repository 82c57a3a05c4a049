"""One arm with one seed: from its settings to a finished run in the store."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sft_probe.execute.prepare import Prepared
from sft_probe.observe.ranks import Ranks
from sft_probe.schema import RELEARNING
from sft_probe.store.atomic import make_durable
from sft_probe.store.documents import write_edits
from sft_probe.store.runs import RunStore, RunWriter
from sft_probe.study.arms import Job, Stage, looks_at, resolve, stages_of
from sft_probe.study.progress import Progress
from sft_probe.study.schedule import stage_steps
from sft_probe.study.spec import SFT
from sft_probe.train.divergence import StopIfDiverged
from sft_probe.train.edits.pipeline import make_edits
from sft_probe.train.host import ProbeHost
from sft_probe.train.relearning import Patient, relearn
from sft_probe.train.sft import ArmRun
from sft_probe.train.stages import train_arm
from sft_probe.train.stopping import StopAtForm
from sft_probe.train.trackers import tracked_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import TrainerCallback

    from sft_probe.probes.battery import Battery
    from sft_probe.study.spec import StudySpec

LOOK_UNITS = 12  # one look at a model costs about as much as this many training steps; steers only the bar


def run_job(spec: StudySpec, job: Job, prepared: Prepared, store: RunStore, progress: Progress) -> None:
    """Train one arm with one seed while the battery looks, and leave a finished run in the store."""
    arm = spec.arms[job.arm]
    digest = digest_of(job.digest, prepared)
    prepared.observer.forget()
    prepared, changes = prepared.edited(make_edits(arm.edits), job.seed)
    battery = prepared.battery()
    config = _settings(spec, job, prepared, digest)
    with store.open_run(job.run_id, config=config, environment=prepared.environment) as writer:
        if changes:
            write_edits(writer.folder, ({"edit": edit, **change._asdict()} for edit, change in changes))
        scratch = writer.folder / "trainer"
        run = ArmRun(
            arm=arm,
            training=resolve(spec, job.arm),
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
            began = time.perf_counter()
            patient = Patient(
                tuned=trained.model,
                base=prepared.base,
                observer=prepared.observer,
                training=run.training,
                seed=job.seed,
            )
            writer.append(trained.steps, RELEARNING, relearn(patient, spec.revive, scratch))
            writer.spent(RELEARNING, time.perf_counter() - began)
        if spec.save_model and Ranks.here().first:
            folder = str(writer.folder / "model")
            trained.model.save_pretrained(folder)
            prepared.base.tokenizer.save_pretrained(folder)
            make_durable(writer.folder / "model")
        shutil.rmtree(scratch, ignore_errors=True)
        finish(writer, prepared, battery.seconds | {"training": elapsed - sum(battery.seconds.values())})


def _settings(spec: StudySpec, job: Job, prepared: Prepared, digest: str) -> dict[str, Any]:
    """What a run was made with, for its folder."""
    arm = spec.arms[job.arm]
    settings = {
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
        "training": resolve(spec, job.arm).model_dump(),
        "base": spec.base.model_dump(),
        "data": spec.data.model_dump(),
        "probes": {probe.name: asdict(probe) for probe in prepared.probes},  # type: ignore[call-overload]
    }
    plain: dict[str, Any] = _plain(settings)
    return plain


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


def finish(writer: RunWriter, prepared: Prepared, seconds: dict[str, float]) -> None:
    """Close a run, with the wall seconds of its activities."""
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


def units(spec: StudySpec, job: Job) -> int:
    """What a job is on the progress bar: training steps, and looks in `LOOK_UNITS`."""
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


def digest_of(settings: str, prepared: Prepared) -> str:
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
