"""`sft-probe world`: the planted world, its base model, and the gates that base had to pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sft_probe.cli.options import OutputOption

app = typer.Typer(
    help="Make the planted world, pretrain its base, check its gates.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def generate(
    output_dir: OutputOption = Path("world"),
    seed: Annotated[int, typer.Option(help="Another seed makes another world.")] = 0,
) -> None:
    """Write the planted world to disk.

    Truth tables, task sets, replay text and benchmarks.
    """
    from sft_probe.world import materialise

    typer.echo(materialise(output_dir, seed).root)


@app.command()
def pretrain(
    output_dir: OutputOption = Path("world/base"),
    work: Annotated[Path, typer.Option(help="Folder for checkpoints; the same folder resumes.")] = Path(
        "world/work"
    ),
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 2,
) -> None:
    """Pretrain the base on the planted world.

    By the committed recipe; takes hours on two cores and can be resumed.
    """
    import logging

    from sft_probe.world import pretrain as train

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    typer.echo(train(work, output_dir, threads=threads))


@app.command()
def gates(
    model: Annotated[
        Path | None, typer.Argument(help="Folder of a base; the shipped one if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the world the base has read about.")] = 0,
) -> None:
    """Check a base against the gates set before its training.

    Exit code 2 if one does not hold.
    """
    from sft_probe.cli.tables import print_table
    from sft_probe.world import base_path, evaluate_gates

    found = evaluate_gates(model or base_path(), seed)
    print_table(
        ("gate", "rule", "hits", "n", "share", "low", "high", "holds"),
        [
            (g.name, g.rule, g.hits, g.n, g.share, g.low, g.high, "yes" if g.passed else "NO")
            for g in (*found.gates, *found.context)
        ],
    )
    found.require()
