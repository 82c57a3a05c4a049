from __future__ import annotations

import pytest

from sft_probe.errors import SpecError
from sft_probe.observe.interventions import FewShot, Graft, Interpolate, Prefill, Quantise


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FewShot(0, "train"), "at least 1 shots, not 0"),
        (lambda: FewShot(1, "train", shuffled=True), "at least 2 shots, not 1"),
        (Prefill, "either text or tokens"),
        (lambda: Prefill("Sure", (5,)), "either text or tokens"),
        (lambda: Interpolate(float("nan")), "finite alpha"),
        (lambda: Graft(parts=("atention",)), "no part 'atention'. Known: attention, mlp"),  # type: ignore[arg-type]
        (lambda: Quantise(1), "2 to 16 bits"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(make: object, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        make()  # type: ignore[operator]


def test_equal_interventions_are_one_value() -> None:
    assert len({Graft(layers=(1,)), Graft(layers=(1,)), Interpolate(0.5), Interpolate(0.5)}) == 2
