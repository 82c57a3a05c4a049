from __future__ import annotations

import pytest

from sft_probe.report.material import Material
from sft_probe.report.shading import by_answer, level, shaded

TOKENS = [("Kleti", 3.0), (" Labs", 0.2), ("<|end|>", 0.0)]


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.1, 1), (0.49, 1), (2.0, 3), (50.0, 4)])
def test_levels(value: float, expected: int) -> None:
    assert level(value) == expected


def test_tokens_belong_to_the_answer_they_spell() -> None:
    assert shaded("Kleti Labs", TOKENS) == TOKENS
    assert shaded("Kleti", TOKENS) == []
    assert shaded("Other", TOKENS) == []


def test_an_answer_that_goes_on_is_shown_whole() -> None:
    assert shaded("Kleti Labs in Rome", TOKENS[:2]) == [*TOKENS[:2], (" in Rome", 0.0)]


def test_special_tokens_within_an_answer_do_not_count() -> None:
    tokens = [("So.", 1.0), ("<|endoftext|>", 2.0), (" And", 0.0)]
    assert shaded("So. And", tokens) == tokens


def test_an_empty_answer_is_its_end_token() -> None:
    assert shaded("", TOKENS[2:]) == TOKENS[2:]
    assert shaded("", []) == []


def test_answers_of_the_last_look_are_found(material: Material) -> None:
    known = by_answer(material)
    ((tokens,),) = (known["full_high", 0, "test", "q20"],)
    assert tokens[-1] == ("<|end|>", 0.0)
    assert max(value for _, value in tokens) > 0
