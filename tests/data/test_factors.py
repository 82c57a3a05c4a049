from __future__ import annotations

from sft_probe.data.examples import Example, Message
from sft_probe.data.factors import restyled, varied

ROWS = tuple(
    Example(id=f"q{i}", messages=(Message("user", f"Where was {n} born?"),), target=t, cluster=n)
    for i, (n, t) in enumerate([("Ann", "Oslo"), ("Bob", "Rome"), ("Cid", "Bern")])
)


def test_one_thing_differs() -> None:
    (first, *_) = varied(ROWS, 2, ["The sea is deep."])
    assert first.meta["varied"] == ("fact", "style", "topic")
    right, fact, style, topic = first.choices
    assert (right, style, topic) == ("Oslo", "The answer is Oslo.", "The")
    assert fact in ("Rome", "Bern")


def test_what_cannot_be_made_is_left_out() -> None:
    (only,) = varied(ROWS[:1], 5, [])
    assert only.meta["varied"] == ("style",)
    assert len(only.choices) == 2
    assert varied((Example(id="t", target="plain text"),), 5, ["more"]) == []


def test_long_answers_change_their_dress() -> None:
    long = "The Patient, aged 40, came in on Monday with pain in the chest and a cough."
    assert restyled(long) == "the patient aged 40 came in on monday with pain in the chest and a cough"
