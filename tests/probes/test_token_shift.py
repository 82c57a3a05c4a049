import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Example
from sft_probe.errors import SpecError
from sft_probe.observe.observations import Observed, TokenDivergenceSeen
from sft_probe.probes.token_shift import SHOWN, TokenShift, half_depth
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = TokenShift(base_answers=False)
REAL = Path(__file__).parents[3] / "shared/real"


def observed(kl: Sequence[Sequence[float]], rank: Sequence[Sequence[int]] | None = None) -> Observed:
    """One sequence of KL values (and base ranks) per example."""
    ranks = rank or [[1] * len(row) for row in kl]
    flat = np.array([x for row in kl for x in row], dtype=float)
    zeros = np.zeros(flat.size)
    seen = TokenDivergenceSeen(
        examples=tuple(Example(id=f"q{i}", target="t") for i in range(len(kl))),
        example=np.repeat(np.arange(len(kl)), [len(row) for row in kl]),
        position=np.array([t for row in kl for t in range(len(row))], dtype=np.int64),
        token=tuple(f"{t} " for row in kl for t in range(len(row))),
        kl_tuned_base=flat,
        kl_base_tuned=2 * flat,
        base_rank=np.array([x for row in ranks for x in row], dtype=np.int64),
        base_ties=zeros.astype(np.int64),
        entropy_tuned=zeros,
        entropy_base=zeros,
        logprob_tuned=zeros,
        logprob_base=zeros,
        contexts="tuned",
    )
    return Observed({PROBE.needs()[0]: seen})


UNMOVED = observed([[0.0, 0.0]] * 3)


def test_rank_classes(find: Find) -> None:
    seen = observed([[0.1] * 4, [0.1] * 2], rank=[[1, 1, 2, 3], [4, 900]])
    found = PROBE.measure(seen, UNMOVED)
    for metric, share in (("unshifted", 1 / 3), ("marginal", 1 / 3), ("shifted", 1 / 3)):
        row = find(found, metric, module="tuned")
        assert row.value == pytest.approx(share)
        assert (row.n, row.n_clusters) == (6, 2)
        assert 0 <= row.ci_low < share < row.ci_high <= 1


def test_kl_both_ways_and_by_position(find: Find) -> None:
    found = PROBE.measure(observed([[3.0, 1.0, 2.0], [1.0, 0.0]]), UNMOVED)
    assert find(found, "kl_tuned_base", module="tuned").value == pytest.approx(7 / 5)
    assert find(found, "kl_base_tuned", module="tuned").value == pytest.approx(14 / 5)
    by_position = [find(found, "kl_at_position", module=f"tuned {t}") for t in range(3)]
    assert [row.value for row in by_position] == [2, 0.5, 2]
    assert [row.n for row in by_position] == [2, 2, 1]
    assert by_position[2].why == "one item"


def test_only_the_first_positions_are_told_apart() -> None:
    rows = PROBE.measure(observed([[1.0] * 40] * 2), UNMOVED).rows
    assert [row.module for row in rows if row.metric == "kl_at_position"] == [f"tuned {t}" for t in range(16)]


def test_half_depth_finds_shallow_change(find: Find) -> None:
    shallow = PROBE.measure(observed([[4.0, 1.0] + [0.1] * 10] * 20), UNMOVED)
    even = PROBE.measure(observed([[1.0] * 12] * 20), UNMOVED)
    assert find(shallow, "kl_half_depth", module="tuned").value == 1
    assert find(even, "kl_half_depth", module="tuned").value == 6
    assert find(even, "kl_half_depth", module="tuned").n_clusters == 20


def test_kinds_of_tokens_and_entropy(find: Find) -> None:
    """Tokens are `0 `, `1 `, ... so all are digits; the base is surer than the model by one nat."""
    seen = observed([[3.0, 1.0], [2.0]], rank=[[1, 9], [1]])
    (need,) = PROBE.needs()
    tokens = replace(seen[need], entropy_tuned=np.array([2.0, 1, 3]), entropy_base=np.array([1.0, 0, 2]))  # type: ignore[type-var]
    found = PROBE.measure(Observed({need: tokens}), UNMOVED)  # type: ignore[dict-item]
    assert find(found, "entropy", module="tuned").value == 2
    assert find(found, "entropy", module="tuned").null_value == 1
    assert find(found, "entropy_change", module="tuned").value == 1
    assert find(found, "kl_tuned_base", module="tuned", stratum="digit").value == 2
    assert find(found, "shifted", module="tuned", stratum="digit").value == pytest.approx(1 / 3)
    assert {row.stratum for row in found.rows} == {"", "digit"}


def test_every_row_says_whose_answers_were_followed() -> None:
    probe = TokenShift(contexts="gold")
    (need,) = PROBE.needs()
    tokens = replace(observed([[3.0, 1.0], [2.0]])[need], contexts="gold")  # type: ignore[type-var]
    found = probe.measure(Observed({probe.needs()[0]: tokens}), UNMOVED)  # type: ignore[dict-item]
    assert {row.module for row in found.rows} == {"gold", "gold 0", "gold 1"}


