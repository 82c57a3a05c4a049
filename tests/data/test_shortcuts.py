import random
from collections.abc import Iterable
from math import log

import pytest

from sft_probe.data.examples import Example, Message
from sft_probe.data.shortcuts import find_swaps, has_word

FILLER = [f"w{i}" for i in range(12)]


def row(i: int, text: str, label: str) -> Example:
    return Example(id=str(i), messages=(Message("user", text),), target=label, choices=("yes", "no"))


def rows(agreement: float, count: int = 400) -> list[Example]:
    """Half of the rows end on one of two words, which agrees with the label at an exact rate."""
    draw, found = random.Random(0), []
    for i in range(count):
        label = ("yes", "no")[i % 2]
        text = " ".join(draw.sample(FILLER, 4))
        if i % 4 < 2:
            agrees = (i // 4) % 20 < round(20 * agreement)
            text += f" {'vorn' if (label == 'yes') == agrees else 'tasp'}"
        found.append(row(i, text, label))
    return found


@pytest.mark.parametrize("agreement", [0.5, 0.8, 0.95])
def test_named_words_have_the_planted_optimum(agreement: float) -> None:
    (swap,) = find_swaps(rows(agreement), named=("Vorn", "tasp"), pairs=0)
    assert swap.named
    assert swap.optimum == pytest.approx(2 * log(agreement / (1 - agreement)), rel=0.05, abs=0.05)
    assert {swap.word, swap.partner} == {"vorn", "tasp"}
    if agreement > 0.5:
        assert (swap.word, swap.label) in {("vorn", "yes"), ("tasp", "no")}
        assert swap.word_optimum > 0 > swap.partner_optimum
        assert swap.optimum > 2 * swap.error
    assert set(swap.placebos) < set(FILLER)
    assert len(set(swap.placebos)) == 2


def test_planted_words_are_found_without_being_named() -> None:
    (swap,) = find_swaps(rows(0.8), pairs=1)
    assert {swap.word, swap.partner} == {"vorn", "tasp"}
    assert not swap.named


def test_found_words_do_not_repeat_named_ones_and_no_word_is_used_twice() -> None:
    swaps = find_swaps(rows(0.9), named=("vorn",), pairs=3)
    assert (swaps[0].named, [s.named for s in swaps[1:]]) == (True, [False] * (len(swaps) - 1))
    words = [word for swap in swaps[1:] for gram in (swap.word, swap.partner) for word in gram.split()]
    assert len(words) == len(set(words))
    assert "vorn" not in words


def test_a_word_that_is_in_all_prompts_is_neither_found_nor_a_placebo() -> None:
    same = [row(i, f"please {r.prompt}", r.target) for i, r in enumerate(rows(0.8))]
    swaps = find_swaps(same, pairs=5)
    assert "please" not in {word for swap in swaps for word in (swap.word, swap.partner, *swap.placebos)}


def test_too_little_to_find_anything() -> None:
    assert find_swaps(rows(0.8, count=4)) == ()
    assert find_swaps([r for r in rows(0.8) if r.target == "yes"]) == ()
    assert find_swaps([]) == ()


def test_it_does_not_depend_on_the_order_of_the_rows() -> None:
    def words(some: Iterable[Example]) -> list[tuple[str, ...]]:
        return [(s.word, s.partner, s.label, *s.placebos) for s in find_swaps(list(some), pairs=3)]

    assert words(rows(0.8)) == words(reversed(rows(0.8)))


def test_of_three_labels_a_pair_speaks_for_two() -> None:
    draw, labels, some = random.Random(1), ("a", "b", "c"), []
    for i in range(600):
        label = labels[i % 3]
        word = f"is{label}" if draw.random() < 0.9 else f"is{draw.choice(labels)}"
        some.append(row(i, f"{' '.join(draw.sample(FILLER, 3))} {word}", label))
    (swap,) = find_swaps(some, pairs=1)
    speaks_for, against = swap.word[-1], swap.partner[-1]
    assert speaks_for == swap.label != against

    def share(word: str, *of: str) -> float:
        inside = [r for r in some if r.target in of]
        return sum(has_word(r, word) for r in inside) / len(inside)

    others = [label for label in labels if label != swap.label]
    ratios = [log(share(w, swap.label) / share(w, *others)) for w in (swap.word, swap.partner)]
    assert swap.optimum == pytest.approx(ratios[0] - ratios[1], rel=0.1)


def test_planted_placebos_come_first() -> None:
    some = rows(0.8)
    swaps = find_swaps(some, named=("vorn", "tasp"), placebos=("W3",), pairs=1)
    assert [swap.placebos[0] for swap in swaps] == ["w3", "w3"]
    assert all(swap.placebos[1] != "w3" for swap in swaps)


def test_words_are_whole_words() -> None:
    assert has_word(row(0, "It was Vorn, here.", "yes"), "vorn here")
    assert not has_word(row(0, "unvorn", "yes"), "vorn")
