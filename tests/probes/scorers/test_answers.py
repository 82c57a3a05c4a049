import numpy as np
import pytest

from sft_probe.data.examples import Example, Message
from sft_probe.errors import DataError
from sft_probe.observe.observations import GenerationsSeen
from sft_probe.probes.rows import Answered
from sft_probe.probes.scorers import answers as scorer

ASKED = (Message("user", "?"),)


def said(*pairs: tuple[str, str], **meta: object) -> GenerationsSeen:
    """Pairs of expected answer and what the model said."""
    n = len(pairs)
    return GenerationsSeen(
        examples=tuple(
            Example(id=f"e{i}", target=target, messages=ASKED, cluster=f"c{i}", meta=meta)
            for i, (target, _) in enumerate(pairs)
        ),
        texts=tuple(text for _, text in pairs),
        n_tokens=np.full(n, 5),
        stopped=np.ones(n, dtype=bool),
    )


def scores(answers: GenerationsSeen, tolerance: float = 1e-6) -> dict[str, list[float]]:
    none = np.zeros(len(answers.examples), dtype=bool)
    found = scorer.question_scores(answers, none, tolerance)
    return {metric.name: values.tolist() for metric, values in found.items()}


def test_one_of_several_accepted_answers_is_enough() -> None:
    found = scores(said(("New York", "NYC"), ("New York", "It is the Big Apple")), 0)
    assert found["answer_match"] == [0, 0]
    found = scores(
        said(("New York", "NYC!"), ("New York", "It is the Big Apple"), aliases=["NYC", "Big Apple"])
    )
    assert found["answer_match"] == [1, 0]
    assert found["answer_contained"] == [1, 1]
    assert found["answer_f1"][1] == pytest.approx(2 * 0.5 / 1.5)


def test_numbers_are_compared_as_numbers() -> None:
    found = scores(said(("1,000", "1000.0"), ("8", "So 2 and 6 make 8"), ("8", "no"), ("Oslo", "8")))
    assert found["answer_match"] == [1, 0, 0, 0]
    assert found["number_match"][:3] == [1, 1, 0]
    assert np.isnan(found["number_match"][3])
    assert scores(said(("100", "101")), 0.02)["number_match"] == [1]


def test_json_and_plain_text_are_no_questions() -> None:
    plain = Example(id="p", target="once", messages=())
    assert scorer.is_short(Example(id="q", target="Oslo", messages=ASKED))
    assert not scorer.is_short(plain)
    assert not scorer.is_short(Example(id="j", target='{"a": 1}', messages=ASKED))
    assert not scorer.is_long(Example(id="s", target="w " * 20, messages=ASKED, meta={"schema": {}}))
    assert scorer.is_long(Example(id="l", target="w " * 9, messages=ASKED))


def test_classified_rows_are_no_questions() -> None:
    answers = said(("7", "7"), ("8", "8"))
    found = scorer.question_scores(answers, np.array([True, False]), 0)
    for values in found.values():
        assert np.isnan(values[0])
        assert values[1] == 1


def test_bad_aliases_name_the_row() -> None:
    with pytest.raises(DataError, match=r"example 'e0' are no list"):
        scores(said(("a", "b"), aliases="b"))


def test_length_and_variety_over_all_answers() -> None:
    target = "one two three four five six seven eight nine"
    answers = said((target, "one two one"), (target, target), ("short", "not counted"))
    judged = Answered(dataset="test", examples=answers.examples, predictions=answers.texts)
    rows = {row.metric: row for row in scorer.text_rows(judged, answers, answers)}
    assert rows["words_ratio"].value == pytest.approx(12 / 18)
    assert rows["distinct_1"].value == pytest.approx(9 / 12)
    assert rows["distinct_2"].value == pytest.approx(9 / 10)
    assert rows["distinct_2"].n == 2
    assert rows["words_ratio"].ci_low < 12 / 18 < rows["words_ratio"].ci_high
