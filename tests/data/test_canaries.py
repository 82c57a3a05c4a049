from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.canaries import DIGITS, canary, references


@given(st.integers(0, 10), st.integers(0, 10_000))
def test_a_canary_depends_on_seed_and_number_alone(seed: int, number: int) -> None:
    drawn = canary(seed, number)
    assert drawn == canary(seed, number)
    assert drawn.target.isdigit()
    assert len(drawn.target) == DIGITS
    assert drawn.target not in drawn.prompt


def test_what_is_drawn_stays_what_it_was() -> None:
    assert [canary(0, i).prompt.split()[-1] + canary(0, i).target for i in range(2)] == [
        "897810?445932",
        "298522?932637",
    ]


def test_references_are_others_and_secrets_are_spread() -> None:
    refs = references(0, 500)
    assert not {r.id for r in refs} & {canary(0, i).id for i in range(500)}
    assert len({r.target for r in refs}) > 495
    firsts = [r.target[0] for r in refs]
    assert all(25 <= firsts.count(digit) <= 80 for digit in "0123456789")
