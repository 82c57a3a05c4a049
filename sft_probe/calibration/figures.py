"""Dose-response as small multiples: one panel per reading, with the null band and the limit of detection."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sft_probe.calibration.sentences import plain, plant_name
from sft_probe.report.charts import BAND, COLOURS, INK, QUIET, Panel, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sft_probe.calibration.certificate import Certificate, Response
    from sft_probe.report.words import Words

SIZE = (3.1, 2.3)


def panels(certificate: Certificate, words: Words) -> list[tuple[str, str]]:
    """SVG element and description of every response, headline readings first."""
    ordered = sorted(certificate.responses, key=lambda response: not response.headline)
    made = [_panel(response, words) for response in ordered]
    return [(svg(panel, f"response-{number}"), panel.alt) for number, panel in enumerate(made)]


def _panel(response: Response, words: Words) -> Panel:
    means = _means(response)
    shown = "; ".join(f"{plain(dose)}: {mean:.3g}" for dose, mean in zip(response.doses, means, strict=True))
    plant = plant_name(response.plant, words)
    return Panel(
        title=f"{plant} → {words.metric(response.metric)}",
        draw=partial(_draw, response),
        alt=f"{words.probe(response.probe)}, {words.metric(response.metric)}, {plant}: {shown}",
        size=SIZE,
    )


def _draw(response: Response, axes: Axes) -> None:
    """Doses stand at equal distances, as they are often powers of each other."""
    places = np.arange(len(response.doses))
    if response.null_low is not None and response.null_high is not None:
        axes.axhspan(response.null_low, response.null_high, color=BAND, linewidth=0, zorder=0)
    if response.lod is not None:
        axes.axvline(
            response.doses.index(response.lod), color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1
        )
    for place, row in zip(places, response.values, strict=True):
        known = [value for value in row if value is not None]
        axes.plot([place] * len(known), known, "o", color=COLOURS[0], markersize=3.5, alpha=0.6, zorder=3)
    axes.plot(places, _means(response), color=COLOURS[0] if response.lod is not None else INK, zorder=2)
    axes.set_xticks(places, [plain(dose) for dose in response.doses])
    axes.set_xlabel(response.unit)
    axes.margins(x=0.06)


def _means(response: Response) -> list[float]:
    rows = [[value for value in row if value is not None] for row in response.values]
    return [float(np.mean(row)) if row else float("nan") for row in rows]