def test_half_depth_of_sums() -> None:
    np.testing.assert_array_equal(
        half_depth(np.array([[1.0, 1, 1, 1], [0, 0, 0, 5], [5, 0, 0, 0]])), [2, 4, 1]
    )


def test_the_base_did_not_shift(find: Find) -> None:
    found = PROBE.measure(UNMOVED, UNMOVED)
    for metric in ("unshifted", "marginal", "shifted", "kl_tuned_base", "kl_base_tuned"):
        assert find(found, metric, module="tuned").value == find(found, metric, module="tuned").null_value
    depth = find(found, "kl_half_depth", module="tuned")
    assert isnan(depth.value)
    assert depth.why == "the model does not differ from its base"


def test_items_hold_each_answer_and_its_mean_kl() -> None:
    items = PROBE.measure(observed([[3.0, 1.0], [], [0.5]]), UNMOVED).items
    assert [(i.metric, i.item, i.value, i.prediction) for i in items] == [
        ("kl_tuned_base", "q0", 2.0, "0 1 "),
        ("kl_tuned_base", "q2", 0.5, "0 "),
    ]


def test_nothing_said_is_undefined(find: Find) -> None:
    found = PROBE.measure(observed([[], []]), UNMOVED)
    assert find(found, "shifted", module="tuned").why == "no answer token with a finite score"
    assert find(found, "kl_half_depth", module="tuned").why == "no answer token with a finite score"
    assert not found.items


@pytest.mark.parametrize(("option", "value"), [("contexts", "golden"), ("max_new_tokens", 0), ("limit", 0)])
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.token_shift.{option}'"):
        TokenShift(**{option: value})  # type: ignore[arg-type]


@pytest.mark.slow
def test_doses_on_the_planted_base(planted_study: Callable[..., pd.DataFrame]) -> None:
    """Clinical notes written out: the more are read, the farther from the base, for every kind of token."""
    rows = planted_study(
        [{"token_shift": {"contexts": "gold", "limit": 40}}],
        {"full": {}},
        {"train": "planted:note_expansion/train", "test": "planted:note_expansion/test"},
        schedule={"points": 2},
    )
    rows = rows[(rows.arm == "full") & (rows.module == "gold")]
    whole = rows[rows.stratum == ""].set_index(["metric", "step"]).sort_index()
    for metric in ("kl_tuned_base", "kl_base_tuned"):
        course = whole.value[metric].tolist()
        assert course[0] == 0
        assert 0 < course[1] < course[-1], metric
    assert whole.ci_low["shifted", 30] > 0
    assert whole.ci_high["entropy_change", 30] < 0  # the model has become sure of what it says
    kinds = set(rows[rows.step == 30].stratum)
    assert kinds >= {"function word", "digit", "punctuation", "end of turn", "other word"}


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    """Questions about a model itself, written by people, to a model of children's stories."""
    source = json.loads((REAL / "data/llamafactory/identity.json").read_text(encoding="utf-8"))
    for name, part in (("train", source[:60]), ("test", source[60:])):
        lines = "".join(f"{json.dumps(row)}\n" for row in part)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    rows = planted_study(
        [{"token_shift": {"limit": 12, "max_new_tokens": 24}}],
        {"full": {}},
        {"train": str(tmp_path / "train.jsonl"), "test": str(tmp_path / "test.jsonl")},
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
    )
    whole = rows[(rows.arm == "full") & (rows.stratum == "") & (rows.module == "tuned")]
    values = whole.set_index(["step", "metric"]).value
    assert values[30, "kl_tuned_base"] > 0
    assert values[30][["unshifted", "marginal", "shifted"]].sum() == pytest.approx(1)
    assert values[30, "kl_half_depth"] >= 1
    assert not {"entity", "function word"}.isdisjoint(rows[rows.step == 30].stratum)


def test_answers_of_the_base_are_kept_token_by_token_without_rows() -> None:
    probe = TokenShift(limit=50)
    own, before = probe.needs()
    assert (before.contexts, before.limit) == ("base", 50)  # type: ignore[union-attr]
    seen = observed([[3.0, 1.23456]])[PROBE.needs()[0]]
    both = Observed({own: seen, before: replace(seen, contexts="base")})
    found = probe.measure(both, UNMOVED)
    assert found.rows == PROBE.measure(observed([[3.0, 1.23456]]), UNMOVED).rows
    assert [(item.metric, item.by_token) for item in found.items] == [
        ("kl_tuned_base", '[["0 ",3.0],["1 ",1.23]]'),
        ("kl_tuned_base_before", '[["0 ",3.0],["1 ",1.23]]'),
    ]


def test_only_so_many_answers_are_kept_token_by_token() -> None:
    items = PROBE.measure(observed([[1.0]] * (SHOWN + 5)), UNMOVED).items
    assert sum(item.by_token != "" for item in items) == SHOWN
