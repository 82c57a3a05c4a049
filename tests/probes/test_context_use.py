from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Generations, Scores
from sft_probe.observe.observations import GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes.context_use import CELLS, ContextUse
from sft_probe.schema import Measurement
from sft_probe.world import build, tasks

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
PROBE = ContextUse()
REAL = Path(__file__).parents[3] / "shared/real"
SPOTS = ("bridge", "piano", "wall", "roof")


def data() -> DataSets:
    rows = tuple(
        Example(
            id=f"q{i}",
            messages=(Message("user", f"The box is on the {spot}.\nWhere is the box?"),),
            target=spot,
            cluster=f"c{i}",
        )
        for i, spot in enumerate(SPOTS)
    )
    return DataSets({"test": Dataset("test", rows)})


def observed(pairs: Mapping[str, Sequence[Sequence[float]]], texts: Sequence[str] = SPOTS) -> Observed:
    """By cell log p of the own and of the other answer for each example; both answers have two tokens."""
    sets = PROBE.derive(data())
    looks: dict[object, object] = {}
    for cell in CELLS:
        examples = sets[f"context_use.{cell}"].examples
        looks[Scores(dataset=f"context_use.{cell}")] = ScoresSeen(
            examples=examples,
            target_logprob=np.zeros(4),
            target_tokens=np.ones(4, dtype=np.int64),
            target_greedy=np.ones(4, dtype=bool),
            choice_logprob=tuple(np.array(pair, dtype=float) for pair in pairs[cell]),
            choice_tokens=tuple(np.array([2, 2]) for _ in examples),
        )
    looks[Generations(dataset="context_use.present", max_new_tokens=32)] = GenerationsSeen(
        examples=sets["context_use.present"].examples,
        texts=tuple(texts),
        n_tokens=np.ones(4, dtype=np.int64),
        stopped=np.ones(4, dtype=bool),
    )
    return Observed(looks)  # type: ignore[arg-type]


IGNORANT = {cell: [[-4.0, -4.0]] * 4 for cell in CELLS}


def test_every_question_is_asked_in_six_ways() -> None:
    sets = PROBE.derive(data())
    assert list(sets) == [f"context_use.{cell}" for cell in CELLS]
    first = {cell: sets[f"context_use.{cell}"].examples[0] for cell in CELLS}
    assert first["present"].prompt == "The box is on the bridge.\nWhere is the box?"
    assert first["removed"].prompt == "Where is the box?"
    assert first["conflicting"].prompt == "The box is on the piano.\nWhere is the box?"
    assert first["start"].prompt.startswith("The box is on the bridge.\nThe morning")
    assert first["end"].prompt.endswith("The box is on the bridge.\nWhere is the box?")
    assert {example.choices for example in first.values()} == {("bridge", "piano")}


