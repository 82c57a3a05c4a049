"""All words of a report, from one catalogue with both languages: `words.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, get_args

import yaml

from sft_probe.errors import SpecError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

Language = Literal["en", "zh"]
Catalogue = Mapping[str, Mapping[str, str]]
"""Phrases by key, each with its languages."""
LANGUAGES: tuple[Language, ...] = get_args(Language)


class Words:
    """The catalogue in one language: `words("verdict.lost", list=...)`."""

    def __init__(self, lang: str = "en", also: Catalogue | None = None) -> None:
        """also: a catalogue beside the report's. Raises: SpecError for a language they do not have."""
        if lang not in LANGUAGES:
            raise SpecError(f"there is no language '{lang}'.", field="lang", remedy=nearest(lang, LANGUAGES))
        self.lang = lang
        self._phrases = {**catalogue(), **(also or {})}

    def __call__(self, key: str, **values: object) -> str:
        """The phrase with its placeholders filled. Raises: KeyError for an unknown key."""
        return self._phrases[key][self.lang].format(**values)

    def template(self, key: str) -> str:
        """The phrase with its placeholders left open, for the page's script."""
        return self._phrases[key][self.lang]

    def metric(self, name: str) -> str:
        """What a metric is called; its own name if the catalogue has none."""
        return self(f"metric.{name}") if f"metric.{name}" in self._phrases else name

    def probe(self, name: str) -> str:
        """What a probe is called; its own name in plain words if the catalogue has none."""
        return self.named("probe", name)

    def named(self, kind: str, name: str) -> str:
        """What something of a kind is called; its own name in plain words if the catalogue has none."""
        return self(f"{kind}.{name}") if f"{kind}.{name}" in self._phrases else name.replace("_", " ")

    def measure(self, probe: str) -> str:
        """What a probe measures and in which units, for the line under a title."""
        return self(f"measure.{probe}") if f"measure.{probe}" in self._phrases else self.probe(probe)

    def data(self, name: str) -> str:
        """What a data set is called; one that a probe made for itself is called by what it holds."""
        return self(f"data.{name}") if f"data.{name}" in catalogue() else name

    def activity(self, name: str) -> str:
        """What time was spent on; a probe keeps its own name."""
        return self(f"activity.{name}") if f"activity.{name}" in self._phrases else name

    def listed(self, parts: Iterable[str]) -> str:
        """ "a", "a and b", "a, b and c"."""
        *first, last = parts
        return self("list.comma").join(first) + (self("list.and") if first else "") + last

    def listed_apart(self, parts: Iterable[str]) -> str:
        """The same for parts that hold commas themselves: "a; b"."""
        return self("list.semicolon").join(parts)

    def interval_word(self) -> str:
        """The word between the limits of an interval."""
        return self("interval.to")


@cache
def catalogue() -> Catalogue:
    """Every phrase by key, each with its languages."""
    return phrases_of("sft_probe.report")


def phrases_of(package: str) -> Catalogue:
    """The phrases in `words.yaml` of a package."""
    text = (files(package) / "words.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it was built
    phrases: dict[str, dict[str, str]] = yaml.load(text, Loader=loader)
    return phrases
