"""`sft-probe calibrate`: test every probe like a measuring instrument, and write its certificate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_probe.cli.options import ExecutorOption, LangOption, WithOption, executor_of
from sft_probe.errors import GateNotMet, SpecError, nearest

if TYPE_CHECKING:
    from sft_probe.calibration.making import Order
    from sft_probe.calibration.plan import Mode

DEFAULT = Path("runs/calibration")


def calibrate(
    quick: Annotated[bool, typer.Option("--quick", help="The gate: few plants, three doses.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Everything; takes hours.")] = False,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Folder for cells and page.")
    ] = DEFAULT,
    plants: Annotated[str, typer.Option("--plants", metavar="A,B", help="Only these plants.")] = "",
    base: Annotated[
        str, typer.Option("--base", metavar="MODEL", help="A base of your own, with --data.")
    ] = "",
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="Rows of your own to plant into.")] = "",
    executor: ExecutorOption = "local",
    options: WithOption = None,
    lang: LangOption = "en",
) -> None:
    """Plant effects of known size, and write what each probe finds of them: certificate.html, .md and .json.

    With --base and --data they are planted into your rows with small LoRA runs. Run it again to go on where
    it was stopped. With --quick, exit code 2 says that a probe is not calibrated.
    """
    from sft_probe.calibration.making import make, seconds_left
    from sft_probe.calibration.page import write_outputs
    from sft_probe.calibration.verdicts import gate
    from sft_probe.cli.progress import Bar

    place = executor_of(executor, options)
    order = _order(_mode(quick, full, base, data), output_dir, plants, base, data)
    with Bar() as bar:
        for name, why in order.left_out.items():
            bar.note(f"{name} is not planted: {why}")
        cells = sum(len(task.cells) for task in order.tasks())
        bar.note(f"{len(order.plants)} plants, {cells} cells, about {_minutes(seconds_left(order, place))}")
        certificate = make(order, command=_command(), executor=place, progress=bar)
    typer.echo(write_outputs(certificate, output_dir, lang))
    typer.echo(f"Goals missed: {len(certificate.missed)}.")
    if order.mode == "quick" and (missed := gate(certificate, order.probes)):
        raise GateNotMet(" ".join(missed))


def _mode(quick: bool, full: bool, base: str, data: str) -> Mode:
    if quick and full:
        raise SpecError("--quick and --full exclude each other.")
    if bool(base) != bool(data):
        raise SpecError("--base and --data belong together.", remedy="Give both, or neither.")
    if base and (quick or full):
        raise SpecError("--quick and --full are for the planted base.", remedy="Leave them out with --base.")
    return "own" if base else "full" if full else "quick"


def _order(mode: Mode, folder: Path, named: str, base: str, data: str) -> Order:
    from sft_probe.calibration.making import Order
    from sft_probe.calibration.plants import PLANTS

    left_out: dict[str, str] = {}
    if mode == "own":
        from sft_probe.calibration.plants.own import Own, own_plants
        from sft_probe.execute.prepare import load_data
        from sft_probe.study.spec import DataSpec

        rows = load_data(DataSpec(train=data), folder, seed=0)["train"]
        known, left_out = own_plants(Own(base=base, data={"train": data}), rows)
    else:
        known = tuple(plant for plant in PLANTS if plant.quick or mode == "full" or named)
    if named:
        names = {plant.name for plant in known}
        for name in (wanted := named.split(",")):
            if name not in names:
                raise SpecError(f"there is no plant '{name}'.", field="--plants", remedy=nearest(name, names))
        known = tuple(plant for plant in known if plant.name in wanted)
    return Order(mode=mode, plants=known, folder=folder, base=base or "planted", data=data, left_out=left_out)


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _command() -> str:
    return " ".join(["sft-probe", *sys.argv[1:]])
