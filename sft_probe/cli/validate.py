"""`sft-probe validate`: everything that can be said about a study before compute is spent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sft_probe.cli.options import SetOption, StudyFile, parse_settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from sft_probe.data.examples import DataSets
    from sft_probe.execute.checking import Checked
    from sft_probe.execute.estimate import Estimate, Reach
    from sft_probe.probes.selection import Selection
    from sft_probe.study.spec import StudySpec

COLUMNS = ("arm", "method", "rows", "tokens per row", "learning rate", "steps", "epochs", "looks", "runs")
GROUPS = ("reads", "interventions", "data", "probes", "needs", "passes", "tokens", "shared", "answers ≤")
LOOKS = ("look", "times", "passes", "tokens", "with padding", "shared", "answers ≤", "seconds each")


def validate(
    file: StudyFile,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Also plan and time it: passes, tokens, seconds, memory.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    settings: SetOption = None,
) -> None:
    """Check a study and its data; train nothing but the few steps that `--estimate` times."""
    from sft_probe.execute.checking import check
    from sft_probe.execute.prepare import stop_on_errors
    from sft_probe.study.yaml import load_study

    spec = load_study(file, overrides=parse_settings(settings))
    study = check(spec)
    if not as_json and study.findings:
        typer.echo("\n".join(study.sentences()))
    stop_on_errors(study.findings, spec.data.allow)
    arms = plan(spec, study.data, study.tokenizer) if estimate else []
    cost = _estimate(spec, study.chosen) if estimate else None
    if as_json:
        typer.echo(json.dumps(_plain(study, arms, cost), indent=1, ensure_ascii=False))
        return
    if cost:
        show_estimate(arms, cost)
    for sentence in study.absences():
        typer.echo(sentence)
    sets = ", ".join(f"{name} {len(study.data[name]):,}" for name in study.data)
    seeds = ", ".join(map(str, spec.seeds))
    typer.echo(f"{file} can run. Arms: {', '.join(spec.arms)}; seeds: {seeds}; rows: {sets}.")


def _plain(study: Checked, arms: list[tuple[object, ...]], cost: Estimate | None) -> dict[str, Any]:
    return {
        "findings": [asdict(finding) for finding in study.findings],
        "rows": {name: len(study.data[name]) for name in study.data},
        "arms": [dict(zip(COLUMNS, row, strict=True)) for row in arms],
        "not_applicable": study.left_out,
        "estimate": asdict(cost) if cost else None,
    }


def _estimate(spec: StudySpec, chosen: Selection) -> Estimate:
    from sft_probe.data.chat import ensure_chat_template
    from sft_probe.execute.estimate import estimate
    from sft_probe.execute.prepare import set_threads, task_folders
    from sft_probe.models.load import load_base

    base = load_base(spec.base)
    set_threads(spec.base, base)
    ensure_chat_template(base.tokenizer, spec.data.chat_template)
    return estimate(spec, base, chosen, task_folders(spec.data.include_path, spec.output_dir))


def show_estimate(arms: list[tuple[object, ...]], cost: Estimate) -> None:
    """The plan as tables, and what it comes to."""
    from sft_probe.cli.tables import print_table

    print_table(COLUMNS, arms, "Training")
    print_table(GROUPS, _group_rows(cost), "One look with all probes")
    print_table(LOOKS, _look_rows(cost), "All looks")
    steps = ", ".join(f"{each.arm} {each.seconds_per_step:.3g} s" for each in cost.trainings)
    typer.echo(
        f"Forward passes of all looks: about {duration(cost.look_seconds)}; judging them comes on top. "
        f"Training: about {duration(cost.training_seconds)} (a step: {steps}). "
        f"Memory: about {cost.peak_memory / 2**30:.2g} GiB. Timed here and now on the model itself."
    )
    if cost.reach:
        typer.echo(reach_sentence(cost.reach))


def reach_sentence(reach: Iterable[Reach]) -> str:
    """The smallest change that will be found, for each data set."""
    parts = (
        f"{each.data} {100 * each.detectable:.1f} points ({each.items:,} items"
        + (f" in {each.clusters:,} clusters)" if each.clusters < each.items else ")")
        for each in reach
    )
    return (
        "Smallest change of accuracy found with 80 % power if one item in ten flips, for these seeds: "
        + "; ".join(parts)
        + ". New seeds differ too; the report says by how much."
    )


def duration(seconds: float) -> str:
    """Seconds, minutes or hours in two digits."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def _group_rows(cost: Estimate) -> list[tuple[object, ...]]:
    """As under `GROUPS`; a pass that reads text of several groups counts in each of them."""
    return [
        (
            group.subject,
            ", ".join(group.under) or "none",
            group.data or "weights",
            ", ".join(group.probes),
            ", ".join(group.needs),
            group.work.passes,
            group.work.tokens,
            group.work.saved,
            group.work.generated,
        )
        for group in cost.groups
    ]


def _look_rows(cost: Estimate) -> list[tuple[object, ...]]:
    stages = [(stage.name, stage.times, stage.work, stage.seconds) for stage in cost.stages]
    rows = [*stages, ("whole study", sum(stage[1] for stage in stages), cost.work, cost.look_seconds)]
    return [
        (name, times, work.passes, work.tokens, work.positions, work.saved, work.generated, round(seconds, 2))
        for name, times, work, seconds in rows
    ]


def plan(spec: StudySpec, data: DataSets, tokenizer: PreTrainedTokenizerBase) -> list[tuple[object, ...]]:
    """What every arm, or each of its stages, will do, as rows under `COLUMNS`; rows include replayed ones.

    Of a pair, the chosen answer is counted.
    """
    from sft_probe.data.mix import replayed_rows
    from sft_probe.study.arms import looks_at, stages_of
    from sft_probe.study.spec import SFT

    lengths = _lengths(spec, data, tokenizer)
    table: list[tuple[object, ...]] = []
    for name, arm in spec.arms.items():
        replay = arm.regulariser.replay
        for stage in stages_of(spec, name):
            training, own = stage.training, lengths[stage.spec.data or "train"]
            replayed = replay if stage.spec.objective == SFT else None
            total = len(own) + (replayed_rows(len(own), replayed.fraction) if replayed else 0)
            batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
            tokens = sum(own) / len(own)
            filled = total * tokens / spec.data.max_length if training.packing else total
            epochs = training.max_steps * batch / filled
            looks = sum(1 for step in looks_at(spec, name) if stage.first < step <= stage.last)
            looks += stage.first == 0
            shown = f"{name} ({stage.name})" if arm.stages else name
            rate, steps = training.learning_rate, training.max_steps
            table.append((shown, arm.method, total, tokens, rate, steps, epochs, looks, len(spec.seeds)))
    return table


def _lengths(
    spec: StudySpec, data: DataSets, tokenizer: PreTrainedTokenizerBase
) -> dict[str, tuple[int, ...]]:
    """Tokens of every row, by the data sets that are trained on."""
    from sft_probe.data.chat import to_trl_row

    names = {stage.data for arm in spec.arms.values() for stage in arm.stages if stage.data} | {"train"}
    return {
        name: tuple(
            len(to_trl_row(e, tokenizer, max_length=spec.data.max_length)["input_ids"]) for e in data[name]
        )
        for name in names
    }
