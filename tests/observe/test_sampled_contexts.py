"""Answers drawn from the base, forced on both models."""

from __future__ import annotations

import numpy as np

from sft_probe.observe.needs import TokenDivergence
from sft_probe.observe.observations import TokenDivergenceSeen
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
TUNED = tiny_tuned(BASE)


def draw(seed: int) -> TokenDivergence:
    return TokenDivergence(dataset="test", contexts="sampled", max_new_tokens=5, seed=seed)


def sums(seen: TokenDivergenceSeen) -> np.ndarray:
    """Per answer: KL(base || model) over its tokens minus the log ratio of the answer itself."""
    gap = seen.kl_base_tuned - (seen.logprob_base - seen.logprob_tuned)
    return np.bincount(seen.example, gap, len(seen.examples))


def test_divergences_along_samples_are_those_of_whole_answers() -> None:
    """The mean log ratio of answers from the base is their divergence; sums of KL have the same mean."""
    needs = [draw(seed) for seed in range(40)]
    looked = Observer(BASE, DATA).look(TUNED, needs)
    gaps = np.concatenate([sums(looked[need]) for need in needs])
    assert abs(gaps.mean()) < 4 * gaps.std() / gaps.size**0.5
    assert gaps.std() > 0.01


def test_a_draw_is_the_same_for_every_model_and_another_for_every_seed() -> None:
    first = Observer(BASE, DATA).look(TUNED, [draw(0), draw(1)])
    again = Observer(BASE, DATA).look(tiny_tuned(BASE, seed=2), [draw(0)])[draw(0)]
    assert first[draw(0)].token == again.token != first[draw(1)].token
    assert again.contexts == "sampled"
    base = Observer(BASE, DATA).look_at_base([draw(0)])[draw(0)]
    assert base.token == again.token
    assert np.abs(base.kl_base_tuned).max() < 1e-6
