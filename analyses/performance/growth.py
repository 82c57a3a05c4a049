"""How the cost of a battery grows with items, layers, arms and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from analyses.performance.bench import Result, Row, Settings, Timing, at_most, race
from sft_probe import Battery, Probe
from sft_probe.models.load import pristine
from sft_probe.observe.observer import Observer
from sft_probe.probes.battery import make_probe
from sft_probe.testing.tiny import tiny_data, tiny_model, tiny_tokenizer, tiny_tuned

ITEMS = (32, 64, 128, 256)
LAYERS = (2, 4, 8, 16)
CHECKPOINTS = (1, 2, 4)
ARMS = (1, 2, 4)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe & Ito, safe for colour-blind readers
FLAT = 1.05  # a slope of 1 within what a shared machine lets one tell


def run(settings: Settings) -> Result:
    """On random models, so that only sizes differ."""
    repetitions = min(5, settings.repetitions)
    found = {
        "items": sweep(ITEMS, lambda size: look(items=size), repetitions),
        "layers": sweep(LAYERS, lambda size: look(layers=size), repetitions),
        "checkpoints of an arm": sweep(CHECKPOINTS, lambda size: looks(checkpoints=size), repetitions),
        "arms": sweep(ARMS, lambda size: looks(arms=size), repetitions),
    }
    figure = settings.output_dir / "figures" / "growth.png"
    draw(found, figure)
    return Result(
        name="growth",
        question="How does the cost of a battery grow with what is looked at?",
        goal=f"no slope above 1 on log-log axes (measured: at most {FLAT})",
        rows=tuple(row for name, timings in found.items() for row in rows_of(name, timings)),
        setting={
            "model": "random Llama, 64 dimensions; 4 layers unless they vary",
            "data": "chat questions with four choices; 64 unless they vary",
            "battery": "task_alignment, format_adherence, token_shift, representation_drift, weight_change",
        },
        notes=(
            "A slope below 1 is a fixed cost per look that more of the same shares; the last doubling stands "
            "beside the slope over all sizes, because that is where a steeper law would show first.",
        ),
        figure=figure.name,
    )


Sweep = dict[int, Timing]


def sweep(sizes: tuple[int, ...], make: Callable[[int], Callable[[], object]], repetitions: int) -> Sweep:
    """Time every size, in turn within one process."""
    timings = race({str(size): make(size) for size in sizes}, repetitions)
    return {int(size): timing for size, timing in timings.items()}


def look(*, items: int = 64, layers: int = 4) -> Callable[[], object]:
    """One battery on one checkpoint, the base seen before."""
    observer, tuned = _observed(items, layers)
    battery = Battery(_probes(), observer)
    return lambda: battery.measure(tuned)


def looks(*, arms: int = 1, checkpoints: int = 1) -> Callable[[], object]:
    """A study's looks: the base once, every checkpoint of every arm once."""
    observer, tuned = _observed(64, 4)

    def study() -> None:
        for _ in range(arms):
            battery = Battery(_probes(), observer)
            for _ in range(checkpoints):
                battery.measure(tuned)

    return study


def _observed(items: int, layers: int) -> tuple[Observer, Any]:
    import torch

    model = tiny_model(hidden=64, layers=layers)
    base = pristine(model, tiny_tokenizer(), path="tiny/llama", device=torch.device("cpu"))
    return Observer(base, _data(items)), tiny_tuned(base, scale=0.02)


def _data(items: int) -> Any:
    """`items` different questions; the tiny data has 48 and is told apart by a number."""
    from dataclasses import replace

    from sft_probe.data.examples import Dataset, DataSets, Message

    rows = tiny_data(48)["test"].examples
    many = tuple(
        replace(
            rows[i % 48],
            id=f"q{i}",
            messages=(Message("user", f"{rows[i % 48].messages[0].content} No. {i}"),),
            cluster=f"c{i}",
        )
        for i in range(items)
    )
    return DataSets({"test": Dataset("test", many, "tiny")})


def _probes() -> tuple[Probe, ...]:
    options: dict[str, dict[str, object]] = {
        "task_alignment": {"max_new_tokens": 8},
        "format_adherence": {"max_new_tokens": 8},
        "token_shift": {"max_new_tokens": 8, "limit": None},
        "representation_drift": {"limit": None},
        "weight_change": {},
    }
    return tuple(make_probe(name, given) for name, given in options.items())


def rows_of(name: str, timings: Sweep) -> list[Row]:
    """The slope over all sizes, and that of the last doubling."""
    sizes = sorted(timings)
    last = {size: timings[size] for size in sizes[-2:]}
    cases = ((f"{name}, {sizes[0]} to {sizes[-1]}", timings), (f"{name}, {sizes[-2]} to {sizes[-1]}", last))
    return [
        Row(
            case=case,
            value=slope({size: timing.seconds for size, timing in part.items()}),
            unit="slope",
            goal=at_most(FLAT) if part is timings else None,
            process_value=slope({size: timing.process_seconds for size, timing in part.items()}),
            ours=part[max(part)],
            other=part[min(part)],
        )
        for case, part in cases
    ]


def slope(seconds: dict[int, float]) -> float:
    """Least squares on log-log axes."""
    x, y = np.log(list(seconds)), np.log(list(seconds.values()))
    return float(np.polyfit(x, y, 1)[0])


def draw(found: dict[str, Sweep], path: Path) -> None:
    """One line per kind of growth on log-log axes, with a line of slope 1 for the eye."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    slopes, longest = {}, 1.0
    for (name, timings), colour in zip(found.items(), COLOURS, strict=False):
        sizes = np.array(sorted(timings))
        seconds = np.array([timings[size].process_seconds for size in sizes])
        slopes[name] = slope({int(size): s for size, s in zip(sizes, seconds, strict=True)})
        label = f"{name} ({sizes[0]} to {sizes[-1]}): slope {slopes[name]:.2f}"
        axes.loglog(sizes / sizes[0], seconds / seconds[0], "o-", color=colour, label=label)
        longest = max(longest, sizes[-1] / sizes[0])
    axes.loglog([1, longest], [1, longest], "--", color="grey", label="slope 1: twice as many, twice as long")
    steepest = max(slopes, key=lambda name: slopes[name])
    axes.set_title(
        f"The cost of a battery grows fastest with {steepest}: slope {slopes[steepest]:.2f}", loc="left"
    )
    axes.set(xlabel="times as many", ylabel="times as long (processor time)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(mpl.ticker.LogLocator(base=2))
        axis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
        axis.set_minor_locator(mpl.ticker.NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
