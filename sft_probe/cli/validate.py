"""`sft-probe validate`: everything that can be said about a study before compute is spent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from sft_probe.cli.options import SetOption, StudyFile, parse_settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from sft_probe.data.audit import Finding
    from sft_probe.data.examples import DataSets
    from sft_probe.study.spec import StudySpec

COLUMNS = ("arm", "method", "rows", "tokens per row", "learning rate", "steps", "epochs", "looks", "runs")
MARKS = {"error": "✗", "warning": "!", "info": "·"}


def validate(
    file: StudyFile,
    estimate: Annotated[bool, typer.Option("--estimate", help="Also say what will run.")] = False,
    settings: SetOption = None,
) -> None:
    """Check a study and its data; train nothing."""
    from sft_probe.cli.tables import print_table
    from sft_probe.data.audit import audit
    from sft_probe.data.chat import ensure_chat_template
    from sft_probe.execute.prepare import fitting, load_data, make_probes, stop_on_errors
    from sft_probe.models.load import load_tokenizer, model_path
    from sft_probe.probes.selection import select
    from sft_probe.study.yaml import load_study
    from sft_probe.train.edits.pipeline import make_edits
    from sft_probe.train.sft import make_method

    spec = load_study(file, overrides=parse_settings(settings))
    for arm in spec.arms.values():
        make_method(arm)
        make_edits(arm.edits)
    data = load_data(spec.data, spec.output_dir, seed=spec.data_seed)
    path, trusted = model_path(spec.base.model_name_or_path), spec.base.trust_remote_code
    tokenizer = load_tokenizer(path, trust_remote_code=trusted)
    ensure_chat_template(tokenizer, spec.data.chat_template)
    data = fitting(data, spec.data, tokenizer)
    optional = {probe.name for probe in spec.probes if probe.optional}
    chosen = select(make_probes(spec.probes), data, optional=optional)
    findings = audit(data["train"], data["test"], tokenizer, spec.data.max_length)
    show(findings)
    stop_on_errors(findings, spec.data.allow)
    if estimate:
        print_table(COLUMNS, plan(spec, data, tokenizer))
    for name, reason in chosen.not_applicable.items():
        typer.echo(f"· {name} will not be measured: {reason}")
    sets = ", ".join(f"{name} {len(data[name]):,}" for name in data)
    seeds = ", ".join(map(str, spec.seeds))
    typer.echo(f"{file} can run. Arms: {', '.join(spec.arms)}; seeds: {seeds}; rows: {sets}.")


def show(findings: Iterable[Finding]) -> None:
    """One line per finding, worst first."""
    for finding in findings:
        typer.echo(f"{MARKS[finding.severity]} {finding.code}: {finding.message}")


def plan(spec: StudySpec, data: DataSets, tokenizer: PreTrainedTokenizerBase) -> list[tuple[object, ...]]:
    """What every arm will do, as rows under `COLUMNS`; rows include replayed ones."""
    from sft_probe.data.chat import to_trl_row
    from sft_probe.data.mix import replayed_rows
    from sft_probe.study.arms import resolve
    from sft_probe.study.schedule import probe_steps

    rows = [to_trl_row(e, tokenizer, max_length=spec.data.max_length) for e in data["train"]]
    tokens = sum(len(row["input_ids"]) for row in rows) / len(rows)
    table: list[tuple[object, ...]] = []
    for name, arm in spec.arms.items():
        training, replay = resolve(spec, name), arm.regulariser.replay
        total = len(rows) + (replayed_rows(len(rows), replay.fraction) if replay else 0)
        batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
        looks = len(probe_steps(spec.schedule, training.max_steps))
        epochs = training.max_steps * batch / total
        rate, steps = training.learning_rate, training.max_steps
        table.append((name, arm.method, total, tokens, rate, steps, epochs, looks, len(spec.seeds)))
    return table
