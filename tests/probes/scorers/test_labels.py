import numpy as np
import pytest

from sft_probe.data.examples import Example
from sft_probe.observe.observations import ScoresSeen
from sft_probe.probes.scorers.labels import label_sets, labelled

LABELS = ("neg", "pos")


def example(i: int, target: str, choices: tuple[str, ...]) -> Example:
    return Example(id=f"e{i}", target=target, choices=choices)


def scored(examples: tuple[Example, ...], logprob: list[list[float]]) -> ScoresSeen:
    n = len(examples)
    return ScoresSeen(
        examples=examples,
        target_logprob=np.zeros(n),
        target_tokens=np.ones(n, dtype=int),
        target_greedy=np.ones(n, dtype=bool),
        choice_logprob=tuple(np.array(row) for row in logprob),
        choice_tokens=tuple(np.array([1, 2][: len(row)]) for row in logprob),
    )


def test_sets_that_rows_share_are_labels_and_others_are_distractors() -> None:
    asked = [example(i, "pos", LABELS if i % 2 else LABELS[::-1]) for i in range(6)]
    quiz = [example(9 + i, f"a{i}", (f"a{i}", f"b{i}")) for i in range(20)]
    free = [example(50, "text", ())]
    assert label_sets([*asked, *quiz, *free]) == (frozenset(LABELS),)
    assert label_sets([*asked[:2], *quiz]) == ()
    assert label_sets([*asked[:1], *free]) == ()


def test_probabilities_are_a_softmax_over_the_rows_own_choices() -> None:
    examples = (example(0, "pos", LABELS), example(1, "neg", LABELS[::-1]), example(2, "x", ("x", "y")))
    found = labelled(scored(examples, [[-1.0, -2.0], [-3.0, -1.0], [0.0, 0.0]]), {frozenset(LABELS)})
    assert found.labels == LABELS
    assert (found.rows.tolist(), found.gold.tolist()) == ([0, 1], [1, 0])
    odds = np.exp([1.0, 2.0])  # neg over pos
    assert found.probabilities[:, 0] == pytest.approx(odds / (1 + odds))
    assert found.predicted.tolist() == [0, 0]
    assert found.of_gold == pytest.approx([1 / (1 + odds[0]), odds[1] / (1 + odds[1])])


def test_the_scoring_changes_probabilities() -> None:
    seen = scored((example(0, "neg", LABELS),) * 2, [[-1.0, -2.0]] * 2)
    assert labelled(seen, {frozenset(LABELS)}, "per_token").of_gold == pytest.approx([0.5, 0.5])


def test_no_labels_is_an_empty_table() -> None:
    found = labelled(scored((example(0, "x", ()),), [[]]), ())
    assert (found.labels, found.rows.size) == ((), 0)
    assert found.predicted.size == found.of_gold.size == 0
