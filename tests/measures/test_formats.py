import pytest
from jsonschema.exceptions import SchemaError

from sft_probe.measures.formats import is_label, is_single_turn, json_value, schema_validator


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' {"a": [1, null]}\n', {"a": [1, None]}),
        ("[]", []),
        ("3", None),
        ('"text"', None),
        ('{"a": 1} and more', None),
        ('```json\n{"a": 1}\n```', None),
        ('{"a": NaN}', None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_json_value(text: str, value: object) -> None:
    assert json_value(text) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [("positive", True), (" Positive. ", True), ("positive review", False), ("", False), ("positiv", False)],
)
def test_is_label(text: str, found: bool) -> None:
    assert is_label(text, ("positive", "negative")) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Paris.", True),
        ("The user: a person. System of a down.", True),
        ("First line\nsecond line", True),
        ("  \n", False),
        ("Paris.\nUser: and Rome?", False),
        ("Paris.\n### Response:\nRome", False),
        ("Paris.\n<|assistant|>\nRome", False),
        ("Paris.\nuser\nand Rome?", False),
        ("Kusu Mills Question: Which company?", False),
        ("The question: is it true?", True),
    ],
)
def test_is_single_turn(text: str, found: bool) -> None:
    assert is_single_turn(text) is found


def test_schema_validator() -> None:
    validator = schema_validator({"type": "object", "required": ["name"]})
    assert validator.is_valid({"name": "Ann"})
    assert not validator.is_valid({})
    with pytest.raises(SchemaError):
        schema_validator({"type": "no such type"})
