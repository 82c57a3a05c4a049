from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.interventions import Template
from sft_probe.observe.needs import Contexts, TokenDivergence, TokenLogprobs
from sft_probe.observe.observations import Observed, TokenDivergenceSeen, TokenLogprobsSeen
from sft_probe.probes.objective_shift import ObjectiveShift
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
PROBE = ObjectiveShift()
REAL = Path(__file__).parents[3] / "shared/real"
ROWS = tuple(
    Example(id=f"q{i}", messages=(Message("user", f"Where is {i}?"),), target="here") for i in range(2)
)


def tokens(kl: Sequence[Sequence[float]], rank: int, contexts: Contexts) -> TokenDivergenceSeen:
    flat = np.array([x for row in kl for x in row], dtype=float)
    return TokenDivergenceSeen(
        examples=ROWS,
        example=np.repeat(np.arange(2), [len(row) for row in kl]),
        position=np.array([t for row in kl for t in range(len(row))], dtype=np.int64),
        token=tuple(f"{t} " for row in kl for t in range(len(row))),
        kl_tuned_base=flat,
        kl_base_tuned=2 * flat,
        base_rank=np.full(flat.size, rank),
        base_ties=np.zeros(flat.size, dtype=np.int64),
        entropy_tuned=flat,
        entropy_base=flat,
        logprob_tuned=flat,
        logprob_base=flat,
        contexts=contexts,
    )


def logprobs(values: Sequence[float]) -> TokenLogprobsSeen:
    flat = np.array(values)
    return TokenLogprobsSeen(
        examples=ROWS,
        example=np.array([0, 0, 1])[: flat.size],
        position=np.array([0, 1, 0])[: flat.size],
        token=("a", "b", "c")[: flat.size],
        logprob=flat,
        rank=np.ones(flat.size, dtype=np.int64),
        entropy=flat,
    )


def observed(
    chat: Sequence[Sequence[float]],
    plain: Sequence[Sequence[float]],
    asked: Sequence[float] = (-1, -1, -1),
    reworded: Sequence[float] = (-1, -1, -1),
) -> Observed:
    looks: dict[object, object] = {}
    for draw, factor in ((0, 1), (1, 3)):
        need = TokenDivergence(
            dataset="objective_shift.asked", contexts="sampled", max_new_tokens=24, seed=draw
        )
        looks[need] = tokens([[factor * x for x in row] for row in chat], 1, "sampled")
    for whose in ("gold", "tuned", "base"):
        for under, kl, rank in (((), chat, 9), ((Template(on=False),), plain, 1)):
            need = TokenDivergence(
                dataset="objective_shift.asked", contexts=whose, max_new_tokens=24, under=under
            )
            looks[need] = tokens(kl, rank, whose)
    looks[TokenLogprobs(dataset="objective_shift.asked")] = logprobs(asked)
    looks[TokenLogprobs(dataset="objective_shift.reworded")] = logprobs(reworded)
    return Observed(looks)  # type: ignore[arg-type]


NOWHERE = observed([[0.0, 0.0], [0.0]], [[0.0], [0.0]])


def test_each_divergence_along_its_own_answers(find: Find) -> None:
    found = PROBE.measure(observed([[3.0, 1.0], [5.0]], [[1.0], [1.0]]), NOWHERE)
    expected = {
        ("forward_kl", "base"): 6,
        ("forward_kl_plain", "base"): 2,
        ("forward_kl_template", "base"): (4 - 2 + 10 - 2) / 2,
        ("forward_kl_sampled", "sampled"): 2 * 6,
        ("forward_kl_answer", "sampled"): 2 * (8 + 10) / 2,
        ("reverse_kl", "tuned"): 3,
        ("reverse_kl_plain", "tuned"): 1,
        ("reverse_kl_template", "tuned"): (2 - 1 + 5 - 1) / 2,
        ("gold_kl", "gold"): 3,
        ("shifted_plain", "tuned"): 0,
        ("shifted_template", "tuned"): 1,
    }
    for (metric, whose), value in expected.items():
        assert find(found, metric, module=whose).value == pytest.approx(value), metric
    assert all(row.module in ("gold", "tuned", "base", "sampled") for row in found.rows)
    assert [(item.item, item.value) for item in found.items] == [("q0", 4.0), ("q1", 10.0)]


