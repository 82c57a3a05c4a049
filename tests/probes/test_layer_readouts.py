from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable
from sft_probe.observe.observations import Observed, StatesSeen
from sft_probe.probes.layer_readouts import LABEL, LayerReadouts
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = LayerReadouts()
RNG = np.random.default_rng(0)
NAMES = ("no", "perhaps", "yes")
ROWS = tuple(
    Example(
        id=str(i),
        messages=(Message("user", f"question {i}"),),
        target=NAMES[i % 3],
        cluster=f"c{i // 4}",
        stratum="all",
        meta={"kind": "odd" if i % 2 else "even", "number": i},
    )
    for i in range(160)
)
DATA = DataSets({"test": Dataset("test", ROWS)})
LABELS = np.arange(160) % 3
NOISE = RNG.normal(size=(2, 160, 24))
SIGNAL = np.stack([NOISE[0], 3 * np.eye(3)[LABELS] @ RNG.normal(size=(3, 24)) + NOISE[1]])


def observed(states: np.ndarray) -> Observed:
    examples = PROBE.derive(DATA)["layer_readouts.rows"].examples
    seen = StatesSeen(
        examples=examples,
        example=np.arange(len(examples)),
        position=np.full(len(examples), 5),
        layers=(0, 1),
        states=states.astype(np.float32),
    )
    return Observed({PROBE.needs()[0]: seen})


BASE = observed(SIGNAL)


def test_the_base_lost_nothing(find: Find) -> None:
    found = PROBE.measure(BASE, BASE)
    for layer, low, high in ((0, 0.0, 0.5), (1, 0.95, 1.0)):
        transfer, refit = (
            find(found, f"readout_{kind}_accuracy", layer=layer) for kind in ("transfer", "refit")
        )
        assert low <= transfer.value <= high
        assert transfer.value == refit.value == refit.null_value
        for metric in ("readout_rotated", "readout_erased", "readout_codelength_change"):
            assert find(found, metric, layer=layer).value == 0
    assert find(found, "readout_refit_accuracy", layer=1).n_clusters == 40
    assert find(found, "readout_selectivity", layer=1).ci_low > 0.3
    assert (
        find(found, "readout_codelength", layer=1).value
        < 0.8
        < find(found, "readout_codelength", layer=0).value
    )


def test_rotated_and_erased_are_told_apart(find: Find) -> None:
    turn = np.linalg.qr(RNG.normal(size=(24, 24)))[0]
    turned, gone = SIGNAL.copy(), SIGNAL.copy()
    turned[1], gone[1] = SIGNAL[1] @ turn, NOISE[1]
    rotated, erased = (PROBE.measure(observed(states), BASE) for states in (turned, gone))
    assert find(rotated, "readout_rotated", layer=1).ci_low > 0.2
    assert abs(find(rotated, "readout_erased", layer=1).value) < 0.05
    assert find(erased, "readout_erased", layer=1).ci_low > 0.3
    assert find(erased, "readout_codelength_change", layer=1).ci_low > 0.3
    assert find(erased, "readout_erased", layer=0).value == 0


def test_the_label_is_the_first_that_suits() -> None:
    rows = PROBE.derive(DATA)["layer_readouts.rows"]
    assert [row.meta[LABEL] for row in rows] == [row.target for row in ROWS]
    free = DataSets({"test": Dataset("test", tuple(replace(row, target=row.id) for row in ROWS))})
    assert {row.meta[LABEL] for row in PROBE.derive(free)["layer_readouts.rows"]} == {"odd", "even"}
    named = LayerReadouts(label="kind").derive(DATA)["layer_readouts.rows"]
    assert {row.meta[LABEL] for row in named} == {"odd", "even"}


def test_without_a_label_it_does_not_apply() -> None:
    with pytest.raises(NotApplicable, match="'stratum' of 'test' is no label"):
        LayerReadouts(label="stratum").derive(DATA)
    plain = DataSets({"test": Dataset("test", tuple(replace(row, messages=()) for row in ROWS))})
    with pytest.raises(NotApplicable, match="is no label"):
        PROBE.derive(plain)
