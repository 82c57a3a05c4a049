"""The tables of a certificate, as data: page, Markdown and tests read the same cells."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from sft_probe.calibration.sentences import place_of, plain, plant_name, sentence, share
from sft_probe.calibration.verdicts import pooled
from sft_probe.report.cells import Cell, Column, Table, amount, count, printed, text
from sft_probe.report.numbers import DASH, Value, number, p_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sft_probe.calibration.certificate import Certificate, Confusion, Null, Number, Verdict
    from sft_probe.report.words import Words

MARKS: dict[Verdict, str] = {"calibrated": "●", "weak": "◐", "not calibrated": "○"}
REASONS = 2  # sentences in the table of verdicts; all of them stand among what was missed


def verdict_table(certificate: Certificate, words: Words) -> Table:
    """One row per probe: verdict, what it detects and from which dose, false positives, twins, why."""
    rows = []
    for judged in certificate.verdicts:
        twins = [mutant.caught for mutant in certificate.mutants if mutant.probe == judged.probe]
        rows.append(
            (
                text(words.probe(judged.probe)),
                text(verdict_text(judged.verdict, words)),
                _or_dash(words.listed_apart(_detected(certificate, judged.probe, words))),
                _false_positives(certificate, judged.probe, words),
                text(words("page.of", part=sum(twins), whole=len(twins)) if twins else DASH),
                text(_first(judged_reasons(certificate, judged.probe, words), words)),
            )
        )
    return _table("verdicts", words("page.verdicts"), "probe verdict reads nulls twins why", rows, words)


def judged_reasons(certificate: Certificate, probe: str, words: Words) -> list[str]:
    """Sentences of what a probe missed, in the language of the words."""
    return [sentence(miss, words) for miss in certificate.missed if miss.probe == probe]


def verdict_text(verdict: Verdict, words: Words) -> str:
    """A sign and the word."""
    return f"{MARKS[verdict]} {words('verdict.' + verdict.replace(' ', '_'))}"


def response_table(certificate: Certificate, words: Words) -> Table:
    """Slope, trend, power and limit of detection of every reading."""
    rows = [
        (
            text(plant_name(response.plant, words)),
            text(words.probe(response.probe)),
            text(words.metric(response.metric)),
            text(place_of(response, words)),
            amount(_value(response.slope, response.slope_low, response.slope_high), to=words.interval_word()),
            printed(p_value(_nan(response.trend_p)), _nan(response.trend_p)),
            text(
                DASH if response.monotone is None else words("page.yes" if response.monotone else "page.no")
            ),
            _number(response.saturation),
            _number(response.middle),
            printed(number(_nan(response.power_middle), digits=2), _nan(response.power_middle)),
            _number(response.lod),
            count(sum(value is not None for row in response.values for value in row)),
        )
        for response in certificate.responses
    ]
    columns = "plant probe metric place slope trend monotone saturation middle power lod runs"
    return _table("responses", words("page.responses"), columns, rows, words)


def null_table(certificate: Certificate, words: Words) -> Table:
    """False positives of every test on every kind of null."""
    rows = [
        (
            text(words.probe(null.probe)),
            text(words(f"null.{null.kind}")),
            text(words(f"level.{null.level}")),
            text(words.metric(null.metric) if null.metric else DASH),
            count(null.n),
            count(null.rejected),
            _rate(null, words),
        )
        for null in certificate.nulls
    ]
    return _table("nulls", words("page.nulls"), "probe kind level metric n rejected rate", rows, words)


def recovery_table(certificate: Certificate, words: Words) -> Table:
    """Bias, root mean square error and coverage of every number that estimates a dose."""
    rows = [
        (
            text(plant_name(response.plant, words)),
            text(words.probe(response.probe)),
            text(words.metric(response.metric)),
            amount(_value(found.bias, found.bias_low, found.bias_high), "share", to=words.interval_word()),
            _number(found.rmse),
            printed(share(found.coverage), _nan(found.coverage)),
            count(found.n),
        )
        for response in certificate.responses
        if (found := response.recovery)
    ]
    return _table(
        "recovery", words("page.recovery"), "plant probe metric bias rmse coverage runs", rows, words
    )


def reaction_table(certificate: Certificate, words: Words) -> Table:
    """Reactions of probes to effects that they do not claim to read, with their explanations."""
    rows = [
        (
            text(words.probe(cell.probe)),
            text(plant_name(cell.plant, words)),
            text(words.metric(cell.metric)),
            text(cell.place),
            amount(_nan(cell.z), "signed"),
            _number(cell.limit),
            text(cell.explained or words("page.unexplained")),
        )
        for cell in certificate.reactions
        if cell.inside is False and not cell.target
    ]
    columns = "probe plant metric place z limit explained"
    return _table("reactions", words("page.reactions"), columns, rows, words)


def confusion_table(confusion: Confusion, words: Words) -> Table:
    """Truth by row, the ledger's verdict by column, then sensitivity and specificity."""
    verdicts = list(dict.fromkeys(verdict for row in confusion.rows for verdict in row.verdicts))
    columns = (
        Column(key="truth", title=words("col.truth"), numeric=False),
        *(Column(key=verdict, title=verdict.replace("_", " ")) for verdict in verdicts),
        Column(key="sensitivity", title=words("col.sensitivity"), interval=True),
        Column(key="specificity", title=words("col.specificity"), interval=True),
        Column(key="n", title=words("col.n")),
    )
    to = words.interval_word()
    rows = tuple(
        (
            text(row.truth.replace("_", " ")),
            *(count(row.verdicts.get(verdict, 0)) for verdict in verdicts),
            amount(_value(row.sensitivity, row.sensitivity_low, row.sensitivity_high), "share", to=to),
            amount(_value(row.specificity, row.specificity_low, row.specificity_high), "share", to=to),
            count(row.n),
        )
        for row in confusion.rows
    )
    caption = f"{words.probe(confusion.probe)}: {words(f'side.{confusion.side}')}"
    return Table(
        name=f"classes_{confusion.probe}_{confusion.side}", caption=caption, columns=columns, rows=rows
    )


