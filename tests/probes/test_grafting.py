from __future__ import annotations

from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
import pytest

from sft_probe.errors import SpecError
from sft_probe.models.load import fresh_copy
from sft_probe.observe.observations import GraftItem, GraftsSeen, Observed
from sft_probe.observe.observer import Observer
from sft_probe.probes.grafting import Grafting
from sft_probe.schema import Measurements
from sft_probe.testing.conformance import check_probe
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_data, tiny_lora, tiny_tuned

PROBE = Grafting(limit=4, tasks=(), share=0.8)
BLOCKS = ((1, "attention"), (1, "mlp"), (2, "mlp"))


def hand_made(**changes: Any) -> GraftsSeen:
    """Four examples and two documents; the second block was not changed, the third carries three quarters."""
    examples = [GraftItem(dataset="test", item=str(i), cluster=f"test/{i}") for i in range(4)]
    documents = [GraftItem(dataset="task", item=str(i), cluster=f"task/{i}") for i in range(2)]
    base, gain = np.zeros(6), np.array([4.0, 4.4, 3.6, 4.0, -2.0, -2.2])
    first, third = 0.25 * gain, 0.75 * gain
    third[4:] = 0.0  # the loss sits in the first block alone
    first[4:] = gain[4:]
    seen = GraftsSeen(
        items=(*examples, *documents),
        base=base,
        tuned=gain,
        blocks=BLOCKS,
        changed=np.array([True, False, True]),
        sufficient=np.array([first, third]),
        necessary=np.array([gain - first, gain - third]),
        random_sufficient=np.array([first, third]) / 10,
        random_necessary=np.zeros((2, 6)) + gain,
        path=((2, "mlp"), (1, "attention")),
        together=np.array([third, gain]),
        held_back=np.array([False, False, True, True, True, True]),
    )
    return replace(seen, **changes)


def measured(seen: GraftsSeen, probe: Grafting = PROBE) -> Measurements:
    observed = Observed({probe.needs()[0]: seen})
    return probe.measure(observed, observed)


def test_effects_by_hand(find: Any) -> None:
    found = measured(hand_made())
    assert find(found, "graft_change", dataset="test").value == pytest.approx(4.0)
    assert find(found, "graft_change", dataset="task").value == pytest.approx(-2.1)
    whole = find(found, "graft_sufficiency", dataset="test", layer=2, module="mlp")
    assert whole.value == pytest.approx(3.0)
    assert whole.ci_low < 3 < whole.ci_high
    assert whole.null_value == pytest.approx(0.3)
    assert find(found, "graft_necessity", dataset="test", layer=2, module="mlp").value == pytest.approx(3.0)
    assert find(found, "graft_necessity", dataset="test", layer=2, module="mlp").null_value == 0
    assert find(
        found, "graft_interaction", dataset="test", layer=1, module="attention"
    ).value == pytest.approx(0)
    assert find(
        found, "graft_sufficiency", dataset="all", layer=1, module="attention"
    ).value == pytest.approx(-2.1)
    untouched = find(found, "graft_sufficiency", dataset="test", layer=1, module="mlp")
    assert (untouched.value, untouched.null_value) == (0.0, 0.0)


def test_the_search_is_reported_on_what_it_did_not_see(find: Any) -> None:
    found = measured(hand_made())
    first = find(found, "graft_carried", dataset="test", stratum="1", layer=2, module="mlp")
    assert (first.value, first.n, first.null_value) == (pytest.approx(0.75), 2, 0.5)
    assert find(found, "graft_carried", dataset="test", stratum="2", layer=1, module="attention").value == 1
    assert find(found, "graft_blocks", dataset="test").value == 2
    assert find(measured(hand_made(), replace(PROBE, share=0.7)), "graft_blocks", dataset="test").value == 1


