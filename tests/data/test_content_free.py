from sft_probe.data.content_free import FILLERS, NO_CONTENT, NO_ORDER, content_free
from sft_probe.data.examples import Example, Message

LABELS = ("no", "yes")


def asked(*texts: str, system: tuple[str, ...] = ()) -> list[Example]:
    return [
        Example(
            id=str(i),
            target=LABELS[i % 2],
            choices=LABELS,
            messages=(*(Message("system", s) for s in system[i : i + 1]), Message("user", text)),
        )
        for i, text in enumerate(texts)
    ]


def contents(rows: list[Example]) -> list[str]:
    return [row.messages[-1].content for row in content_free(rows, LABELS, {})]


def test_what_prompts_share_stays_around_the_filler() -> None:
    rows = asked("Is it so?\nCats fly. Yes or no?", "Is it so?\nCars drive well. Yes or no?")
    found = contents(rows)
    assert found[: len(FILLERS)] == [f"Is it so?\n{filler} Yes or no?" for filler in FILLERS]
    assert all(text.startswith("Is it so?\n") and text.endswith(" Yes or no?") for text in found)


def test_words_come_from_the_prompts_as_often_from_each_label() -> None:
    rows = asked(*(["n1 n2 n3 n4", "y1 y2 y3 y4"] * 5))
    bags = [
        row.messages[-1].content.split() for row in content_free(rows, LABELS, {}) if row.stratum == NO_ORDER
    ]
    assert all(len(bag) == 4 for bag in bags)
    assert {sum(word.startswith("n") for word in bag) for bag in bags} == {2}
    assert len({tuple(bag) for bag in bags}) > 5


def test_rows_say_what_they_are_and_are_the_same_each_time() -> None:
    rows = asked("a b", "c d")
    found = content_free(rows, LABELS, {"trained": [[1, 0], [0, 1]]})
    assert found == content_free(rows, LABELS, {"trained": [[1, 0], [0, 1]]})
    assert {row.stratum for row in found} == {NO_CONTENT, NO_ORDER}
    assert all(row.choices == LABELS and row.meta["trained"] for row in found)
    assert len({row.id for row in found}) == len(found)


def test_earlier_turns_stay_if_all_rows_share_them() -> None:
    shared = content_free(asked("a", "b", system=("Be brief.", "Be brief.")), LABELS, {})
    assert [message.content for message in shared[0].messages] == ["Be brief.", "N/A"]
    differing = content_free(asked("a", "b", system=("Be brief.", "Be long.")), LABELS, {})
    assert [message.content for message in differing[0].messages] == ["N/A"]


def test_one_prompt_alone_shares_nothing() -> None:
    assert contents(asked("What is it?"))[0] == "N/A"
    assert contents(asked("same words", "same words"))[0] == "N/A"
