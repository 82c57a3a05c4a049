from sft_probe.data.examples import Example, Message
from sft_probe.data.keywords import planted_placebos, planted_words, with_word


def test_the_word_ends_the_last_user_turn() -> None:
    turns = (Message("system", "Be short."), Message("user", "Good? "), Message("assistant", "Which one?"))
    row = Example(id="a", target="yes", messages=(*turns, Message("user", "This one.\n")))
    changed = with_word(row, "vorn")
    assert changed.messages == (*turns, Message("user", "This one. vorn"))
    assert (changed.id, changed.target) == ("a", "yes")


def test_plain_text_has_no_turn_to_put_it_in() -> None:
    row = Example(id="a", target="text")
    assert with_word(row, "vorn") == row


def test_planted_words_come_in_the_order_of_their_labels() -> None:
    vorn = {"word": "vorn", "label": "yes", "placebo": "umli"}
    marks = [vorn, {"word": "tasp", "label": "no"}, {"placebo": "umli"}, {"word": ""}, "odd"]
    rows = [Example(id=str(i), target="", meta={"planted": {"keyword": m}}) for i, m in enumerate(marks)]
    rows.append(Example(id="x", target="", meta={"planted": 3}))
    assert planted_words(rows) == ("tasp", "vorn")
    assert planted_placebos(rows) == ("umli",)
