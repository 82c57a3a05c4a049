from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Scores, States, Unembedding
from sft_probe.observe.observations import Observed, ScoresSeen, StatesSeen, UnembeddingSeen
from sft_probe.observe.observer import Observer
from sft_probe.probes.shift_direction import ADDED, RANDOM, REMOVED, ShiftDirection
from sft_probe.schema import Measurement
from sft_probe.testing.conformance import check_probe, with_derived
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_lora, tiny_tuned

Find = Callable[..., Measurement]
PROBE = ShiftDirection(depths=(0.5,), tokens=2)
RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(3, 80, 6)).astype(np.float32)
SHIFT = np.array([0, 0, 4, 0, 0, 0], dtype=np.float32)
EXAMPLES = tuple(Example(id=str(i), target="t") for i in range(20))


def scores(per_token: float) -> ScoresSeen:
    return ScoresSeen(
        examples=EXAMPLES,
        target_logprob=np.full(20, 2 * per_token) + 0.01 * np.arange(20),
        target_tokens=np.full(20, 2),
        target_greedy=np.zeros(20, dtype=bool),
        choice_logprob=(),
        choice_tokens=(),
    )


def observed(states: np.ndarray, plain: float, added: float, random: float, removed: float) -> Observed:
    head = UnembeddingSeen(read=lambda rows: rows * 1.0, fit=None, text_of=lambda t: f"<{t}>")  # type: ignore[arg-type]
    seen = StatesSeen(
        examples=EXAMPLES,
        example=np.arange(80) // 4,
        position=np.arange(80) % 4,
        layers=(0, 1, 2),
        states=states.astype(np.float32),
    )
    looks = {ADDED: added, RANDOM: random, REMOVED: removed}
    return Observed(
        {
            States(dataset="shift_direction.measured"): seen,
            Unembedding(): head,
            Scores(dataset="shift_direction.tested"): scores(plain),
            **{PROBE._scores(what, 0.5): scores(value) for what, value in looks.items()},
        }
    )


BASE = observed(STATES, -3, -3, -3, -3)


def test_a_common_shift_is_found_named_and_tried(find: Find) -> None:
    found = PROBE.measure(observed(STATES + SHIFT, -1, -2, -3.5, -2.5), BASE)
    assert find(found, "shift_common_share", layer=1).value == pytest.approx(1, abs=1e-5)
    assert find(found, "shift_length", layer=2).value == pytest.approx(4 / np.sqrt(6), rel=0.1)
    assert (found.items[0].prediction, found.items[0].item) == ("<2>", "layer 1: 1")
    rise = find(found, "shift_token_rise", layer=1)
    assert rise.value == pytest.approx(4 - np.log((np.e**4 + 5) / 6), abs=0.3)
    assert rise.null_value < rise.value
    for metric, value in (
        ("shift_added_gain", 1),
        ("shift_random_gain", -0.5),
        ("shift_beyond_random", 1.5),
        ("shift_part_of_gain", 0.5),
        ("shift_removed_loss", 1.5),
    ):
        assert find(found, metric, layer=1).value == pytest.approx(value)


def test_changes_that_differ_everywhere_are_no_direction(find: Find) -> None:
    moved = STATES + RNG.normal(size=STATES.shape)
    found = PROBE.measure(observed(moved, -1, -3, -3, -1), BASE)
    row = find(found, "shift_common_share", layer=1)
    assert row.ci_low < 0 < row.ci_high


def test_the_base_did_not_move(find: Find) -> None:
    found = PROBE.measure(BASE, BASE)
    assert find(found, "shift_length", layer=0).value == 0
    assert np.isnan(find(found, "shift_common_share", layer=0).value)
    assert find(found, "shift_added_gain", layer=1).value == 0
    part = find(found, "shift_part_of_gain", layer=1)
    assert (np.isnan(part.value), part.why) == (True, "the expected answers did not become likelier")
    assert found.items == ()


@pytest.mark.parametrize("tune", [tiny_tuned, tiny_lora])
def test_added_to_the_base_it_is_the_bases_weights_that_speak(tune: Callable[..., object]) -> None:
    """At depth 1 and with a shift that is nil, base plus shift is the base; and removing undoes adding."""
    base = tiny_base()
    probe = ShiftDirection(depths=(1.0,))
    data = with_derived(probe, tiny_data())
    still = tune(base, scale=0.0) if tune is tiny_lora else tiny_tuned(base, scale=1e-7)
    look, before = (
        Observer(base, data).look(still, probe.needs()),
        Observer(base, data).look_at_base(probe.needs()),
    )  # type: ignore[arg-type]
    plain = Scores(dataset="shift_direction.tested")
    for what in (ADDED, RANDOM, REMOVED):
        changed = look[probe._scores(what, 1.0)].target_logprob
        np.testing.assert_allclose(changed, before[plain].target_logprob, atol=1e-3)


def test_halves_share_no_cluster() -> None:
    rows = tuple(Example(id=str(i), target="t", cluster=f"c{i // 3}") for i in range(30))
    halves = PROBE.derive(DataSets({"test": Dataset("test", rows)}))
    clusters = [{row.cluster for row in half} for half in halves.values()]
    assert clusters[0] & clusters[1] == set()
    one = tuple(Example(id=str(i), target="t", cluster="c") for i in range(4))
    with pytest.raises(NotApplicable, match="no two rows"):
        PROBE.derive(DataSets({"test": Dataset("test", one)}))


@pytest.mark.parametrize("tune", [tiny_tuned, tiny_lora])
def test_conforms(tune: Callable[..., object]) -> None:
    base = tiny_base()
    found = check_probe(ShiftDirection(limit=8), tune(base), base, tiny_data())  # type: ignore[arg-type]
    assert any(row.metric == "shift_added_gain" and row.value != 0 for row in found.rows)


def test_bad_options_are_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"probes\.shift_direction\.depths"):
        ShiftDirection(depths=(1.5,))
