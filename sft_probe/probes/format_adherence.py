"""Do answers have the form of the training answers, whether right or wrong?"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from referencing.exceptions import Unresolvable

from sft_probe.data.examples import Example
from sft_probe.errors import DataError
from sft_probe.measures.formats import is_label, is_single_turn, json_value, schema_validator
from sft_probe.observe.needs import Generations, Need
from sft_probe.observe.observations import Floats, GenerationsSeen, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Answered, Metric, Scored, clusters_of
from sft_probe.schema import NAN, Measurements
from sft_probe.stats.distances import ks_interval
from sft_probe.stats.intervals import Interval

Form = Literal["json", "label", "text"]

STOP = Metric(name="stop_rate", unit="1", better="higher", share=True)
PARSE = Metric(name="parse_rate", unit="1", better="higher", share=True)
ALLOWED = Metric(
    name="allowed_label_rate", unit="1", better="higher", share=True, absent="no example has choices"
)
VALID = Metric(
    name="schema_valid_rate", unit="1", better="higher", share=True, absent="no example has a JSON schema"
)
TOKENS = Metric(name="answer_tokens", unit="tokens")
LENGTH = Metric(name="length_ratio", unit="1", absent="every target is blank")
DISTANCE = Metric(name="length_distance", unit="1", better="lower")


@dataclass(frozen=True, kw_only=True)
class FormatAdherence:
    """Whether answers stop, parse, stay within the allowed labels or schema, and have the usual length."""

    name: ClassVar[str] = "format_adherence"
    about: ClassVar[About] = About(
        question="Do answers have the form of the training answers, whether right or wrong?",
        axis="what",
        source="Zhou et al. 2023, Instruction-Following Evaluation (arXiv 2311.07911): verifiable form only",
        null="the base model's value on the same examples",
        blind_spots="Free text parses unless it is blank or runs into another turn, so a high parse rate "
        "means little there. A model that always says the same label is perfectly formed.",
        cost="generation",
    )

    dataset: str = "test"
    max_new_tokens: int = 48
    limit: int | None = None

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, max_new_tokens=self.max_new_tokens, limit=self.limit)

    def needs(self) -> tuple[Need, ...]:
        """Greedy answers; the same ones as those of `task_alignment`."""
        return (self._generations,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows for every metric and stratum, against the base's value; items with the answer given."""
        answers = seen[self._generations]
        said = Answered(dataset=self.dataset, examples=answers.examples, predictions=answers.texts)
        found = said.measurements(_scored(answers), _scored(base[self._generations]))
        distance, before = (_length_distance(look[self._generations]) for look in (seen, base))
        row = replace(DISTANCE.row(distance, dataset=self.dataset), null_value=before.value)
        return found + Measurements((row,))

    @property
    def _generations(self) -> Generations:
        return Generations(dataset=self.dataset, max_new_tokens=self.max_new_tokens, limit=self.limit)


def well_formed(answers: GenerationsSeen) -> Floats:
    """1 for each answer that ends by itself and has the form its example asks for, else 0. (n,)"""
    rows = zip(answers.texts, expected_forms(answers.examples), answers.examples, strict=True)
    return np.array([_parses(*row) for row in rows], dtype=float) * answers.stopped


def expected_forms(examples: tuple[Example, ...]) -> tuple[Form, ...]:
    """What kind of answer each example asks for.

    json: it brings a schema in `meta`, or its target is a JSON object or array.
    label: it has choices, and all examples with choices of its stratum (at least two) have the same ones,
    as in classification; choices that differ from row to row are distractors, and any text will do.
    text: everything else.
    """
    choice_sets: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
    for example in examples:
        if example.choices:
            choice_sets[example.stratum].append(frozenset(example.choices))
    closed = {name for name, sets in choice_sets.items() if len(sets) > 1 and len(set(sets)) == 1}
    return tuple(_expected_form(example, example.stratum in closed) for example in examples)


def _expected_form(example: Example, closed: bool) -> Form:
    if "schema" in example.meta or json_value(example.target) is not None:
        return "json"
    return "label" if example.choices and closed else "text"


def _parses(text: str, form: Form, example: Example) -> bool:
    match form:
        case "json":
            return json_value(text) is not None
        case "label":
            return is_label(text, example.choices)
        case "text":
            return is_single_turn(text) or (bool(text.strip()) and not is_single_turn(example.target))


def _scored(answers: GenerationsSeen) -> Scored:
    rows = tuple(zip(answers.texts, expected_forms(answers.examples), answers.examples, strict=True))
    return {
        STOP: answers.stopped.astype(float),
        PARSE: np.array([_parses(*row) for row in rows], dtype=float),
        ALLOWED: np.array([_is_allowed(text, example) for text, _, example in rows]),
        VALID: _valid_by_schema(answers),
        TOKENS: answers.n_tokens.astype(float),
        LENGTH: np.array([_length_ratio(text, example.target) for text, _, example in rows]),
    }


def _is_allowed(text: str, example: Example) -> float:
    return float(text.strip() in example.choices) if example.choices else NAN


def _length_ratio(text: str, target: str) -> float:
    """Characters of the answer per character of the target."""
    expected = len(target.strip())
    return len(text.strip()) / expected if expected else NAN


def _length_distance(answers: GenerationsSeen) -> Interval:
    """Kolmogorov-Smirnov distance between the lengths of answers and of targets, in characters."""
    said = np.array([len(text.strip()) for text in answers.texts], dtype=float)
    expected = np.array([len(example.target.strip()) for example in answers.examples], dtype=float)
    return ks_interval(said, expected, clusters_of(answers.examples), given=False)


def _valid_by_schema(answers: GenerationsSeen) -> Floats:
    """1 or 0 for examples with a schema, NaN for others. A schema shared by examples is compiled once."""
    valid = np.full(len(answers.examples), NAN)
    compiled: dict[str, Validator] = {}
    for i, example in enumerate(answers.examples):
        if "schema" in example.meta:
            valid[i] = _is_valid(answers.texts[i], example, compiled)
    return valid


def _is_valid(text: str, example: Example, compiled: dict[str, Validator]) -> bool:
    schema = example.meta["schema"]
    key = schema if isinstance(schema, str) else json.dumps(schema, sort_keys=True)
    value = json_value(text)
    try:
        if key not in compiled:
            compiled[key] = _validator(json.loads(key))
        return value is not None and compiled[key].is_valid(value)
    except (ValueError, SchemaError, Unresolvable) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"the JSON schema of example '{example.id}' cannot be used: {reason}.", field="meta.schema"
        ) from error


def _validator(schema: object) -> Validator:
    if not isinstance(schema, Mapping):
        raise ValueError("it is not a JSON object")
    return schema_validator(schema)
