"""`sft-probe probe`: measure checkpoints that were trained elsewhere against their base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sft_probe.cli.options import LangOption, OutputOption
from sft_probe.errors import SpecError
from sft_probe.probes import STANDARD

if TYPE_CHECKING:
    from sft_probe.study.spec import ProbeSpec

BENCHMARKS = "forgetting"  # the probe that takes lm-eval tasks


def probe(
    base: Annotated[str, typer.Argument(help="The base model: a folder, a hub id, or `planted`.")],
    tuned: Annotated[
        list[str], typer.Argument(metavar="TUNED...", help="Checkpoints or peft adapters trained from it.")
    ],
    *,
    data: Annotated[str, typer.Option("--data", help="Rows to probe on: a file, a folder or a hub id.")],
    output_dir: OutputOption = Path("runs/probe"),
    probes: Annotated[
        str, typer.Option(help="Probes, separated by commas; see `sft-probe ls probes`.")
    ] = ",".join(STANDARD),
    tasks: Annotated[
        str, typer.Option(help=f"lm-eval tasks, separated by commas; adds the probe `{BENCHMARKS}`.")
    ] = "",
    include_path: Annotated[
        list[str] | None, typer.Option(help="Folder with lm-eval task YAML. Repeatable.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many rows to probe on at most.")] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], typer.Option(help="Type of the weights.")
    ] = "float32",
    lang: LangOption = "en",
) -> None:
    """Measure finished checkpoints against their base.

    They may have been trained anywhere. Leaves one run per checkpoint, and a report.
    """
    chosen = chosen_probes(probes, tasks)

    from sft_probe.cli.progress import Bar
    from sft_probe.execute.pairs import Pairs, probe_checkpoints
    from sft_probe.report import build_report
    from sft_probe.study.spec import ModelSpec

    pairs = Pairs(
        base=ModelSpec(model_name_or_path=base, device=device, dtype=dtype),
        tuned=tuple(tuned),
        data=data,
        output_dir=output_dir,
        probes=chosen,
        include_path=tuple(include_path or ()),
        max_test_rows=limit,
    )
    with Bar() as bar:
        probe_checkpoints(pairs, progress=bar)
        bar.note("writing the report")
        paths = build_report(output_dir, lang=lang)
    typer.echo(paths.html)


def chosen_probes(probes: str, tasks: str) -> tuple[ProbeSpec, ...]:
    """Probes by name, each once; with tasks, the one for benchmarks as well.

    Raises: SpecError if none is named, or benchmarks are asked for without tasks.
    """
    from sft_probe.study.spec import ProbeSpec

    names = dict.fromkeys(_listed(probes) + ([BENCHMARKS] if tasks else []))
    if not names:
        raise SpecError("no probe is named.", field="--probes", remedy="See sft-probe ls probes.")
    if BENCHMARKS in names and not _listed(tasks):
        raise SpecError(f"the probe '{BENCHMARKS}' needs lm-eval tasks.", remedy="Add --tasks, e.g. world.")
    options = {BENCHMARKS: {"tasks": _listed(tasks)}}
    return tuple(ProbeSpec(name=name, options=options.get(name, {})) for name in names)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
