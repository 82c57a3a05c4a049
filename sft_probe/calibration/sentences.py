"""What a certificate says, in words of either language; the phrases stand in `words.yaml`."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from sft_probe.report.numbers import Value, number, with_interval
from sft_probe.report.words import Words, phrases_of

if TYPE_CHECKING:
    from sft_probe.calibration.certificate import Miss


def words_in(lang: str) -> Words:
    """The words of reports and certificates. Raises: SpecError for a language there are none in."""
    return Words(lang, phrases_of("sft_probe.calibration"))


def sentence(miss: Miss, words: Words) -> str:
    """One goal that was missed, with what was measured and what was wanted."""
    return words(
        f"miss.{miss.goal}" + ("_above" if miss.goal == "power" and miss.low is not None else ""),
        probe=words.probe(miss.probe),
        plant=plant_name(miss.plant, words),
        metric=_detail(miss, words),
        measured=_measured(miss, words),
        wanted=_wanted(miss),
        lod=plain(miss.low),
        n=miss.n,
    )


def plant_name(plant: str, words: Words) -> str:
    """What a planted effect is called; its own name in plain words if the catalogue has none."""
    return words.named("plant", plant)


def plain(value: float | None) -> str:
    """A number, whole ones as they are; a dash where it is undefined."""
    whole = value is not None and value == int(value) and abs(value) < 1000
    return number(nan if value is None else value, digits=0 if whole else None)


def share(value: float | None) -> str:
    """A share as per cent; a dash where it is undefined."""
    return number(nan if value is None else value, "share")


def _detail(miss: Miss, words: Words) -> str:
    if miss.goal == "size":
        kind, _, level = miss.detail.partition(".")
        return words("miss.null", kind=words(f"null.{kind}"), level=words(f"level.{level}"))
    return miss.detail if miss.goal in ("mutants", "no_mutants") else words.metric(miss.detail)


def _measured(miss: Miss, words: Words) -> str:
    value = nan if miss.measured is None else miss.measured
    if miss.goal in ("size", "recovery"):
        low, high = (nan if limit is None else limit for limit in (miss.low, miss.high))
        return with_interval(Value(value, low, high), "share", words.interval_word())
    return number(value, "plain", 2) if miss.goal == "power" else number(value, "signed")


def _wanted(miss: Miss) -> str:
    return share(miss.wanted) if miss.goal in ("size", "recovery") else plain(miss.wanted)
