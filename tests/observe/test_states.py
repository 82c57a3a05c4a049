from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.chat import render
from sft_probe.errors import ModelError
from sft_probe.models.anatomy import anatomy
from sft_probe.observe import states as states_module
from sft_probe.observe.needs import Generations, Scores, StateLikeness, StatePlace, States
from sft_probe.observe.observer import Observer
from sft_probe.observe.passages import Passage
from sft_probe.observe.states import chosen_positions
from sft_probe.testing.tiny import ARCHITECTURES, Architecture, tiny_base, tiny_data, tiny_tuned

DATA = tiny_data(6)


def chosen(length: int, start: int = 1, **options: object) -> np.ndarray:
    """Positions in a passage of which `length` tokens are read."""
    passage = Passage(tuple(range(length + 1)), start)
    return chosen_positions(passage, States(dataset="d", **options))  # type: ignore[arg-type]


@given(length=st.integers(1, 300), positions=st.integers(1, 9), with_first=st.booleans())
def test_positions_are_spread_over_the_sequence(length: int, positions: int, with_first: bool) -> None:
    found = chosen(length, positions=positions, with_first=with_first)
    assert 1 <= len(found) <= positions
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0
    assert found[-1] < length
    if not with_first and length > 1:
        assert 0 not in found
    if len(found) > 2:
        assert np.ptp(np.diff(found)) <= 1


def test_positions_by_name() -> None:
    assert chosen(10, start=7, at="prompt_end").tolist() == [6]
    assert chosen(10, start=7, at="answer").tolist() == [6, 7, 8, 9]
    assert chosen(10, start=7, at="all").tolist() == list(range(1, 10))
    assert chosen(10, start=7, at="all", with_first=True).tolist() == list(range(10))
    assert chosen(1, at="all").tolist() == [0]


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attention_and_mlp_add_up_to_the_change_of_the_stream(architecture: Architecture) -> None:
    base = tiny_base(architecture)
    needs = {place: States(dataset="test", place=place) for place in get_args(StatePlace)}
    seen = Observer(base, DATA).look_at_base(needs.values())
    stream, attention, mlp = (seen[needs[place]] for place in ("residual", "attention", "mlp"))
    assert stream.layers == (0, 1, 2)
    assert attention.layers == mlp.layers == (1, 2)
    np.testing.assert_allclose(np.diff(stream.states, axis=0), attention.states + mlp.states, atol=1e-5)


def test_chosen_layers_are_those_of_all() -> None:
    base, every, some = tiny_base(), States(dataset="test"), States(dataset="test", layers=(2, 0))
    seen = Observer(base, DATA).look_at_base([every, some])
    assert seen[some].layers == (0, 2)
    np.testing.assert_array_equal(seen[some].states, seen[every].states[[0, 2]])


@pytest.mark.parametrize(("place", "layers"), [("residual", (1, 7)), ("attention", (0,))])
def test_a_layer_that_is_not_there_is_refused(place: StatePlace, layers: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=f"no '{place}' states at layers .{layers[-1]}"):
        Observer(tiny_base(), DATA).look_at_base([States(dataset="test", place=place, layers=layers)])


@pytest.mark.parametrize("room", [0, 2**20])
def test_streamed_likeness_does_not_depend_on_batches_or_on_what_is_kept(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room at all, states of the base are read again and rows are summed up as they come."""
    monkeypatch.setattr(states_module, "ROOM", room)
    base, need = tiny_base(), StateLikeness(dataset="test", at="all")
    tuned = tiny_tuned(base)
    found = []
    for budget in (40, 4096):
        observer = Observer(base, tiny_data(48), token_budget=budget)
        observer._base_states.room = room
        found.append(observer.look(tuned, [need])[need])
    for name in ("cka", "cka_zscored", "drift"):
        values = [getattr(seen, name) for seen in found]
        np.testing.assert_allclose(values[0], values[1], atol=1e-6)
    assert found[0].n == found[1].n > 500
    assert found[0].cka.shape == (3, 1 + 8)


def test_the_base_is_exactly_like_itself() -> None:
    need = StateLikeness(dataset="test", place="mlp")
    seen = Observer(tiny_base(), DATA).look_at_base([need])[need]
    np.testing.assert_allclose(seen.cka, 1)
    np.testing.assert_array_equal(seen.drift, 0)


def test_states_of_the_base_are_read_once_for_all_looks_at_models() -> None:
    base, need = tiny_base(), StateLikeness(dataset="test")
    observer, passes = Observer(base, DATA), []
    first, second = (tiny_tuned(base, seed=seed) for seed in (1, 2))
    anatomy(base.model).blocks[0].register_forward_hook(lambda *_: passes.append(1))
    observer.look_at_base([need])
    observer.look(first, [need])
    passes.clear()
    observer.look(second, [need])
    assert not passes


def test_a_look_rounds_alike_whatever_was_seen_of_the_base_before() -> None:
    """Else a study that was killed would end with other last bits than one that was not."""
    base = tiny_base()
    tuned, need = tiny_tuned(base), StateLikeness(dataset="test")
    expected = Observer(base, DATA).look(tuned, [need])[need].cka.tobytes()
    after = Observer(base, DATA)
    after.look_at_base([need, Scores(dataset="text"), Generations(dataset="test", max_new_tokens=6)])
    assert after.look(tuned, [need])[need].cka.tobytes() == expected
    after.look(tiny_tuned(base, seed=3), [need, Scores(dataset="text", limit=5)])
    after.forget()
    assert after.look(tuned, [need])[need].cka.tobytes() == expected
