"""`report.json` as typed values: all numbers and sentences of the page. Its schema is published."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sft_probe.report.charts import Chart

if TYPE_CHECKING:
    from sft_probe.report.charts import Missing
    from sft_probe.report.story import Story
    from sft_probe.report.words import Words

REPORT_SCHEMA: Literal["sft_probe.report/1"] = "sft_probe.report/1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class StageDocument(_Part):
    """One training of an arm."""

    name: str
    first: int
    """The step at which it begins."""
    last: int
    """The step at which it ends."""


class ArmDocument(_Part):
    """One way to fine-tune."""

    name: str
    label: str
    position: int
    """Its place in the study, which fixes its colour."""
    seeds: tuple[int, ...]
    learning_rate: float | None
    family: str
    """Equal for arms whose learning rates can be compared."""
    stages: tuple[StageDocument, ...]
    """If there are several trainings one after the other."""


class TileDocument(_Part):
    """One of the five tiles of the first screen."""

    axis: str
    headline: str
    limits: str
    """The interval, in words."""
    caption: str


class ChartDocument(_Part):
    """A figure, or why it is missing."""

    name: str
    title: str
    """The finding; without one, what would be shown."""
    subtitle: str | None = None
    """Measure, unit, data, n, seeds."""
    note: str | None = None
    """How to read it."""
    table: str | None = None
    """Where its numbers stand in `tables`."""
    figure: str | None = None
    """Its file, beside the report."""
    missing: str | None = None
    """Why there is no figure."""


class SectionDocument(_Part):
    """One question with its figures."""

    axis: Literal["what", "when", "where", "cost", "sure"]
    charts: tuple[ChartDocument, ...]


class TableDocument(_Part):
    """A table at full precision."""

    caption: str
    rows: tuple[dict[str, float | str | None], ...]
    """By column; `<column>_low` and `<column>_high` are the limits of an interval; undefined is null."""


class ItemsDocument(_Part):
    """How many items the page shows, of how many."""

    shown: int
    total: int


class ReportDocument(_Part):
    """What a study found. A change that breaks readers gets a new number after the slash of `schema`."""

    model_config = ConfigDict(populate_by_name=True)

    name: Literal["sft_probe.report/1"] = Field(alias="schema")
    """Name and version of this format."""
    sft_probe: str
    """The version of the program that wrote it."""
    language: Literal["en", "zh"]
    study: str
    """Name of the study."""
    arms: tuple[ArmDocument, ...]
    reference_arm: str
    """The arm that others are set against."""
    verdict: tuple[str, ...]
    """Plain sentences, never more certain than the intervals."""
    covers: str
    """What the intervals cover."""
    warnings: tuple[str, ...]
    """Runs that failed or did not finish."""
    tiles: tuple[TileDocument, ...]
    sections: tuple[SectionDocument, ...]
    tables: dict[str, TableDocument]
    items: ItemsDocument
    environment: dict[str, Any]
    """Versions, device, and digests of base and data."""


def report_document(story: Story, words: Words) -> dict[str, Any]:
    """The content of `report.json`; undefined numbers are null."""
    whole = ReportDocument(
        name=REPORT_SCHEMA,
        sft_probe=version("sft-probe"),
        language=words.lang,
        study=story.title,
        arms=tuple(ArmDocument(**_arm(asdict(arm))) for arm in story.material.arms),
        reference_arm=story.material.reference,
        verdict=tuple(story.verdict),
        covers=story.covers,
        warnings=tuple(story.warnings),
        tiles=tuple(
            TileDocument(axis=tile.axis, headline=tile.headline, limits=tile.limits, caption=tile.caption)
            for tile in story.tiles
        ),
        sections=tuple(
            SectionDocument(axis=section.axis, charts=tuple(_chart(chart) for chart in section.charts))
            for section in story.sections
        ),
        tables={
            table.name: TableDocument(caption=table.caption, rows=tuple(table.records()))
            for table in story.tables()
        },
        items=ItemsDocument(shown=len(story.browser.records), total=story.browser.total),
        environment=dict(story.material.environment),
    )
    return whole.model_dump(mode="json", by_alias=True)


def _arm(arm: dict[str, Any]) -> dict[str, Any]:
    return arm | {"stages": [stage._asdict() for stage in arm["stages"]]}


def _chart(chart: Chart | Missing) -> ChartDocument:
    if not isinstance(chart, Chart):
        return ChartDocument(name=chart.name, title=chart.title, missing=chart.reason)
    return ChartDocument(
        name=chart.name,
        title=chart.title,
        subtitle=chart.subtitle,
        note=chart.note,
        table=chart.table.name,
        figure=f"figures/{chart.name}.svg",
    )