def test_what_is_undefined_says_why(find: Any) -> None:
    no_gain = measured(hand_made(tuned=np.array([1.0, -1, 1, -1, 0, 0])))
    assert "not told from zero" in find(no_gain, "graft_blocks", dataset="test").why
    short = hand_made(path=((2, "mlp"),), together=hand_made().together[:1])
    assert find(measured(short), "graft_blocks", dataset="test").why == "1 blocks carry less than 80% of it"
    refused = GraftsSeen(items=hand_made().items, base=np.zeros(6), tuned=np.zeros(6), why="a soft prompt")
    rows = measured(refused).rows
    assert all(isnan(row.value) and row.why == "a soft prompt" for row in rows)


def test_options_are_checked() -> None:
    with pytest.raises(SpecError, match=r"probes\.grafting\.limit"):
        Grafting(limit=1)
    with pytest.raises(SpecError, match=r"probes\.grafting\.score"):
        Grafting(score="margin")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"probes\.grafting\.share"):
        Grafting(share=1.5)


def test_choices_can_be_scored_and_tasks_without_them_are_left_out(tmp_path: Any) -> None:
    base = tiny_base()
    probe = Grafting(
        limit=4, tasks=("tiny_choice", "tiny_generate"), task_limit=2, score="choices", most=2, width=1
    )
    found = check_probe(
        probe, tiny_tuned(base), base, tiny_data(), benchmark_paths=(tiny_benchmarks(tmp_path),)
    )
    assert {row.dataset for row in found.rows} == {"test", "tiny_choice", "all"}


def test_only_what_was_trained_has_an_effect(find: Any) -> None:
    """Only the MLP of block 2 differs: alone it does everything, and without it nothing is left."""
    base = tiny_base()
    model: Any = fresh_copy(base)
    donor: Any = tiny_tuned(base)
    model.model.layers[1].mlp.load_state_dict(donor.model.layers[1].mlp.state_dict())
    found = measured_by(Observer(base, tiny_data()), model, PROBE)
    change = find(found, "graft_change", dataset="test").value
    for metric in ("graft_sufficiency", "graft_necessity"):
        rows = [row for row in found.rows if row.metric == metric and row.value != 0]
        assert [(row.layer, row.module) for row in rows] == [(2, "mlp")]
        assert rows[0].value == pytest.approx(change, abs=1e-4)


def test_what_an_adapter_leaves_alone_is_not_grafted() -> None:
    base = tiny_base()
    seen = Observer(base, tiny_data()).look(tiny_lora(base), PROBE.needs())[PROBE.needs()[0]]
    changed = [block for block, differs in zip(seen.blocks, seen.changed, strict=True) if differs]
    assert changed == [(layer, part) for layer in (1, 2) for part in ("attention", "mlp")]
    assert len(seen.sufficient) == 4
    assert not np.allclose(seen.sufficient, seen.random_sufficient)
    assert set(seen.path) <= {*changed}
    assert len(seen.together) == len(seen.path)


def measured_by(observer: Observer, model: Any, probe: Grafting) -> Measurements:
    needs = probe.needs()
    return probe.measure(observer.look(model, needs), observer.look_at_base(needs))


@pytest.mark.slow
def test_grafts_point_at_the_layers_that_were_trained(planted_study: Any) -> None:
    """An arm that trains blocks 3 and 4 only: all effects are there, and they carry the gain."""
    rows = planted_study(
        [{"grafting": {"limit": 12, "tasks": []}}],
        {"some": {"method": "layers", "method_options": {"first": 3, "last": 4}}},
        {
            "train": "planted:question_answering/train",
            "test": "planted:question_answering/test",
            "max_train_rows": 400,
            "max_test_rows": 12,
        },
    )
    last = rows[(rows["run"] != "base") & (rows["step"] == rows["step"].max())]
    effects = last[last["metric"].isin(["graft_sufficiency", "graft_necessity"])]
    assert set(effects["layer"]) == {*range(8)}
    moved = effects[effects["value"] != 0]
    assert set(moved["layer"]) == {3, 4}
    heavy = moved[(moved["metric"] == "graft_sufficiency") & (moved["module"] != "norm")]
    assert (heavy["ci_low"] > heavy["null_value"]).any()
    assert set(last[last["metric"] == "graft_carried"]["layer"]) <= {3, 4}
    assert last[last["metric"] == "graft_carried"]["value"].max() > 0.85
