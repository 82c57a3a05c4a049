"""Labels that people, rules or edits gave to a row besides its target; all of it is read from `Example.meta`.

`annotators`: label by annotator, or a list of labels where names are not known. `label_counts`: how many gave
each label. `rules`: the label that each rule of a guideline demands. `planted.<edit>.clean`: the label
before an edit changed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from sft_probe.data.examples import Example
from sft_probe.errors import DataError

ANNOTATORS, COUNTS, RULES, PLANTED = "annotators", "label_counts", "rules", "planted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgements:
    """How a row was labelled.

    shares: of each label given, summing to 1. annotators: how many there were; infinite where an edit planted
    the distribution itself. by: label of each annotator whose name is known.
    """

    shares: Mapping[str, float]
    annotators: float
    by: Mapping[str, str]


def judgements(example: Example) -> Judgements | None:
    """What annotators said about a row, or None. Raises: DataError for a label it does not offer."""
    if given := example.meta.get(ANNOTATORS):
        by = _by_name(example, ANNOTATORS) if isinstance(given, Mapping) else {}
        labels = list(by.values()) if by else _listed(example, given)
        return _counted(example, Counter(labels), by)
    if counts := example.meta.get(COUNTS):
        return _counted(example, _counts(example, counts), {})
    for mark in _marks(example):
        if isinstance(shares := mark.get("distribution"), Mapping):
            return Judgements(shares={str(k): float(v) for k, v in shares.items()}, annotators=inf, by={})
    return None


def rules(example: Example) -> Mapping[str, str]:
    """The label that each rule demands; empty if none is given. Raises: DataError as `judgements`."""
    return _by_name(example, RULES) if example.meta.get(RULES) else {}


def clean_label(example: Example) -> str:
    """The label before any edit changed it; the target of a row that none changed."""
    for mark in _marks(example):
        if mark.get("clean") in example.choices:
            return str(mark["clean"])
    return example.target


def label_table(examples: Iterable[Example], labels: Sequence[str]) -> list[list[int]]:
    """How many rows with these choices have each clean label (row) and each given one (column)."""
    number = {label: k for k, label in enumerate(labels)}
    table = [[0] * len(labels) for _ in labels]
    for example in examples:
        if set(example.choices) == set(labels) and example.target in number:
            table[number[clean_label(example)]][number[example.target]] += 1
    return table


def _counted(example: Example, counts: Counter[str], by: Mapping[str, str]) -> Judgements:
    for label in counts:
        if label not in example.choices:
            raise DataError(
                f"an annotator labelled example '{example.id}' '{label}', which is none of its choices.",
                field=f"meta.{ANNOTATORS if ANNOTATORS in example.meta else COUNTS}",
            )
    total = counts.total()
    shares = {label: count / total for label, count in counts.items()}
    return Judgements(shares=shares, annotators=total, by=by)


def _by_name(example: Example, field: str) -> dict[str, str]:
    given = example.meta[field]
    if not isinstance(given, Mapping):
        raise _shape(example, field, '{"name": "label", …}')
    found = {str(name): str(label) for name, label in given.items()}
    if wrong := sorted(set(found.values()) - set(example.choices)):
        raise DataError(
            f"'{wrong[0]}' is none of the choices of example '{example.id}'.", field=f"meta.{field}"
        )
    return found


def _listed(example: Example, given: object) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise _shape(example, ANNOTATORS, '{"name": "label", …} or a list of labels')
    return [str(label) for label in given]


def _counts(example: Example, given: object) -> Counter[str]:
    try:
        counts = Counter({str(label): int(count) for label, count in dict(given).items()})  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise _shape(example, COUNTS, '{"label": count, …}') from None
    if min(counts.values()) < 0 or not counts.total():
        raise _shape(example, COUNTS, '{"label": count, …} with at least one label')
    return +counts


def _shape(example: Example, field: str, remedy: str) -> DataError:
    return DataError(
        f"example '{example.id}' has no readable labels here.",
        field=f"meta.{field}",
        remedy=f"Write {remedy}.",
    )


def _marks(example: Example) -> list[Mapping[str, Any]]:
    """What edits left, in their order."""
    planted = example.meta.get(PLANTED)
    marks = planted.values() if isinstance(planted, Mapping) else ()
    return [mark for mark in marks if isinstance(mark, Mapping)]
