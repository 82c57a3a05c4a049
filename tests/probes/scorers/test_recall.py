import numpy as np
import pytest

from sft_probe.data.examples import Dataset, Example
from sft_probe.data.overlap import overlaps
from sft_probe.observe.observations import TokenLogprobsSeen
from sft_probe.probes.scorers.recall import SIGNS, Recall, flagged, of_kind, signs_of


def seen(lengths: list[int]) -> TokenLogprobsSeen:
    """Answers whose k-th token has log-probability -k; every first token is the likeliest."""
    position = np.concatenate([np.arange(n) for n in lengths])
    return TokenLogprobsSeen(
        examples=tuple(of_kind(Example(id=str(i), target=""), "train") for i in range(len(lengths))),
        example=np.repeat(np.arange(len(lengths)), lengths),
        position=position,
        token=("x",) * len(position),
        logprob=-position.astype(float),
        rank=1 + position,
        entropy=np.zeros(len(position)),
    )


def test_tokens_are_cut_into_answers_also_where_some_have_none() -> None:
    found = Recall.read(seen([2, 0, 3, 0]))
    assert [own.size for own in found.logprobs] == [2, 0, 3, 0]
    assert found.logprob == pytest.approx([-0.5, np.nan, -1, np.nan], nan_ok=True)
    assert found.loss == pytest.approx([1, 0, 3, 0])
    assert found.min_k == pytest.approx([-1, np.nan, -2, np.nan], nan_ok=True)
    assert found.extracted(0, 1) == pytest.approx([1, np.nan, 1, np.nan], nan_ok=True)
    assert found.extracted(1, 5) == pytest.approx([0, np.nan, 0, np.nan], nan_ok=True)
    assert found.strength == pytest.approx([0, np.nan, 0, np.nan], nan_ok=True)


def test_rows_of_several_kinds_keep_apart() -> None:
    row = Example(id="a", target="x", choices=("x", "y"), meta={"old": 1})
    one, other = of_kind(row, "train"), of_kind(row, "canary", repeats=3)
    assert one.id != other.id
    assert (one.meta["row"], other.meta["repeats"], other.choices) == ("a", 3, ())


def test_signs_travel_with_the_row() -> None:
    data = Dataset("d", (Example(id="a", target="one two three four"),))
    (found,) = overlaps(data, data)
    row = of_kind(data.examples[0], "test", signs=signs_of(found))
    assert {sign: flagged(row, sign) for sign in SIGNS} == {sign: sign != "8-grams" for sign in SIGNS}
    assert not flagged(data.examples[0])
