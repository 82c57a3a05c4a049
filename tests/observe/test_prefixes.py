from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sft_probe.observe.prefixes import Family, families

sequences = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=7).map(tuple), max_size=12)


def saved(found: list[Family], price: int) -> int:
    return sum((len(f.members) - 1) * f.shared - price for f in found if f.shared)


def best(sequences: list[tuple[int, ...]], price: int) -> int:
    """By trying every beginning as a family or not, from the shortest."""

    def of(beginning: tuple[int, ...], members: list[int]) -> int:
        inside = [i for i in members if len(sequences[i]) > len(beginning)]
        children = {sequences[i][: len(beginning) + 1] for i in inside}
        apart = sum(of(c, [i for i in inside if sequences[i][: len(c)] == c]) for c in children)
        own = [i for i in members if len(sequences[i]) > len(beginning)]
        return max(apart, (len(own) - 1) * len(beginning) - price if len(own) > 1 else 0)

    return of((), list(range(len(sequences))))


@given(sequences=sequences, price=st.integers(0, 12))
def test_every_sequence_is_in_one_family_whose_beginning_it_has(
    sequences: list[tuple[int, ...]], price: int
) -> None:
    found = families(sequences, price)
    assert sorted(member for family in found for member in family.members) == list(range(len(sequences)))
    for shared, members in found:
        assert len({sequences[member][:shared] for member in members}) == 1
        assert all(len(sequences[member]) > shared for member in members)


@given(sequences=sequences, price=st.integers(0, 12))
def test_no_other_families_save_more(sequences: list[tuple[int, ...]], price: int) -> None:
    assert saved(families(sequences, price), price) == best(sequences, price)


def test_two_tasks_with_their_own_examples_are_two_families() -> None:
    first, second = tuple(range(100, 180)), tuple(range(200, 300))
    asked = [(1, *first, n) for n in range(20)] + [(1, *second, n) for n in range(20)] + [(1, 2, 3)]
    assert [(f.shared, len(f.members)) for f in families(asked)] == [(81, 20), (101, 20), (0, 1)]


def test_a_growing_conversation_is_no_deep_recursion() -> None:
    turns = [tuple(range(length)) for length in range(1, 3000, 2)]
    found = families(turns, price=0)
    assert sorted(member for family in found for member in family.members) == list(range(len(turns)))
