from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable
from sft_probe.observe.observations import AttentionSeen, Observed
from sft_probe.observe.observer import Observer
from sft_probe.probes.attention_drift import FIELD, AttentionDrift
from sft_probe.schema import Measurement
from sft_probe.testing.conformance import check_probe, with_derived
from sft_probe.testing.families import FAMILIES, family_base
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

Find = Callable[..., Measurement]
PROBE = AttentionDrift()
EXAMPLES = tuple(Example(id=str(i), target="t", messages=(Message("user", "q"),)) for i in range(6))
KINDS = ("first", "context", "answer", "other")
MASS = np.tile(np.array([0.5, 0.2, 0.1, 0.2])[:, None], (1, 2, 1, 6))  # (1, 2 heads, 4 kinds, 6)


def observed(moved: float, *, layers: int = 1) -> Observed:
    mass = MASS.copy()
    mass[:, :, 0] -= moved
    mass[:, :, 1] += moved
    seen = AttentionSeen(
        examples=EXAMPLES,
        layers=tuple(range(1, layers + 1)),
        kinds=KINDS,
        present=np.array([[True] * 6, [True] * 3 + [False] * 3, [True] * 6, [True] * 6]),
        entropy=np.full((1, 2, 6), 1.0 + moved)[:layers],
        distance=np.stack([np.full((1, 6), moved), np.full((1, 6), 3 * moved)], axis=1)[:layers],
        mass=mass[:layers],
    )
    return Observed({PROBE.needs()[0]: seen})


def test_moved_attention_by_layer_head_and_kind(find: Find) -> None:
    found = PROBE.measure(observed(0.1), observed(0.0))
    assert find(found, "attention_moved_share", layer=1).value == pytest.approx(0.2)
    assert find(found, "attention_moved_by_head_share", layer=1, module="head 1").value == pytest.approx(0.3)
    assert find(found, "attention_entropy_change", layer=1).value == pytest.approx(0.1)
    assert find(found, "attention_share_change", layer=1, module="first").value == pytest.approx(-0.1)
    context = find(found, "attention_share_change", layer=1, module="context")
    assert (context.value, context.n) == (pytest.approx(0.1), 3)
    row = find(found, "attention_share", layer=1, module="context")
    assert (row.value, row.null_value) == (pytest.approx(0.3), pytest.approx(0.2))


def test_the_base_did_not_move() -> None:
    base = observed(0.0)
    for row in PROBE.measure(base, base).rows:
        assert row.value == pytest.approx(row.null_value)


def test_a_model_without_attention_says_so() -> None:
    base = family_base(next(family for family in FAMILIES if family.model_type == "mamba"))
    data = with_derived(PROBE, tiny_data())
    look = Observer(base, data).look(tiny_tuned(base), PROBE.needs())
    rows = PROBE.measure(look, look).rows
    assert {row.why for row in rows} == {"this model has no attention whose weights can be seen"}


def test_instruction_and_context_are_marked() -> None:
    rows = tuple(
        Example(
            id=str(i),
            messages=(Message("user", f"Tell the colour.\nThe ball of row {i} is {colour}."),),
            target=f"It is {colour}.",
        )
        for i, colour in enumerate(("crimson", "azure", "olive", "amber", "ivory"))
    )
    derived = PROBE.derive(DataSets({"test": Dataset("test", rows)}))["attention_drift.rows"]
    pieces = derived.examples[1].meta[FIELD]
    assert pieces == {"context": ("The ball of row 1 is azure.",), "instruction": ("Tell the colour.",)}
    plain = PROBE.derive(tiny_data())["attention_drift.rows"].examples[0]
    assert set(plain.meta[FIELD]) >= {"instruction"}


def test_plain_text_has_no_prompt() -> None:
    text = DataSets({"test": tiny_data()["text"]})
    with pytest.raises(NotApplicable, match="no row of 'test' has a question"):
        PROBE.derive(text)


def test_conforms() -> None:
    base = tiny_base()
    found = check_probe(AttentionDrift(limit=4), tiny_tuned(base), base, tiny_data())
    assert any(row.metric == "attention_moved_share" and row.value > 0 for row in found.rows)
