from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.chat import render
from sft_probe.observe.needs import Scores, States
from sft_probe.observe.observer import Observer
from sft_probe.observe.states import spread
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base, tiny_data, tiny_tuned

DATA = tiny_data(6)


@given(length=st.integers(1, 300), positions=st.integers(1, 9), with_first=st.booleans())
def test_positions_are_spread_over_the_sequence(length: int, positions: int, with_first: bool) -> None:
    chosen = spread(length, States(dataset="d", positions=positions, with_first=with_first))
    assert 1 <= len(chosen) <= positions
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < length
    if not with_first and length > 1:
        assert 0 not in chosen
    if len(chosen) > 2:
        assert np.ptp(np.diff(chosen)) <= 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_equal_those_of_a_manual_forward(architecture: Architecture) -> None:
    base, need = tiny_base(architecture), States(dataset="test", positions=3)
    seen = Observer(base, DATA, token_budget=40).look_at_base([need])[need]
    assert seen.layers == (0, 1, 2)
    for i, example in enumerate(DATA["test"]):
        rendered = render(example, base.tokenizer)
        read = torch.tensor([(rendered.prompt_ids + rendered.target_ids)[:-1]])
        inner = tiny_base(architecture).model  # a second copy: asking for hidden states leaves hooks behind
        with torch.no_grad():
            expected = inner(read, output_hidden_states=True).hidden_states
        rows = seen.example == i
        for layer in (0, 1):  # the last one comes with the final norm applied
            np.testing.assert_allclose(
                seen.states[layer, rows], expected[layer][0, seen.position[rows]].numpy(), atol=1e-5
            )


def test_base_and_tuned_are_read_at_the_same_tokens() -> None:
    base, need = tiny_base(), States(dataset="test")
    observer = Observer(base, DATA)
    before, after = observer.look_at_base([need])[need], observer.look(tiny_tuned(base), [need])[need]
    np.testing.assert_array_equal(before.example, after.example)
    np.testing.assert_array_equal(before.position, after.position)
    assert not np.allclose(before.states, after.states)


def test_other_needs_in_the_same_pass_change_nothing() -> None:
    base, need = tiny_base(), States(dataset="test", limit=3)
    alone = Observer(base, DATA).look_at_base([need])[need]
    together = Observer(base, DATA).look_at_base([Scores(dataset="test"), need])[need]
    np.testing.assert_array_equal(alone.position, together.position)
    np.testing.assert_allclose(alone.states, together.states, atol=1e-5)
