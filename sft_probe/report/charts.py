"""What every figure shares: panels, colours, axes, and an SVG that a strict page can hold.

A chart is a set of small panels, so that a phone shows one panel per row at readable size. Its title,
subtitle and legend are text of the page; `sheets.sheet` puts all of it into one file.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sft_probe.report.cells import Table
from sft_probe.report.numbers import MINUS
from sft_probe.report.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sft_probe.report.material import Arm

# Told apart by readers with any colour vision (after Okabe & Ito), each at 3:1 or more on white and on
# near-black. Grey is the base model's. Markers repeat what colours say.
COLOURS = ("#0072b2", "#d55e00", "#00906a", "#b3589a", "#a07800", "#5c6bc0", "#8c5a3c", "#2b8a94")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")
INK, QUIET, FAINT, BAND = "#1f2328", "#59636e", "#d1d5da", "#e8ebee"
SIZE, PIXELS = (3.6, 2.5), 112  # inches of one panel, and how wide an inch is on the page

LETTERS = 10  # of a title per inch of a panel
TICKS_APART = 1.6  # times the step before, for both numbers of a logarithmic axis to have room
FONT = Path(__file__).parent / "fonts" / "chinese.ttf"
CHINESE = "sft_probe Chinese"  # its name; it has what the word catalogues say, and no more
INSTALLED = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Microsoft YaHei",
    "SimHei",
)
"""Chinese fonts to prefer, as they also have the letters of names that the catalogues do not know."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sft_probe",
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": QUIET,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.prop_cycle": "cycler('color', ['#1f2328'])",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One set of axes. alt: what a reader who cannot see it should know."""

    title: str
    draw: Callable[[Axes], None]
    alt: str
    size: tuple[float, float] = SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure of the report with the table of the same numbers.

    title: its finding.  subtitle: measure, unit, data, n, seeds.  note: how to read it, one line.
    """

    name: str
    title: str
    subtitle: str
    panels: tuple[Panel, ...]
    table: Table
    note: str = ""
    legend: tuple[Arm, ...] = ()


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart with its panels as SVG elements, in order."""

    chart: Chart
    panels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A figure that cannot be drawn, and why."""

    name: str
    title: str
    reason: str


def colour(arm: Arm) -> str:
    """The arm's colour in every figure."""
    return COLOURS[arm.position % len(COLOURS)]


def marker(arm: Arm) -> str:
    """The arm's marker in every figure."""
    return MARKERS[arm.position % len(MARKERS)]


@contextmanager
def styled() -> Iterator[None]:
    """The look of all figures; restores what was set before."""
    import logging

    import matplotlib as mpl

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # the shipped font has no bold
    # by name: of a generic family such as "sans-serif" matplotlib takes the first font for every letter
    with mpl.rc_context({**_STYLE, "font.family": families()}):
        yield


@cache
def families() -> tuple[str, ...]:
    """Fonts of figures, of which the first that has a letter draws it; the shipped one comes last."""
    from matplotlib import font_manager

    font_manager.fontManager.addfont(FONT)
    known = set(font_manager.get_font_names())
    return ("DejaVu Sans", *(name for name in INSTALLED if name in known), CHINESE)


def svg(panel: Panel, name: str) -> str:
    """One panel as an SVG element: text as text, no style attributes, a width to shrink from.

    name: makes the ids inside differ from those of other figures of the page.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with styled(), mpl.rc_context({"svg.hashsalt": name}):
        figure = Figure(figsize=panel.size)
        panel.draw(figure.add_subplot())
        figure.axes[0].set_title(heading(panel), y=1.0)  # else its place is sought three times over
        _fit(figure)
        return inline(_svg_text(figure), round(panel.size[0] * PIXELS))


def _fit(figure: Figure) -> None:
    """Let labels and titles reach the edges. matplotlib's own way draws everything three times."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    figure.set_dpi(72)  # in which SVG is written
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.axes[0].apply_aspect()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    outer = Bbox.union([box for box in boxes if box is not None])
    inner = Bbox.union([axes.get_position().transformed(figure.transFigure) for axes in figure.axes])
    width, height = figure.bbox.size
    pad = 10  # points
    figure.subplots_adjust(
        left=(inner.x0 - outer.x0 + pad) / width,
        right=1 - (outer.x1 - inner.x1 + pad) / width,
        bottom=(inner.y0 - outer.y0 + pad) / height,
        top=1 - (outer.y1 - inner.y1 + pad) / height,
    )


