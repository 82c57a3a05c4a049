from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from sft_probe.report.charts import COLOURS, Chart, Panel, step_axis, svg
from sft_probe.report.charts import draw as draw_chart
from sft_probe.report.figures_cost import cost
from sft_probe.report.findings import Findings
from sft_probe.report.pictures import NARROWEST, as_png, picture
from sft_probe.report.sheets import sheet
from sft_probe.report.words import Words


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("paper", ["#ffffff", "#15181c"])
def test_arm_colours_can_be_seen_in_light_and_dark(colour: str, paper: str) -> None:
    light, dark = sorted((luminance(colour), luminance(paper)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_a_panel_obeys_a_policy_without_inline_styles() -> None:
    panel = Panel(title="<b>Title</b>", draw=lambda axes: axes.plot([0, 1], [1, 0]) and None, alt="")
    element = svg(panel, "name")
    root = ET.fromstring(element)
    assert root.tag.endswith("svg")
    assert "style=" not in element
    assert "<style" not in element
    assert "<b>" not in element
    assert "&lt;b&gt;Title" in element


def test_the_same_panel_is_drawn_the_same_twice() -> None:
    panel = Panel(title="t", draw=lambda axes: axes.plot([0, 1], [1, 0]) and None, alt="")
    assert svg(panel, "name") == svg(panel, "name")


def test_a_sheet_holds_title_legend_and_all_panels(found: Findings) -> None:
    chart = next(c for c in cost(found, Words()) if isinstance(c, Chart) and c.legend)
    text = sheet(draw_chart(chart))
    root = ET.fromstring(text)
    assert len(root.findall("{http://www.w3.org/2000/svg}svg")) == len(chart.panels)
    shown = re.sub(r"\s+", " ", "".join(root.itertext()))
    assert all(arm.label in shown for arm in chart.legend)
    assert chart.title.split()[0] in shown


def test_a_study_that_taught_nothing_has_no_price(found: Findings) -> None:
    assert any(found.shown_learned.values())
    idle = replace(found, shown_learned=dict.fromkeys(found.shown_learned, 0))
    titles = [{chart.name: chart.title for chart in cost(one, Words())}["frontier"] for one in (found, idle)]
    assert titles[0] != titles[1] == Words()("chart.frontier.unlearned")


def test_a_picture_is_a_png_of_the_same_chart(found: Findings) -> None:
    chart = next(c for c in cost(found, Words()) if isinstance(c, Chart) and c.legend)
    content = as_png(picture(replace(chart, panels=chart.panels[:1])), 150)
    assert content.startswith(b"\x89PNG")
    width = int.from_bytes(content[16:20])
    assert width == round(150 * max(chart.panels[0].size[0], NARROWEST))


def test_ticks_of_looks_that_are_near_leave_room_for_each_other() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    step_axis(axes, (0, 15, 30, 45, 60, 90, 120, 240), "step")
    assert list(axes.get_xticks()) == [0, 15, 30, 60, 120, 240]
