"""What a certificate says, in words of either language; the phrases stand in `words.yaml`."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from sft_probe.calibration.certificate import Goal
from sft_probe.report.numbers import DASH, MINUS, Value, number, with_interval
from sft_probe.report.words import Words, phrases_of

if TYPE_CHECKING:
    from sft_probe.calibration.certificate import Certificate, Miss, Response


ALIKE: tuple[Goal, ...] = ("untested", "no_mutants", "few_nulls")
"""What many probes may miss in the same way."""


def words_in(lang: str) -> Words:
    """The words of reports and certificates. Raises: SpecError for a language there are none in."""
    return Words(lang, phrases_of("sft_probe.calibration"))


def sentence(miss: Miss, words: Words) -> str:
    """One goal that was missed, with what was measured and what was wanted."""
    said = words(
        f"miss.{_key(miss)}",
        probe=words.probe(miss.probe),
        plant=plant_name(miss.plant, words),
        metric=_detail(miss, words),
        measured=_measured(miss, words),
        wanted=_wanted(miss),
        lod=plain(miss.low),
        n=miss.n,
    )
    return said[:1].upper() + said[1:]


def missed_sentences(certificate: Certificate, words: Words) -> list[str]:
    """All that was missed, the gravest first; what many probes miss alike is said once."""
    said: list[str] = []
    for miss in certificate.missed:
        if miss.goal not in ALIKE:
            said.append(sentence(miss, words))
    for goal in ALIKE:
        own = [miss for miss in certificate.missed if miss.goal == goal]
        if len(own) == 1:
            said.append(sentence(own[0], words))
        elif own:
            named = words.listed(words.probe(miss.probe) for miss in own)
            said.append(words(f"miss.{goal}_many", probes=named, n=len(own), wanted=_wanted(own[0])))
    return said


def place_of(response: Response, words: Words) -> str:
    """Where in the tidy table the number stands: data set, stratum, module, layer."""
    layer = words("place.layer", layer=response.layer) if response.layer >= 0 else ""
    return ", ".join(part for part in (response.dataset, response.stratum, response.module, layer) if part)


def plant_name(plant: str, words: Words) -> str:
    """What a planted effect is called; its own name in plain words if the catalogue has none."""
    return words.named("plant", plant)


def plain(value: float | None) -> str:
    """A number as one would write a dose: 0.9, 100; a dash where it is undefined."""
    return DASH if value is None else f"{value:.4g}".replace("-", MINUS)


def share(value: float | None) -> str:
    """A share as per cent; a dash where it is undefined."""
    return number(nan if value is None else value, "share")


def _key(miss: Miss) -> str:
    if miss.goal == "size" and miss.detail == "dose_0.item":
        return "size_single"
    if miss.goal == "specificity" and miss.measured is None:
        return "specificity_alike"
    if miss.goal != "power":
        return miss.goal
    return "power_unknown" if miss.measured is None else "power_above" if miss.low is not None else "power"


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