def inline(text: str, width: int) -> str:
    """An SVG document as an element for a page whose policy forbids inline styles.

    Style attributes become presentation attributes, which a style sheet can then overrule for dark mode.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<(defs)>\s*<style.*?</style>\s*</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 width="{width}"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) version="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"\sstyle=\"([^\"]*)\"", lambda match: _attributes(match.group(1)), text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    return re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL).strip()


def _attributes(style: str) -> str:
    """Declarations as attributes; the `font` shorthand, which has no attribute, becomes its parts."""
    found = []
    for name, value in re.findall(r"([\w-]+):\s*([^;]+)", style):
        if name == "font":
            size = re.search(r"([\d.]+)px", value)
            found.append(f'font-size="{size.group(1) if size else 9}"')
            if "bold" in value or "700" in value:
                found.append('font-weight="bold"')
        elif name not in {"image-rendering", "font-family"}:
            found.append(f'{name}="{value.strip()}"')
    return "".join(f" {attribute}" for attribute in found)


def draw(chart: Chart) -> Drawing:
    """Draw every panel of a chart."""
    return Drawing(
        chart, tuple(svg(panel, f"{chart.name}-{place}") for place, panel in enumerate(chart.panels))
    )


def heading(panel: Panel) -> str:
    """A panel's title in lines that fit its width."""
    return "\n".join(wrapped(panel.title, round(LETTERS * panel.size[0])))


def _svg_text(figure: Figure) -> str:
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def null_line(axes: Axes, value: float, *, vertical: bool = False, width: float = 0.0) -> None:
    """What the measure would be without any effect: a grey line, and a band if a width is known."""
    if not np.isfinite(value):
        return
    line, span = (axes.axvline, axes.axvspan) if vertical else (axes.axhline, axes.axhspan)
    if width > 0:
        span(value - width, value + width, color=BAND, linewidth=0, zorder=0)
    line(value, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0.5)


def step_axis(axes: Axes, steps: Sequence[int], label: str) -> None:
    """A logarithmic axis that has room for step 0, with a tick at each look whose number has room."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ordered = sorted(set(steps))
    axes.set_xscale("symlog", linthresh=1, linscale=0.6)
    axes.xaxis.set_minor_locator(NullLocator())
    if len(ordered) > 8:  # every step, as in a training log: powers of ten and the last
        tens = [10**power for power in range(7) if 2.5 * 10**power < ordered[-1]]
        ordered = [*(step for step in ordered[:1] if step == 0), *tens, ordered[-1]]
    axes.xaxis.set_major_locator(FixedLocator(_with_room(ordered)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(label)


def _with_room(ordered: Sequence[int]) -> list[int]:
    """The last of some rising steps, and those before that are not too near to the next one kept."""
    kept = list(ordered[-1:])
    for step in reversed(ordered[:-1]):
        if step * TICKS_APART <= kept[0]:
            kept.insert(0, step)
    return kept


def in_percent(axes: Axes, *, vertical: bool) -> None:
    """Label a share axis in per cent."""
    axis: Any = axes.yaxis if vertical else axes.xaxis
    axis.set_major_formatter(lambda value, _: f"{100 * value:g}".replace("-", MINUS))


def rows_of_arms(axes: Axes, arms: Sequence[Arm]) -> None:
    """One row per arm, the first on top."""
    axes.set_yticks(range(len(arms)), [_short(arm.label) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for label in axes.get_yticklabels():
        label.set_color(INK)


def _short(label: str, limit: int = 18) -> str:
    return label if len(label) <= limit else label[: limit - 1] + "…"
