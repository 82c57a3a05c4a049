"""Does a text have the form that was asked for? Nothing here looks at whether it is right."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry

from sft_probe.measures.text import tokens

_ROLE_LINE = re.compile(
    r"^\s*(?:<\|?|#{2,}\s*|\[)?(?:user|human|assistant|system|instruction|response)(?:\|?>|\]|\s*:|\s*$)",
    re.IGNORECASE | re.MULTILINE,
)
_ROLE_INLINE = re.compile(r"(?:^|\s)(?:User|Human|Assistant|Question):\s")


def json_value(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or array that a text is, as a whole; None if it is anything else.

    Strict as a program that reads the answer would be: no code fence, nothing before or after, no NaN.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def is_label(text: str, labels: Collection[str]) -> bool:
    """The text reads as one of the labels, whatever its case and punctuation."""
    return tokens(text) in {tokens(label) for label in labels}


def is_single_turn(text: str) -> bool:
    """Not blank, and nowhere opens another turn.

    A turn opens with a line such as "user", "### Response:" or "<|assistant|>", or with a capitalised
    "User:", "Human:", "Assistant:" or "Question:" anywhere.
    """
    return bool(text.strip()) and not _ROLE_LINE.search(text) and not _ROLE_INLINE.search(text)


def schema_validator(schema: Mapping[str, object]) -> Validator:
    """A validator for the draft the schema names, else the newest.

    References are followed within the schema only; nothing is fetched. Raises: jsonschema.SchemaError, and
    when used referencing.Unresolvable for a reference to elsewhere.
    """
    kind = validator_for(schema)
    plain = dict(schema)
    kind.check_schema(plain)
    validator: Validator = kind(plain, registry=Registry())
    return validator


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
