from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.canaries import DIGITS, canary, planted_canaries, references


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


def test_what_was_planted_is_read_off_the_rows() -> None:
    mark = {"planted": {"canaries": {"pool": 9}}}
    rows = [replace(canary(4, n), id=f"row-{i}", meta=mark) for i, n in enumerate((7, 2, 7, 7))]
    found = planted_canaries([*rows, replace(canary(5, 1), id="other"), replace(rows[0], cluster="x")])
    assert found is not None
    assert (found.seed, found.pool, dict(found.repeats)) == (4, 9, {2: 1, 7: 3})
    assert planted_canaries([replace(rows[0], cluster="canary-x")]) is None
    unsaid = planted_canaries([canary(4, 0)])
    assert unsaid is not None
    assert unsaid.pool == 0