def test_known_numbers(find: Find) -> None:
    tuned = observed(
        {
            "present": [[-1, -5], [-1, -5], [-1, -5], [-5, -1]],
            "removed": [[-3, -3], [-3, -4], [-3, -4], [-3, -2]],
            "conflicting": [[-5, -1], [-5, -1], [-1, -5], [-5, -1]],
            "start": [[-2, -5]] * 4,
            "middle": [[-4, -2]] * 4,
            "end": [[-1, -1]] * 4,
        },
        texts=("bridge", "The box.", "wall", "of the"),
    )
    found = PROBE.measure(tuned, observed(IGNORANT, texts=("bridge", "moon", "moon", "moon")))
    expected = {
        "context_effect": ((8 + 8 + 0 + 0) / 4, 0),
        "context_effect_change": (4, 0),
        "passage_gain": ((1 + 1 + 1 - 1) / 4, 0),
        "passage_chosen_share": (3 / 4, 1 / 2),
        "without_passage_chosen_share": (2.5 / 4, 1 / 2),
        "conflict_followed_share": (3 / 4, 1 / 2),
        "stated_in_prompt_share": (1.0, 1 / 4),
        "stated_excess_share": ((1 + 0 + 1) / 3, 0),
        "stated_excess_share_change": (1 / 3, 0),
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert (row.value, row.null_value) == pytest.approx((value, null)), metric
    places = [find(found, "window_chosen_share", module=place).value for place in ("start", "middle", "end")]
    assert places == [1, 0, 0.5]
    assert find(found, "window_cost", module="start").value == pytest.approx((0.5 + 0.5 + 0.5 - 1.5) / 4)
    assert next(item.prediction for item in found.items if item.metric == "context_effect") == "bridge"


def test_who_ignores_the_passage_has_no_effect(find: Find) -> None:
    sure = {cell: [[-1.0, -9.0]] * 4 for cell in CELLS}  # of itself, whatever it reads
    found = PROBE.measure(observed(sure), observed(IGNORANT))
    assert find(found, "context_effect").value == 0
    assert find(found, "conflict_followed_share").value == 0
    assert isnan(
        find(PROBE.measure(observed(sure, texts=[""] * 4), observed(sure)), "stated_in_prompt_share").value
    )


def test_data_without_passages_are_not_asked() -> None:
    rows = tuple(
        Example(id=f"{i}", messages=(Message("user", f"Who is {i}?"),), target="Tom") for i in range(3)
    )
    with pytest.raises(NotApplicable, match="no two rows of 'test' have prompts"):
        PROBE.derive(DataSets({"test": Dataset("test", rows)}))


@pytest.mark.parametrize(("option", "value"), [("window", 1), ("limit", 0), ("max_new_tokens", 0)])
def test_bad_options_are_refused_by_name(option: str, value: int) -> None:
    with pytest.raises(SpecError, match=f"'probes.context_use.{option}'"):
        ContextUse(**{option: value})  # type: ignore[arg-type]


@pytest.mark.slow
def test_doses_on_the_planted_base(planted_study: Study, tmp_path: Path) -> None:
    """Orders as JSON: the more training answers belong to their order, the more the order decides."""
    rows = tasks.task_sets(build(0))["json_extraction.train"]
    answers = [row["messages"][-1]["content"] for row in rows]
    for row, other in zip(rows, [*answers[1:], answers[0]], strict=True):
        row["choices"] = [row["messages"][-1]["content"], other]
    train = tmp_path / "train.jsonl"
    train.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    found = planted_study(
        [{"context_use": {"limit": 100}}],
        {
            "none": {"edits": [{"label_noise": {"rate": 0.998}}]},
            "half": {"edits": [{"label_noise": {"rate": 0.5}}]},
            "all": {},
        },
        {"train": str(train), "test": "planted:json_extraction/test"},
        max_steps=60,
    )
    last = found[(found.step == 60) & (found.module == "")].set_index(["arm", "metric"])
    none, half, full = (last.loc[arm] for arm in ("none", "half", "all"))
    assert none.ci_low["passage_chosen_share"] <= 0.5 <= none.ci_high["passage_chosen_share"]
    assert none.ci_low["stated_excess_share"] <= 0 <= none.ci_high["stated_excess_share"]
    for metric in ("context_effect", "stated_excess_share"):
        assert none.value[metric] < half.value[metric] < full.value[metric], metric
    assert none.ci_high["context_effect"] < half.ci_low["context_effect"]
    assert full.ci_low["context_effect_change"] > 0
    assert full.ci_low["conflict_followed_share"] > none.value["conflict_followed_share"]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    """Instructions with a text to read, written by people."""
    source = REAL / "data/dolly_hhrlhf_small/dolly_hhrlhf_train_small.jsonl"
    given = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    short = [row for row in given if len(row["prompt"]) < 600 and len(row["response"]) < 100]
    random.Random(0).shuffle(short)
    for name, part in (("train", short[:60]), ("test", short[60:])):
        lines = "".join(f"{json.dumps(row)}\n" for row in part)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    rows = planted_study(
        [{"context_use": {"limit": 12}}],
        {"full": {}},
        {
            "train": str(tmp_path / "train.jsonl"),
            "test": str(tmp_path / "test.jsonl"),
            "max_length": 512,
        },
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=10,
    )
    last = rows[(rows.step == 10) & (rows.module == "")].set_index("metric")
    assert last.n["context_effect"] >= 5
    assert np.isfinite(last.value[["context_effect", "passage_gain", "conflict_followed_share"]]).all()
