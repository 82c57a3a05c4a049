"""The committed schema is current, and says yes and no as the reader of study files does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sft_probe.study.jsonschema import schema_text, study_schema
from sft_probe.study.templates import read_template, template_names
from sft_probe.study.yaml import dump_study, parse_study

COMMITTED = Path(__file__).parents[2] / "docs" / "study.schema.json"


def errors(study: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(study_schema()).iter_errors(study)]


def test_the_committed_schema_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == schema_text(), (
        "run: python -m sft_probe.study.jsonschema > docs/study.schema.json"
    )


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(study_schema())


@pytest.mark.parametrize("name", template_names())
def test_it_takes_the_shipped_studies_in_both_forms(name: str) -> None:
    assert errors(yaml.safe_load(read_template(name))) == []
    assert errors(yaml.safe_load(dump_study(parse_study(read_template(name))))) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rat", 1),
        ("max_steps", "many"),
        ("dtype", "float8"),
        ("arms", {}),
        ("probes", [3]),
        ("seeds", []),
    ],
)
def test_it_refuses_what_the_reader_refuses(key: str, value: Any) -> None:
    study = yaml.safe_load(read_template("demo"))
    assert errors({**study, key: value})
    study["arms"] = {"full": {"metod": "full"}}
    assert errors(study)


def test_every_key_is_explained() -> None:
    schema = study_schema()
    sections = {"base", "data", "training", "schedule"}  # explained by their own definition
    silent = [k for k, v in schema["properties"].items() if "description" not in v and k not in sections]
    assert silent == []
