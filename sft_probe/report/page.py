"""The self-contained HTML page. What a model said is text: escaped by Jinja, or data for `textContent`."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sft_probe.report.browser import CHANGES
from sft_probe.report.charts import CHINESE, COLOURS, FONT, INSTALLED, Chart
from sft_probe.report.marks import PROBE_OF
from sft_probe.report.shading import LEVELS, level
from sft_probe.report.tiles import HEIGHT, WIDTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sft_probe.report.cells import Table
    from sft_probe.report.charts import Drawing
    from sft_probe.report.story import Story
    from sft_probe.report.words import Words

HAN = "U+2E80-9FFF, U+FF00-FFEF"  # Chinese characters and their punctuation
OPEN_ROWS = 16  # a longer table starts closed, so that the page can be read from top to bottom
ITEM_WORDS = (
    *(f"change.{change}" for change in CHANGES),
    *(
        f"items.{key}"
        for key in "any found more asked expected before after seed nothing map near nats".split()
    ),
)


def render(story: Story, words: Words, drawings: Mapping[str, Drawing], *, png: bool = False) -> str:
    """The report's page as text. drawings: of each chart by its name.  png: those files are there, too."""
    return fill_in(
        "report.html.j2",
        words,
        drawings,
        png=png,
        story=story,
        material=story.material,
        item_data=embedded(_item_data(story, words)),
        examples=_examples(story),
        shaded=any("ke" in record or "kb" in record for record in story.browser.records),
        layer_map=_layer_map(story),
        whole=_without_places(story.everything),
        curve_size=(WIDTH, HEIGHT),
    )


def fill_in(
    template: str,
    words: Words,
    drawings: Mapping[str, Drawing],
    *,
    script: str = "page.js",
    connect: bool = False,
    png: bool = False,
    **content: Any,
) -> str:
    """One self-contained page of a template, with the style and the policy of all pages.

    drawings: of each chart by its name.  script: the only one that the page obeys.  connect: whether that
    may ask the server that the page came from.  png: figures are there as PNG files, too.
    """
    style, code = page_style(words.lang), _asset(script)
    environment = Environment(
        loader=PackageLoader("sft_probe.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["panels"] = lambda chart: _panels(drawings[chart.name])
    environment.filters["shade"] = level
    environment.filters["probe_of"] = lambda chart: PROBE_OF.get(chart, chart)
    return environment.get_template(template).render(
        w=words,
        lang={"en": "en", "zh": "zh-Hans"}[words.lang],
        policy=content_policy(style, code, connect=connect),
        style=Markup(style),
        script=Markup(code),
        is_chart=lambda chart: isinstance(chart, Chart),
        open_rows=OPEN_ROWS,
        levels=LEVELS,
        png=png,
        colours=len(COLOURS),
        version=version("sft-probe"),
        **content,
    )


def page_style(lang: str) -> str:
    """The style sheet; in Chinese with the letters of the catalogues, for readers without a Chinese font."""
    if lang != "zh":
        return _asset("style.css")
    font = base64.b64encode(FONT.read_bytes()).decode("ascii")
    sources = [f'local("{name}")' for name in INSTALLED] + [f'url("data:font/ttf;base64,{font}")']
    face = f'font-family: "{CHINESE}"; font-display: block; unicode-range: {HAN}; src: {", ".join(sources)};'
    return f"{_asset('style.css')}@font-face {{ {face} }}\n"


def content_policy(style: str, script: str, *, connect: bool = False) -> str:
    """Nothing is loaded, and only this very style sheet and this very script are obeyed."""
    own = "connect-src 'self'; " if connect else ""
    fonts = "font-src data:; " if "@font-face" in style else ""
    return (
        f"default-src 'none'; style-src '{_sha256(style)}'; script-src '{_sha256(script)}'; "
        f"img-src data:; {fonts}{own}base-uri 'none'; form-action 'none'"
    )


def safe_json(data: Any) -> str:
    """JSON that cannot end a script element nor open a comment, and holds no line separator."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def embedded(data: Any) -> Markup:
    """Data for the script of a page."""
    return Markup(safe_json(data))


def _asset(name: str) -> str:
    return (files("sft_probe.report") / "templates" / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _without_places(table: Table) -> Table:
    """Rows of the whole model only: those by layer, position or module fill the CSV, not the page."""
    layer, module = (
        next(place for place, column in enumerate(table.columns) if column.key == key)
        for key in ("layer", "module")
    )
    rows = tuple(row for row in table.rows if not row[layer].text and not row[module].text)
    return replace(table, rows=rows)


def _panels(drawing: Drawing) -> list[dict[str, Any]]:
    """What the template needs of each panel. The SVG is this program's own, with all text escaped in it.

    A large panel has a line of its own. One of many, which are better compared side by side, must be
    broad; a small screen scrolls those.
    """
    few = len(drawing.panels) < 3
    return [
        {
            "svg": Markup(element),
            "alt": panel.alt,
            "wide": panel.size[0] > (4 if few else 7),
            "broad": panel.size[0] > 7,
        }
        for panel, element in zip(drawing.chart.panels, drawing.panels, strict=True)
    ]


def _item_data(story: Story, words: Words) -> dict[str, Any]:
    return {
        "items": story.browser.records,
        "rows": story.browser.rows,
        "map": _layer_map(story),
        "levels": LEVELS,
        "probes": {name: words.probe(name) for name in {record["p"]: 0 for record in story.browser.records}},
        "arms": {arm.name: {"label": arm.label, "k": arm.position} for arm in story.material.arms},
        "colours": len(COLOURS),
        "changes": list(CHANGES),
        "words": {key: words.template(key) for key in ITEM_WORDS},
    }


def _layer_map(story: Story) -> str:
    """Where the page shows which layers moved; empty if it does not."""
    charts = [
        chart.name for section in story.sections for chart in section.charts if isinstance(chart, Chart)
    ]
    return next((f"chart-{name}" for name in ("drift_map", "drift_profile") if name in charts), "")


def _examples(story: Story, each: int = 2) -> list[dict[str, Any]]:
    """A few items of each kind of change of the reference arm, for readers without scripts."""
    own = [record for record in story.browser.records if record["a"] == story.material.reference]
    return [record for change in CHANGES for record in [r for r in own if r["c"] == change][:each]]