def test_other_words_for_the_question_are_the_null(find: Find) -> None:
    kl = [[0.0, 0.0], [0.0]]
    base = observed(kl, kl, asked=(-1, -2, -3), reworded=(-2, -2, -3.5))
    found = PROBE.measure(observed(kl, kl, asked=(-1, -4, -0)), base)
    assert find(found, "answer_logprob_shift", module="gold").value == pytest.approx(5 / 3)
    assert find(found, "answer_logprob_shift", module="gold").null_value == pytest.approx(0.5)
    assert find(found, "reworded_shift", module="gold").value == pytest.approx(0.5)
    assert find(found, "shift_beyond_rewording", module="gold").value == pytest.approx(3.5 / 3)


def test_the_base_did_not_shift(find: Find) -> None:
    found = PROBE.measure(NOWHERE, NOWHERE)
    for row in found.rows:
        if row.metric not in ("shifted_template",):
            assert row.value == 0, row.metric
    cut = observed([[0.0]] * 2, [[0.0]] * 2, reworded=(-1, -1))
    undefined = find(PROBE.measure(cut, cut), "answer_logprob_shift", module="gold")
    assert isnan(undefined.value)
    assert undefined.why == "the tokens of the answers could not be paired"


def test_an_answer_without_tokens_is_left_out(find: Find) -> None:
    found = PROBE.measure(observed([[3.0, 1.0], []], [[1.0], [1.0]]), NOWHERE)
    assert find(found, "forward_kl_answer", module="sampled").value == (8 + 24) / 2
    assert find(found, "forward_kl_template", module="base").value == 2
    assert [item.item for item in found.items] == ["q0"]


def test_questions_come_in_other_words() -> None:
    sets = PROBE.derive(DataSets({"test": Dataset("test", ROWS)}))
    assert [row.prompt for row in sets["objective_shift.reworded"]] == [
        "Please tell me: Where is 0?",
        "Please tell me: Where is 1?",
    ]
    with pytest.raises(NotApplicable, match="plain text has no template"):
        PROBE.derive(DataSets({"test": Dataset("test", (Example(id="t", target="text"),))}))


def test_options_are_checked() -> None:
    with pytest.raises(SpecError, match=r"probes\.objective_shift\.limit"):
        ObjectiveShift(limit=0)


@pytest.mark.slow
def test_doses_on_the_planted_base(planted_study: Study) -> None:
    """The longer the training, the farther from the base; samples of the base itself move it less."""
    rows = planted_study(
        [{"objective_shift": {"limit": 24}}],
        {"full": {}, "sham": {"edits": ["sham"]}},
        {
            "train": "planted:question_answering/train",
            "test": "planted:question_answering/test",
            "max_train_rows": 240,
        },
        schedule={"points": 2},
    )
    values = rows[rows.stratum == ""].set_index(["arm", "step", "metric"]).sort_index()
    steps = sorted(rows.step.unique())
    assert len(steps) == 4
    for metric in ("forward_kl_sampled", "forward_kl_answer", "forward_kl", "reverse_kl", "gold_kl"):
        course = [values.value["full", step, metric] for step in steps]
        assert course[0] == 0
        assert course[0] < course[1] < course[-1], metric
    last, sham = (values.loc[arm, 30] for arm in ("full", "sham"))
    assert last.ci_low["gold_kl"] > sham.ci_high["gold_kl"]
    assert last.ci_low["shift_beyond_rewording"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    """Questions about a model itself, written by people."""
    source = json.loads((REAL / "data/llamafactory/identity.json").read_text(encoding="utf-8"))
    for name, part in (("train", source[:60]), ("test", source[60:])):
        lines = "".join(f"{json.dumps(row)}\n" for row in part)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    rows = planted_study(
        [{"objective_shift": {"limit": 8}}],
        {"full": {}},
        {"train": str(tmp_path / "train.jsonl"), "test": str(tmp_path / "test.jsonl")},
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=8,
    )
    last = rows[rows.step == 8].set_index("metric")
    assert (last.value[["forward_kl_sampled", "forward_kl", "reverse_kl", "gold_kl"]] > 0).all()
    assert last.value["forward_kl_answer"] > last.value["forward_kl_sampled"]
    assert np.isfinite(last.value["shift_beyond_rewording"])
