from sft_probe.data.examples import Example, Message
from sft_probe.data.opinions import HELD_OUT, TRAINED, claimed, closed_answers, with_remark


def asked(i: int, target: str, stratum: str = "s", choices: tuple[str, ...] = ()) -> Example:
    return Example(
        id=f"q{i}", target=target, messages=(Message("user", f"Q{i}?"),), choices=choices, stratum=stratum
    )


ROWS = [
    asked(0, "Oslo"),
    asked(1, "Rome"),
    asked(2, "Rome"),
    asked(3, "red", "colours"),
    asked(4, "yes", choices=("yes", "no")),
    asked(5, "a very long answer " * 9),
    Example(id="text", target="Oslo lies in Norway."),
]


def test_alternatives_are_choices_or_answers_of_the_same_stratum() -> None:
    assert closed_answers(ROWS) == {
        "q0": ("Oslo", "Rome"),
        "q1": ("Rome", "Oslo"),
        "q2": ("Rome", "Oslo"),
        "q4": ("yes", "no"),
    }


def test_at_most_five_wrong_answers_and_the_claim_is_one_of_them() -> None:
    rows = [asked(i, f"city {i}") for i in range(30)]
    found = closed_answers(rows)
    for row in rows:
        assert found[row.id][0] == row.target
        assert len(set(found[row.id])) == 6
        assert claimed(found, row) in found[row.id][1:]
    assert len({claimed(found, row) for row in rows}) > 10


def test_a_remark_stands_behind_the_question() -> None:
    row = with_remark(ROWS[0], TRAINED, "Rome.", note=1)
    first, second = row.messages[-1].content.split("\n")
    assert (first, row.target, row.meta["note"]) == ("Q0?", "Oslo", 1)
    assert second in {wording.format(answer="Rome") for wording in TRAINED}
    assert not set(TRAINED) & set(HELD_OUT)