def mutant_table(certificate: Certificate, words: Words) -> Table:
    """Every broken twin, what its check planted, and what probe and twin said."""
    rows = [
        (
            text(words.probe(mutant.probe)),
            text(mutant.name),
            text(mutant.broken),
            text(mutant.check),
            text(mutant.wanted),
            _number(mutant.probe_value),
            _number(mutant.twin_value),
            text(words("page.yes" if mutant.caught else "page.no")),
        )
        for mutant in certificate.mutants
    ]
    columns = "probe twin broken check wanted probe_value twin_value caught"
    return _table("mutants", words("page.mutants"), columns, rows, words)


def tables(certificate: Certificate, words: Words) -> tuple[Table, ...]:
    """All of them, in the order of the page; those without rows are left out."""
    made = (
        verdict_table(certificate, words),
        reaction_table(certificate, words),
        response_table(certificate, words),
        null_table(certificate, words),
        recovery_table(certificate, words),
        *(confusion_table(confusion, words) for confusion in certificate.confusions),
        mutant_table(certificate, words),
    )
    return tuple(table for table in made if table.rows)


_NUMERIC = frozenset(
    "n rejected rate slope trend saturation middle power lod runs bias rmse coverage z limit "
    "probe_value twin_value".split()
)
_INTERVALS = frozenset(("rate", "slope", "bias", "nulls"))


def _table(name: str, caption: str, columns: str, rows: Iterable[Sequence[Cell]], words: Words) -> Table:
    titled = tuple(
        Column(key=key, title=words(f"col.{key}"), numeric=key in _NUMERIC, interval=key in _INTERVALS)
        for key in columns.split()
    )
    return Table(name=name, caption=caption, columns=titled, rows=tuple(map(tuple, rows)))


def _detected(certificate: Certificate, probe: str, words: Words) -> list[str]:
    """Planted effects with the lowest dose from which some reading of the probe detects them."""
    lowest: dict[str, float] = {}
    for response in certificate.responses:
        if response.probe == probe and response.lod is not None:
            lowest[response.plant] = min(response.lod, lowest.get(response.plant, response.lod))
    return [f"{plant_name(plant, words)} {plain(lod)}" for plant, lod in lowest.items()]


def _false_positives(certificate: Certificate, probe: str, words: Words) -> Cell:
    counts = [pair for (name, _), pair in pooled(certificate.nulls).items() if name == probe]
    n, rejected = (sum(pair[part] for pair in counts) for part in (0, 1))
    said = words("page.of", part=rejected, whole=n) if n else DASH
    return printed(said, rejected / n if n else nan)


def _rate(null: Null, words: Words) -> Cell:
    value = _value(null.rate, null.low, null.high)
    return amount(value, "share", to=words.interval_word(), why=null.why)


def _value(value: Number, low: Number, high: Number) -> Value:
    return Value(_nan(value), _nan(low), _nan(high))


def _number(value: Number) -> Cell:
    return printed(plain(value), _nan(value))


def _nan(value: Number) -> float:
    return nan if value is None else value


def _first(reasons: list[str], words: Words) -> str:
    more = [words("page.reasons_more", n=len(reasons) - REASONS)] if len(reasons) > REASONS else []
    return " ".join((*reasons[:REASONS], *more))


def _or_dash(shown: str) -> Cell:
    return text(shown or DASH)
