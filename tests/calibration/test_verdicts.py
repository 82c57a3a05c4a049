"""The rule of verdicts, on evidence made up for it."""

from __future__ import annotations

import json
from math import nan
from pathlib import Path
from string import Formatter

import jsonschema
import pytest
from pydantic import ValidationError

from sft_probe.calibration.certificate import (
    Null,
    Recovery,
    read_certificate,
    schema_text,
    write_certificate,
)
from sft_probe.calibration.sentences import missed_sentences, words_in
from sft_probe.calibration.verdicts import certify, gate, pooled
from sft_probe.errors import InputError
from sft_probe.report.words import LANGUAGES, phrases_of

from .sample import evidence, mutant, null, reaction, response, rich

SCHEMA = Path(__file__).parents[2] / "docs/certificate.schema.json"
PROBE = "shortcut_reliance"


def verdict(**parts: object) -> str:
    found = certify(evidence(**parts)).of(PROBE)
    assert found is not None
    assert bool(found.reasons) == (found.verdict != "calibrated")
    return found.verdict


def test_everything_met_is_calibrated() -> None:
    assert verdict() == "calibrated"
    assert certify(evidence()).missed == ()


def recovered(bias: float) -> Recovery:
    return Recovery(estimates=((0.5,), (0.7,), (0.9,)), bias=bias, rmse=0.1, coverage=0.9, n=3)


@pytest.mark.parametrize(
    ("parts", "goal"),
    [
        ({"nulls": (null(PROBE, 200, 13, low=0.035, high=0.11),)}, "size"),
        ({"nulls": (null(PROBE, 19, 0),)}, "few_nulls"),
        ({"responses": (response(PROBE, power=0.79),)}, "power"),
        ({"responses": (response(PROBE, power_middle=None),)}, "power"),
        ({"responses": (response(PROBE, recovery=recovered(-0.11)),)}, "recovery"),
        ({"reactions": (reaction(PROBE, "drift", -2.6),)}, "specificity"),
    ],
)
def test_one_goal_missed_is_weak(parts: dict[str, object], goal: str) -> None:
    assert verdict(**parts) == "weak"
    assert [miss.goal for miss in certify(evidence(**parts)).missed] == [goal]


@pytest.mark.parametrize(
    ("parts", "goal"),
    [
        ({"nulls": (null(PROBE, 200, 24, low=0.078, high=0.17),)}, "size"),
        ({"responses": (response("coherence"),)}, "untested"),
        ({"responses": (response(PROBE, lod=None),)}, "undetected"),
        ({"mutants": (mutant(PROBE, caught=False),)}, "mutants"),
        ({"mutants": ()}, "no_mutants"),
    ],
)
def test_grave_misses_are_not_calibrated(parts: dict[str, object], goal: str) -> None:
    assert verdict(**parts) == "not calibrated"
    assert goal in [miss.goal for miss in certify(evidence(**parts)).missed]


@pytest.mark.parametrize(
    "parts",
    [
        {"nulls": (null(PROBE, 200, 12, low=0.03, high=0.1),)},
        {"responses": (response(PROBE, recovery=recovered(0.1)),)},
        {"reactions": (reaction(PROBE, "drift", 9.0, explained="It rightly reacts."),)},
        {"reactions": (reaction(PROBE, "keyword", 9.0, target=True),)},
        {"reactions": (reaction(PROBE, "drift", None, inside=None, why="one seed"),)},
    ],
)
def test_the_limits_belong_to_what_is_met(parts: dict[str, object]) -> None:
    assert verdict(**parts) == "calibrated"


def test_single_runs_at_the_null_dose_make_a_probe_weak_and_no_worse() -> None:
    """All other nulls with the same numbers make it not calibrated."""
    many = null(PROBE, 200, 24, low=0.078, high=0.17)
    single = many.model_copy(update={"kind": "dose_0", "level": "item"})
    assert verdict(nulls=(single,)) == "weak"
    assert verdict(nulls=(single.model_copy(update={"level": "run"}),)) == "not calibrated"
    [miss] = certify(evidence(nulls=(single,))).missed
    assert "single run" in miss.sentence


def test_a_reaction_without_a_unit_says_so() -> None:
    [miss] = certify(evidence(reactions=(reaction(PROBE, "drift", None, inside=False, why="alike"),))).missed
    assert "no unit" in miss.sentence
    assert "null standard deviations" not in miss.sentence


def test_one_detected_effect_of_two_is_enough_to_be_weak() -> None:
    two = (response(PROBE), response(PROBE, "drift", power=0.1, lod=None))
    assert verdict(responses=two) == "weak"


def test_the_gate_names_what_fails_and_what_was_not_tested() -> None:
    certificate = certify(rich())
    assert gate(certificate, ["shortcut_reliance", "annotation_inheritance"]) == ()
    found = gate(certificate, ["representation_drift", "forgetting"])
    assert [sentence.split()[0] for sentence in found] == ["representation_drift", "forgetting"]


def test_nulls_are_pooled_by_level() -> None:
    by_run = null(PROBE, 10, 1).model_copy(update={"level": "run"})
    assert pooled((null(PROBE), null(PROBE), by_run)) == {(PROBE, "item"): (400, 16), (PROBE, "run"): (10, 1)}


def test_a_certificate_comes_back_from_its_file(tmp_path: Path) -> None:
    certificate = certify(rich())
    path = tmp_path / "certificate.json"
    write_certificate(certificate, path)
    assert read_certificate(path) == certificate
    jsonschema.validate(json.loads(path.read_text()), json.loads(schema_text()))


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    with pytest.raises(InputError, match="cannot be read"):
        read_certificate(path)
    path.write_text('{"base": {"name": "x", "parameters": 0}}')
    with pytest.raises(InputError, match="is not a certificate"):
        read_certificate(path)


def test_undefined_is_null_in_the_file() -> None:
    assert (
        Null(probe="p", kind="sham", level="run", n=0, rejected=0, rate=nan, low=nan, high=nan).rate is None
    )


def test_evidence_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValidationError):
        null(PROBE, 3, 4)
    with pytest.raises(ValidationError):
        response(PROBE, doses=(0.9, 0.5, 0.7))
    with pytest.raises(ValidationError):
        response(PROBE, power=(0.1,))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_miss_is_said_in_both_languages(lang: str) -> None:
    certificate, words = certify(rich()), words_in(lang)
    said = missed_sentences(certificate, words)
    assert len(said) == len(certificate.missed)
    assert all("{" not in sentence and "nan" not in sentence for sentence in said)
    many = certify(evidence(probes=("coherence", "forgetting"), responses=(), mutants=(), nulls=()))
    assert len(missed_sentences(many, words)) == 3


def test_phrases_have_both_languages_with_the_same_placeholders() -> None:
    for key, phrase in phrases_of("sft_probe.calibration").items():
        assert set(phrase) == set(LANGUAGES), key
        fields = [{field for _, field, _, _ in Formatter().parse(text) if field} for text in phrase.values()]
        assert fields[0] == fields[1], key
