"""`sft-probe ls`: what is there: runs of a study, registered components, and families of models."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sft_probe.cli.options import StudyFolder

if TYPE_CHECKING:
    from sft_probe.models.load import LoadedModel

app = typer.Typer(help="List runs, probes, methods and formats.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def runs(folder: StudyFolder) -> None:
    """Runs of a study: finished, failed and begun."""
    from sft_probe.cli.tables import print_table
    from sft_probe.store.runs import RunStore

    store = RunStore(folder)
    rows: list[tuple[object, ...]] = [
        (
            *(r.run, r.status, r.label, r.seed, len(r.steps), sum(r.seconds.values()), r.device),
            *(r.token_budget or None, r.started),
        )
        for r in store.runs()
    ]
    rows += [(f.run, "failed", f.arm, f.seed, None, None, "", None, "") for f in store.failures()]
    rows += [(run, "unfinished", "", None, None, None, "", None, "") for run in store.unfinished()]
    columns = ("run", "status", "arm", "seed", "looks", "seconds", "device", "tokens per pass", "started")
    print_table(columns, rows)


@app.command()
def probes() -> None:
    """Registered probes and the question each answers."""
    found = [
        (name, part.about.axis, _needs(part), part.about.cost, part.about.question)
        for name, part in _components("probes")
    ]
    _print(("probe", "axis", "needs", "cost", "question"), found)


@app.command()
def methods() -> None:
    """Registered ways to fine-tune, with the share of the planted base's weights that each trains."""
    from sft_probe.models.load import load_base
    from sft_probe.study.spec import ModelSpec

    base = load_base(ModelSpec(device="cpu"))
    found = [
        (name, _trainable(part, base), ", ".join(_options(part)), _about(part))
        for name, part in _components("methods")
    ]
    _print(("method", "trainable", "options", "what it does"), found)


@app.command()
def regularisers() -> None:
    """Registered regularisers, with their options."""
    found = [(name, ", ".join(_options(part)), _about(part)) for name, part in _components("regularisers")]
    _print(("regulariser", "options", "what it does"), found)


@app.command()
def objectives() -> None:
    """Registered objectives of the stages of an arm, with their options."""
    found = [(name, ", ".join(_options(part)), _about(part)) for name, part in _components("objectives")]
    _print(("objective", "options", "what it does"), found)


@app.command()
def edits() -> None:
    """Registered changes to the training rows, with their options."""
    found = [(name, ", ".join(_options(part)), _about(part)) for name, part in _components("edits")]
    _print(("edit", "options", "what it does"), found)


@app.command()
def formats() -> None:
    """Registered formats of data rows."""
    _print(("format", "rows"), [(name, _about(part)) for name, part in _components("formats")])


@app.command()
def executors() -> None:
    """Registered places where the runs of a study are made, with their options."""
    found = [(name, ", ".join(_options(part)), _about(part)) for name, part in _components("executors")]
    _print(("executor", "options", "what it does"), found)


@app.command()
def architectures(
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Families of models, found out by trying: what works, in full and with LoRA, and what does not."""
    from importlib import resources

    found = json.loads((resources.files("sft_probe.testing") / "architectures.json").read_text("utf-8"))
    if as_json:
        typer.echo(json.dumps(found["rows"], indent=1))
        return
    rows = [tuple(row.values()) for row in found["rows"]]
    _print(tuple(name.replace("_", " ") for name in found["rows"][0]), rows)
    tried = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    typer.echo(
        f"Tried on tiny random models with {tried}. Registered by other packages: {_foreign() or 'none'}."
    )


def _foreign() -> str:
    from sft_probe.registry import available

    return ", ".join(available("architectures"))


def _components(kind: Any) -> list[tuple[str, Any]]:
    from sft_probe.registry import available, load

    return [(name, load(kind, name)) for name in available(kind)]


def _trainable(method: Any, base: LoadedModel) -> str:
    """What a method with its default options trains of a base, in per cent, or why it cannot."""
    from sft_probe.errors import ModelError
    from sft_probe.models.load import trainable_copy

    try:
        model = method().adapt(trainable_copy(base))
    except ModelError:
        return "not here"
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return f"{trained / base.model.num_parameters():.3%}"


def _needs(probe: Any) -> str:
    """What a probe with its default options asks to see, each kind once."""
    return ", ".join(dict.fromkeys(type(need).__name__ for need in probe().needs()))


def _options(part: Any) -> list[str]:
    return [f"{f.name}={_default(f)!r}" for f in fields(part)] if is_dataclass(part) else []


def _default(option: Field[Any]) -> Any:
    return option.default if option.default_factory is MISSING else option.default_factory()


def _about(part: Any) -> str:
    """First line of the docstring; of the wrapped function, where a format is an object."""
    return str(getattr(part, "read", part).__doc__ or "").strip().partition("\n")[0]


def _print(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from sft_probe.cli.tables import print_table

    print_table(columns, rows)
