from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.cache_utils import DynamicLayer

from sft_probe.observe import roomy
from sft_probe.observe.roomy import RoomyLayer, roomy_cache
from sft_probe.testing.tiny import tiny_model

steps = st.lists(st.one_of(st.integers(1, roomy.ROOM + 2), st.permutations(range(3))), min_size=1, max_size=9)


@given(steps=steps)
def test_it_holds_what_the_growing_one_holds(steps: list[int | list[int]]) -> None:
    ours, theirs, generator = RoomyLayer(), DynamicLayer(), torch.Generator().manual_seed(0)
    for step in steps:
        if isinstance(step, list):
            chosen = torch.tensor(step[:2] + step[:1])
            ours.reorder_cache(chosen)
            theirs.reorder_cache(chosen)
            continue
        new = torch.randn(2, 3, 2, step, 4, generator=generator)
        for mine, expected in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(mine, expected)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_one_token_more_does_not_move_the_others() -> None:
    layer = RoomyLayer()
    layer.update(torch.ones(1, 1, 5, 2), torch.ones(1, 1, 5, 2))
    before = layer.keys.data_ptr()
    layer.update(torch.ones(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
    assert layer.keys.data_ptr() == before
    assert layer.get_seq_length() == 6


def test_every_layer_of_a_plain_model_has_room() -> None:
    model = tiny_model("gpt2")
    layers = roomy_cache(model.config).layers
    assert [type(layer) for layer in layers] == [RoomyLayer] * model.config.num_hidden_layers
