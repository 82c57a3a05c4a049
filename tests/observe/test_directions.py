from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import SpecError
from sft_probe.observe.directions import vectors
from sft_probe.observe.interventions import Ablate, Add, Contrast, Interpolate, MeanShift
from sft_probe.observe.needs import States
from sft_probe.observe.observations import Observed, StatesSeen
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

CONTRAST = Contrast("rows", "bad", depth=0.5)
NEED = States(dataset="rows", at="prompt_end")


def example(number: int, bad: bool) -> Example:
    words = "cat sofa" if bad else "fox garden"
    return Example(
        id=f"e{number}",
        target="yes",
        messages=(Message("user", f"{words} {number}"),),
        meta={"bad": bad},
    )


def seen(kinds: tuple[bool, ...], states: np.ndarray) -> StatesSeen:
    return StatesSeen(
        examples=tuple(example(i, bad) for i, bad in enumerate(kinds)),
        example=np.arange(len(kinds)),
        position=np.zeros(len(kinds), dtype=np.int64),
        layers=tuple(range(len(states))),
        states=states.astype(np.float32),
    )


def test_a_contrast_is_the_difference_of_means_at_its_depth() -> None:
    states = np.zeros((5, 4, 2))
    states[2, :, 0], states[2, :, 1] = [1, 3, 10, 20], [0, 0, 4, 6]
    shown = {NEED: seen((True, True, False, False), states)}
    found = vectors({CONTRAST: NEED}, shown, Observed({}))[CONTRAST]
    assert (found.layer, found.values) == (2, (-13.0, -5.0))
    random = [replace(CONTRAST, random=seed) for seed in (1, 2)]
    drawn = vectors(dict.fromkeys(random, NEED), shown, Observed({}))
    lengths = [np.linalg.norm(drawn[one].values) for one in random]
    assert lengths == pytest.approx([np.hypot(13, 5)] * 2)
    assert drawn[random[0]] != drawn[random[1]]


def test_rows_of_one_kind_have_no_direction() -> None:
    shown = {NEED: seen((True, True), np.ones((3, 2, 2)))}
    for contrast in (CONTRAST, replace(CONTRAST, random=1)):
        assert vectors({contrast: NEED}, shown, Observed({}))[contrast].values == (0.0, 0.0)


def test_a_mean_shift_is_the_mean_of_the_model_minus_that_of_its_base() -> None:
    shift, need = MeanShift("rows", 1), States(dataset="rows", layers=(1,))
    model, base = (replace(seen((True,), np.full((1, 1, 2), x)), layers=(1,)) for x in (3.0, 1.0))
    found = vectors({shift: need}, {need: model}, Observed({need: base}))[shift]
    assert (found.layer, found.values) == (1, (2.0, 2.0))


def test_ablated_nothing_is_left_along_it_and_added_to_the_base_it_moves_every_state_alike() -> None:
    base = tiny_base()
    rows = Dataset("rows", tuple(example(i, i % 2 == 0) for i in range(6)))
    observer = Observer(base, DataSets({**tiny_data(), "rows": rows}))
    place = len(base.model.model.layers) // 2
    plain = States(dataset="rows", layers=(place,), at="prompt_end")
    ablated = replace(plain, under=(Ablate(CONTRAST),))
    added = replace(plain, under=(Interpolate(0.0), Add(CONTRAST)))
    model = tiny_tuned(base)
    shown, before = observer.look(model, [plain, ablated, added]), observer.look_at_base([plain])[plain]
    states = shown[plain].states[0].astype(float)
    apart = states[::2].mean(0) - states[1::2].mean(0)
    assert abs(shown[ablated].states[0] @ apart).max() < 1e-3 * np.linalg.norm(apart)
    np.testing.assert_allclose(shown[added].states - before.states, np.tile(apart, (1, 6, 1)), atol=1e-4)


def test_a_depth_is_a_share() -> None:
    with pytest.raises(SpecError, match="depth"):
        Contrast("rows", "bad", depth=2)
