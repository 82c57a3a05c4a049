from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import sft_probe.report
from sft_probe.errors import SpecError
from sft_probe.report.words import LANGUAGES, Words, catalogue

SOURCES = Path(sft_probe.report.__file__).parent


def placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field}


@pytest.mark.parametrize("key", sorted(catalogue()))
def test_every_phrase_has_both_languages_with_the_same_placeholders(key: str) -> None:
    phrase = catalogue()[key]
    assert set(phrase) == set(LANGUAGES)
    assert all(text.strip() or key.startswith(("list.", "absent.")) for text in phrase.values())
    assert placeholders(phrase["en"]) == placeholders(phrase["zh"])


def test_every_key_in_the_sources_is_in_the_catalogue() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in SOURCES.rglob("*") if path.suffix in (".py", ".j2")
    )
    used = set(re.findall(r'\b(?:words|w)\(\s*"([\w.]+)"', text))
    assert len(used) > 80
    assert {key for key in used if not key.endswith(".")} <= set(catalogue())


def test_no_phrase_is_left_over() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in SOURCES.rglob("*")
        if path.suffix in (".py", ".j2", ".js")
    )
    families = (
        "metric.",
        "measure.",
        "data.",
        "module.",
        "probe.",
        "section.",
        "nav.",
        "chart.",
        "axis.",
        "col.",
        "change.",
        "items.",
        "tile.",
        "detectable.",
        "claim.",
        "activity.",
        "predictor.",
        "outcome.",
        "card.",
        "mark.",
        "compare.",
        "matrix.",
        "state.",
    )
    unused = [key for key in catalogue() if f'"{key}"' not in text and not key.startswith(families)]
    assert unused == []


def test_lists_read_as_sentences() -> None:
    words = Words("en")
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert Words("zh").listed(["甲", "乙"]) == "甲和乙"


def test_unknown_metrics_keep_their_name() -> None:
    assert Words().metric("my_metric") == "my_metric"


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(SpecError, match="no language 'fr'"):
        Words("fr")


def test_a_data_set_of_a_probe_is_called_by_what_it_holds() -> None:
    words = Words()
    assert words.data("label_free_forgetting.text") == "the study's plain text"
    assert words.data("my_own.rows") == "my_own.rows"
