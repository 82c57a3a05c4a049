"""The certificate as one self-contained page, as Markdown and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sft_probe.calibration.certificate import write_certificate
from sft_probe.calibration.figures import panels
from sft_probe.calibration.sentences import missed_sentences, plain, plant_name, words_in
from sft_probe.calibration.tables import (
    MARKS,
    confusion_table,
    judged_reasons,
    mutant_table,
    null_table,
    reaction_table,
    recovery_table,
    response_table,
    tables,
    verdict_table,
)
from sft_probe.calibration.verdicts import pooled
from sft_probe.report.markdown import plain as escaped
from sft_probe.report.markdown import table_lines
from sft_probe.report.numbers import DASH, number, seconds
from sft_probe.report.page import content_policy, page_style
from sft_probe.store.atomic import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from sft_probe.calibration.certificate import Certificate, Reaction
    from sft_probe.report.words import Words

SHOWN = 10  # sentences of what was missed that stand on the first screen
Look = Literal["target", "inside", "explained", "red", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """One cell of the heat map. depth: 0 to 4, how dark."""

    look: Look
    depth: int
    text: str
    title: str


def write_outputs(certificate: Certificate, folder: Path, lang: str = "en") -> Path:
    """certificate.json, .md and .html in a folder; the path of the page.

    Raises: SpecError for an unknown language.
    """
    words = words_in(lang)
    write_certificate(certificate, folder / "certificate.json")
    write_text(folder / "certificate.md", render_markdown(certificate, words))
    write_text(folder / "certificate.html", render(certificate, words))
    return folder / "certificate.html"


def render(certificate: Certificate, words: Words) -> str:
    """The page as text."""
    style, script = page_style(words.lang) + _asset("certificate.css"), _asset("page.js", "report")
    environment = Environment(
        loader=PackageLoader("sft_probe.calibration"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    missed = missed_sentences(certificate, words)
    drawn = panels(certificate, words)
    return environment.get_template("certificate.html.j2").render(
        certificate=certificate,
        w=words,
        lang={"en": "en", "zh": "zh-Hans"}[words.lang],
        policy=content_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        head=headline(certificate, words),
        missed=missed[:SHOWN],
        more=missed[SHOWN:],
        judged=_judged(certificate, words),
        verdicts=verdict_table(certificate, words),
        plants=[plant_name(plant, words) for plant in _plants(certificate)],
        heat=heat_map(certificate, words),
        reactions=reaction_table(certificate, words),
        panels=[(Markup(element), alt) for element, alt in drawn],
        responses=response_table(certificate, words),
        nulls=null_table(certificate, words),
        null_note=_null_note(certificate, words),
        recovery=recovery_table(certificate, words),
        confusions=[(confusion_table(one, words), one.note) for one in certificate.confusions],
        mutants=mutant_table(certificate, words),
        facts=facts(certificate, words),
        version=version("sft-probe"),
    )


def render_markdown(certificate: Certificate, words: Words) -> str:
    """What was missed, the verdicts, and every table."""
    said = missed_sentences(certificate, words) or [words("page.missed_none")]
    lines = [f"# {escaped(words('page.title', model=certificate.base.name))}", ""]
    lines += [f"{escaped(text)}\n" for text in headline(certificate, words)]
    lines += [f"## {words('page.missed')}", "", *(f"- {escaped(text)}" for text in said), ""]
    for table in tables(certificate, words):
        lines += [f"## {escaped(table.caption)}", "", *table_lines(table), ""]
    if certificate.notes:
        lines += [f"## {words('page.notes')}", "", *(f"- {escaped(note)}" for note in certificate.notes), ""]
    lines += [f"## {words('page.method')}", "", words("page.method_text"), ""]
    lines += [f"- {name}: {escaped(value)}" for name, value in facts(certificate, words)]
    return "\n".join(lines) + "\n"


def headline(certificate: Certificate, words: Words) -> list[str]:
    """The model, and how many probes are worth what on it."""
    base, verdicts = certificate.base, [judged.verdict for judged in certificate.verdicts]
    lines = [
        words("page.model", model=base.name, parameters=f"{base.parameters:,}"),
        words(
            "page.counts",
            n=len(verdicts),
            calibrated=verdicts.count("calibrated"),
            weak=verdicts.count("weak"),
            no=verdicts.count("not calibrated"),
        ),
    ]
    return [*lines, words("page.into_own", data=certificate.made.data)] if certificate.made.data else lines


def heat_map(certificate: Certificate, words: Words) -> list[tuple[str, list[Shade | None]]]:
    """A row per probe that was looked at, a cell per plant; None where it was not."""
    cells = {(cell.probe, cell.plant): cell for cell in certificate.reactions}
    probes = list(dict.fromkeys(cell.probe for cell in certificate.reactions))
    plants = _plants(certificate)
    return [
        (words.probe(probe), [_shade(cells.get((probe, plant)), words) for plant in plants])
        for probe in probes
    ]


def facts(certificate: Certificate, words: Words) -> list[tuple[str, str]]:
    """How it was made, as pairs of name and value."""
    made, base = certificate.made, certificate.base
    found = [
        (words("page.command"), made.command),
        (words("page.mode"), words(f"mode.{made.mode}")),
        (words("page.date"), made.date),
        (words("page.cells"), str(made.cells)),
        (words("page.seeds"), ", ".join(map(str, made.seeds))),
        (words("page.took"), seconds(made.seconds) if made.seconds is not None else ""),
        (words("page.digest"), base.digest),
        (words("page.versions"), ", ".join(f"{name} {text}" for name, text in made.versions.items())),
    ]
    return [(name, value) for name, value in found if value]


def _plants(certificate: Certificate) -> list[str]:
    return list(dict.fromkeys(cell.plant for cell in certificate.reactions))


def _shade(cell: Reaction | None, words: Words) -> Shade | None:
    if cell is None:
        return None
    where = ", ".join(part for part in (words.metric(cell.metric), cell.place) if part)
    if cell.z is None or cell.inside is None:
        return Shade(look="unknown", depth=0, text=DASH, title=f"{where}: {cell.why}")
    look: Look = "inside" if cell.inside else "explained" if cell.explained else "red"
    limit = cell.limit or 2.0
    title = (
        f"{where}: {number(cell.z, 'signed')} ({words('col.limit')} {plain(cell.limit)}). {cell.explained}"
    )
    return Shade(
        look="target" if cell.target else look,
        depth=min(4, int(2 * abs(cell.z) / limit)),
        text=number(cell.z, "signed", 1 if abs(cell.z) < 10 else 0),
        title=title.strip(),
    )


def _judged(certificate: Certificate, words: Words) -> list[tuple[str, str, str, list[str]]]:
    """Name, sign, kind and reasons of every probe."""
    return [
        (
            words.probe(one.probe),
            MARKS[one.verdict],
            one.verdict.replace(" ", "_"),
            judged_reasons(certificate, one.probe, words),
        )
        for one in certificate.verdicts
    ]


def _null_note(certificate: Certificate, words: Words) -> str:
    counts = {"item": 0, "run": 0}
    for (_, level), (n, _) in pooled(certificate.nulls).items():
        counts[level] += n
    return words("page.nulls_note", item=f"{counts['item']:,}", run=f"{counts['run']:,}")


def _asset(name: str, package: str = "calibration") -> str:
    return (files(f"sft_probe.{package}") / "templates" / name).read_text(encoding="utf-8")
