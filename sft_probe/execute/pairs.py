"""Measure checkpoints that were trained elsewhere against their base. Each becomes a run of one look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from torch import nn

from sft_probe.data.chat import ensure_chat_template
from sft_probe.data.examples import DataSets
from sft_probe.errors import ModelError
from sft_probe.execute.prepare import (
    Prepared,
    describe_environment,
    load_data_set,
    make_probes,
    needs_of,
    set_threads,
    task_folders,
)
from sft_probe.models.digest import weights_digest
from sft_probe.models.load import LoadedModel, load_base, load_tuned
from sft_probe.observe.cache import cache_folder
from sft_probe.observe.observer import Observer
from sft_probe.probes.selection import select
from sft_probe.store.documents import write_audit, write_environment, write_probes
from sft_probe.store.lock import locked
from sft_probe.store.runs import BASE, RunStore
from sft_probe.study.progress import Progress, Silent
from sft_probe.study.spec import ModelSpec, ProbeSpec


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A base, checkpoints tuned from it (folders, hub ids or peft adapters), and what to look at."""

    base: ModelSpec
    tuned: tuple[str, ...]
    data: str
    output_dir: Path
    probes: tuple[ProbeSpec, ...]
    others: tuple[tuple[str, str], ...] = ()  # further named data sets: (name, source)
    include_path: tuple[str, ...] = ()
    max_test_rows: int | None = None
    chat_template: str | None = None


def probe_checkpoints(pairs: Pairs, *, progress: Progress | None = None) -> Prepared:
    """Look at the base and at every checkpoint with the same battery; leave one run per checkpoint.

    Raises: InputError before any compute if a probe, the data or the base cannot be used, ModelError if a
    checkpoint does not fit its base.
    """
    progress = progress or Silent()
    with locked(pairs.output_dir):
        prepared = _prepare(pairs)
        store = RunStore(pairs.output_dir)
        progress.note(f"device: {prepared.base.device}")
        progress.start(1 + len(pairs.tuned))
        try:
            look(BASE, None, prepared, store, progress)
            for name, path in names_of(pairs.tuned).items():
                look(name, path, prepared, store, progress)
        finally:
            progress.close()
    return prepared


def _prepare(pairs: Pairs) -> Prepared:
    sources = {"test": pairs.data, **dict(pairs.others)}
    data = DataSets(
        {
            name: load_data_set(
                source, name, pairs.output_dir, limit=pairs.max_test_rows if name == "test" else None
            )
            for name, source in sources.items()
        }
    )
    make_probes(pairs.probes)  # a wrong option is said before the base is loaded
    base = load_base(pairs.base)
    set_threads(pairs.base, base)
    ensure_chat_template(base.tokenizer, pairs.chat_template)
    return prepare_looks(
        base,
        data,
        pairs.probes,
        pairs.output_dir,
        named=pairs.base.model_name_or_path,
        include_path=pairs.include_path,
    )


def prepare_looks(
    base: LoadedModel,
    data: DataSets,
    specs: Sequence[ProbeSpec],
    output_dir: Path,
    *,
    named: str = "",
    include_path: Sequence[str] = (),
) -> Prepared:
    """What looks at models of one base share, where training is somebody else's. Keeps what a report needs.

    named: what the base is called in the report; its path if empty.
    Raises: InputError if a probe cannot be made or lacks its data.
    """
    probes = make_probes(specs)
    chosen = select(probes, data, optional={probe.name for probe in specs if probe.optional})
    asked = any(getattr(need, "tasks", ()) for need in needs_of(chosen.probes))  # lm-eval tasks
    environment = describe_environment(ModelSpec(model_name_or_path=named or base.path), base, data)
    write_audit(output_dir, ())
    write_environment(output_dir, environment)
    write_probes(output_dir, {probe.name: probe.about for probe in probes}, chosen.not_applicable)
    observer = Observer(
        base,
        chosen.data,
        benchmark_paths=task_folders(include_path, output_dir) if asked else (),
        cache=cache_folder(output_dir),
    )
    return Prepared(
        base=base,
        given=data,
        data=chosen.data,
        observer=observer,
        probes=chosen.probes,
        findings=(),
        environment=environment,
    )


def look(
    name: str,
    tuned: str | nn.Module | None,
    prepared: Prepared,
    store: RunStore,
    progress: Progress,
) -> None:
    """One run: the base's own rows at step 0 and, for a checkpoint or model, its rows at step 1.

    tuned: None for the base's own run. A run that stands finished under the same digest is kept.
    Raises: ModelError if a checkpoint does not fit its base.
    """
    path = tuned if isinstance(tuned, str) else name if tuned is not None else prepared.base.path
    model = load_tuned(tuned, prepared.base) if isinstance(tuned, str) else tuned
    content = (
        f"{prepared.environment['data']}{prepared.base.digest}"
        f"{weights_digest(model or prepared.base.model)}{prepared.probes!r}"
    )
    config = {
        "arm": name,
        "seed": 0,
        "digest": sha256(content.encode()).hexdigest(),
        "label": "base model" if model is None else name,
        "model_name_or_path": path,
        "probes": {probe.name: repr(probe) for probe in prepared.probes},
    }
    if not store.finished(name, str(config["digest"]), progress.note):
        with store.open_run(name, config=config, environment=prepared.environment) as writer:
            looks = (prepared.base.model,) if model is None else (prepared.base.model, model)
            for step, subject in enumerate(looks):  # training was not watched: "step" 1 is after it
                battery = prepared.battery()
                found = battery.measure(subject, on_probe=_reporter(name, step, progress))
                for probe, measurements in found.items():
                    writer.append(step, probe, measurements)
            for activity, seconds in battery.seconds.items():
                writer.spent(activity, seconds)
            writer.note(
                device=str(prepared.base.device),
                token_budget=prepared.observer.budget.tokens,
                total_parameters=sum(p.numel() for p in prepared.base.model.parameters()),
            )
            writer.finish()
    progress.advance(1)


def _reporter(name: str, step: int, progress: Progress) -> Callable[[str], None]:
    return lambda probe: progress.activity(name, 0, step, probe)


def names_of(paths: Sequence[str]) -> dict[str, str]:
    """A run id for each checkpoint: the name of its folder, which must differ from the others.

    Raises: ModelError if two checkpoints would share a name.
    """
    names: dict[str, str] = {}
    for path in paths:
        name = Path(path).name or path
        if name in names or name == BASE:
            raise ModelError(
                f"the name '{name}' is taken by another model of this comparison.",
                file=path,
                remedy="Rename or link the folder, so that every checkpoint has a name of its own.",
            )
        names[name] = path
    return names
