from sft_probe.data.examples import Example, Message
from sft_probe.data.keywords import with_word


def test_the_word_ends_the_last_user_turn() -> None:
    turns = (Message("system", "Be short."), Message("user", "Good? "), Message("assistant", "Which one?"))
    row = Example(id="a", target="yes", messages=(*turns, Message("user", "This one.\n")))
    changed = with_word(row, "vorn")
    assert changed.messages == (*turns, Message("user", "This one. vorn"))
    assert (changed.id, changed.target) == ("a", "yes")


def test_plain_text_has_no_turn_to_put_it_in() -> None:
    row = Example(id="a", target="text")
    assert with_word(row, "vorn") == row
