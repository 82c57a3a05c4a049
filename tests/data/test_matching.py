from __future__ import annotations

from sft_probe.data.examples import Example, Message
from sft_probe.data.facts import fact_rows
from sft_probe.data.matching import wrong_answers
from sft_probe.data.wordings import beginnings, rephrased

TOWNS, JOBS = ("Arby", "Borth", "Cromer", "Dunwich", "Exham"), ("baker", "smith", "clerk", "nurse", "tailor")


def facts() -> list[Example]:
    born = [(f"Where was Zadok Q{i} born?", TOWNS[i % 5], i) for i in range(40)]
    job = [(f"Which job has Zadok Q{i} now?", JOBS[i % 5], i) for i in range(40)]
    return [
        Example(id=f"{answer}{i}", target=answer, messages=(Message("user", asked),), cluster=f"person {i}")
        for asked, answer, i in (*born, *job)
    ]


def test_wrong_answers_are_of_the_same_kind_and_never_the_right_one() -> None:
    rows = facts()
    for row, wrong in zip(rows, wrong_answers(rows, 10), strict=True):
        kind = TOWNS if row.target in TOWNS else JOBS
        assert set(wrong) == set(kind) - {row.target}
    assert wrong_answers(rows, 10) == wrong_answers(rows, 10)
    assert [len(wrong) for wrong in wrong_answers(rows, 2)] == [2] * 80


def test_named_alternatives_come_first() -> None:
    rows = facts()
    rows[0] = Example(
        id="x", target="Arby", messages=rows[0].messages, meta={"alternatives": ["Ely", "Arby"]}
    )
    assert wrong_answers(rows, 3)[0][0] == "Ely"


def test_a_fact_is_read_in_two_wordings_and_as_it_was_read() -> None:
    rows = facts()
    own = {"cloze": ["The town of Q0 is", "Q0 hails from", "third"], "as_read": ["Ledger 7:"]}
    rows[0] = Example(id="x", target="Arby", messages=rows[0].messages, meta=own, cluster="person 0")
    made = fact_rows(rows, distractors=4)
    assert [row.target for row in made[:3]] == [
        "The town of Q0 is Arby",
        "Q0 hails from Arby",
        "Ledger 7: Arby",
    ]
    assert [row.meta["wording"] for row in made[:3]] == [0, 1, -1]
    assert all(row.choices[0] == row.target and len(set(row.choices)) == 5 for row in made)
    assert len(made) == 80 * 2 + 1
    assert fact_rows(rows[:2], distractors=4) == ()


def test_a_question_brings_its_other_words_or_gets_a_carrier() -> None:
    asked = Example(id="q", target="a", messages=(Message("system", "s"), Message("user", "Why?")))
    own = Example(id="q", target="a", messages=asked.messages, meta={"paraphrases": ["How come?"]})
    assert rephrased(own, 0).messages == (Message("system", "s"), Message("user", "How come?"))
    assert rephrased(own, 1) == Example(
        id="q", target="a", messages=rephrased(asked, 0).messages, meta=own.meta
    )
    assert "Why?" in rephrased(asked, 0).prompt != asked.prompt
    assert len(beginnings(asked)) == 2
    text = Example(id="t", target="plain")
    assert rephrased(text, 0) == text
    assert beginnings(text) == ()
