import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.observations import Observed
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.hold_back import HoldBack
from sft_probe.train.edits.pipeline import edit_training

ROWS = tuple(Example(id=f"r{i}", target=str(i)) for i in range(20))
DATA = DataSets({"train": Dataset("train", ROWS), "test": Dataset("test", ROWS[:3])})


def context(seed: int) -> EditContext:
    return EditContext(data=DATA, base=Observed({}), seed=seed)


@given(st.floats(0.05, 0.95), st.integers(0, 5))
def test_every_row_is_trained_on_or_left_out(share: float, seed: int) -> None:
    edited = HoldBack(share=share).apply(ROWS, context(seed))
    assert len(edited.left_out) == round(share * 20) == len(edited.changes)
    assert sorted((*edited.rows, *edited.left_out), key=ROWS.index) == list(ROWS)
    assert list(edited.rows) == [row for row in ROWS if row in edited.rows]


def test_lots_are_cast_anew_in_every_run_unless_told_otherwise() -> None:
    assert HoldBack().apply(ROWS, context(1)) == HoldBack().apply(ROWS, context(1))
    assert HoldBack().apply(ROWS, context(1)) != HoldBack().apply(ROWS, context(2))
    fixed = HoldBack(redraw=False)
    assert fixed.apply(ROWS, context(1)) == fixed.apply(ROWS, context(2))


def test_probes_find_what_was_left_out() -> None:
    edited = edit_training((HoldBack(share=0.25),), DATA, lambda data, needs: Observed({}), seed=0).data
    assert (len(edited["train"]), len(edited["left_out"])) == (15, 5)
    assert "left_out" not in edit_training((), DATA, lambda data, needs: Observed({}), seed=0).data


def test_what_cannot_be_left_out() -> None:
    with pytest.raises(SpecError, match="between 0 and 1"):
        HoldBack(share=1.0)
    with pytest.raises(NotApplicable, match=r"0\.1 of 3"):
        HoldBack(share=0.1).apply(ROWS[:3], context(0))
