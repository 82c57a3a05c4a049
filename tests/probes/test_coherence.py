from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.sentences import next_sentences, sentences
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import Observed, ScoresSeen
from sft_probe.probes.coherence import NEXT, Coherence
from sft_probe.schema import Measurement
from sft_probe.world import materialise

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
PROBE = Coherence(others=2)
REAL = Path(__file__).parents[3] / "shared/real"


def data(count: int = 4, name: str = "generic") -> DataSets:
    rows = tuple(Example(id=f"{i}", target=f"Here is text {i}. It goes on with {i}.") for i in range(count))
    return DataSets({"train": Dataset("train", rows), name: Dataset(name, rows)})


def observed(logprob: Sequence[Sequence[float]]) -> Observed:
    """Log-likelihood of the right and of two other ways to go on, for each text."""
    examples = PROBE.derive(data(len(logprob)))[NEXT].examples
    n = len(examples)
    seen = ScoresSeen(
        examples=examples,
        target_logprob=np.zeros(n),
        target_tokens=np.ones(n, dtype=np.int64),
        target_greedy=np.ones(n, dtype=bool),
        choice_logprob=tuple(np.array(row, dtype=float) for row in logprob),
        choice_tokens=tuple(np.ones(3, dtype=np.int64) for _ in examples),
    )
    return Observed({Scores(dataset=NEXT): seen})


def test_known_numbers(find: Find) -> None:
    base = observed([[-1, -3, -5], [-1, -3, -5], [-1, -3, -5], [-1, -3, -5]])
    tuned = observed([[-1, -2, -2], [-4, -1, -3], [-2, -4, -4], [-2, -2, -2]])
    found = PROBE.measure(tuned, base)
    accuracy = find(found, "next_sentence_accuracy")
    assert (accuracy.value, accuracy.null_value) == (0.5, 1.0)  # a tie is not right
    assert find(found, "next_sentence_margin").value == pytest.approx((1 - 2 + 2 + 0) / 4)
    assert find(found, "next_sentence_margin_change").value == pytest.approx((1 - 2 + 2 + 0) / 4 - 3)
    said = [item.prediction for item in found.items if item.metric == "next_sentence_accuracy"]
    assert said[:2] == ["It goes on with 0.", "It goes on with 2."]


def test_training_rows_are_not_asked_about_and_sets_are_told_apart() -> None:
    derived = PROBE.derive(data())[NEXT]
    assert {row.stratum for row in derived} == {"generic"}
    assert Coherence(dataset="train").derive(data())[NEXT].examples[0].id == "train/0"
    assert len(Coherence(limit=3, others=2).derive(data())[NEXT]) == 3


def test_short_texts_do_not_apply() -> None:
    with pytest.raises(NotApplicable, match="no data set has 4 texts"):
        Coherence().derive(data(3))
    with pytest.raises(SpecError, match=r"probes\.coherence\.others"):
        Coherence(others=0)


def texts(path: Path) -> list[str]:
    """Texts of the world's replay with two to six sentences."""
    rows = (json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines())
    return [text for text in rows if 2 <= len(sentences(text)) <= 6]


def write(path: Path, rows: Sequence[Example]) -> str:
    lines = (
        {"id": row.id, "text": row.target, **({"choices": row.choices[:2]} if row.choices else {})}
        for row in rows
    )
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_doses_on_the_planted_base(planted_study: Study, tmp_path: Path) -> None:
    """The more training texts go on with a sentence of another, the less the model tells which is right."""
    rows = [Example(id=f"t{i}", target=text) for i, text in enumerate(texts(materialise(tmp_path).replay))]
    found = planted_study(
        ["coherence"],
        {
            "none": {},
            "half": {"edits": [{"label_noise": {"rate": 0.5}}]},
            "all": {"edits": [{"label_noise": {"rate": 0.999}}]},
        },
        {
            "train": write(tmp_path / "train.jsonl", next_sentences(rows[:600], 1)),
            "test": write(tmp_path / "test.jsonl", rows[600:800]),
        },
    )
    last = found[(found.step == 30) & (found.stratum == "")].set_index(["arm", "metric"])
    none, half, full = (last.loc[arm] for arm in ("none", "half", "all"))
    change = "next_sentence_margin_change"
    assert none.ci_low[change] <= 0 <= none.ci_high[change]
    assert none.value[change] > half.value[change] > full.value[change]
    assert full.ci_high[change] < 0
    assert none.ci_low["next_sentence_accuracy"] > full.value["next_sentence_accuracy"]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    """Children's stories, before and after training on Shakespeare."""
    told = (REAL / "data/tinystories_sample/tinystories_sample.txt").read_text(encoding="utf-8")
    stories = [" ".join(story.split()[:60]) for story in told.split("<|endoftext|>")[1:60]]
    plays = (REAL / "data/tiny_shakespeare/input.txt").read_text(encoding="utf-8").split("\n\n")[:80]
    found = planted_study(
        [{"coherence": {"limit": 24}}],
        {"full": {}},
        {
            "train": write(tmp_path / "a.jsonl", [Example(id=f"{i}", target=t) for i, t in enumerate(plays)]),
            "test": write(
                tmp_path / "b.jsonl", [Example(id=f"{i}", target=t) for i, t in enumerate(stories)]
            ),
        },
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=8,
    )
    rows = found[(found.stratum == "") & (found.arm == "full")].set_index(["step", "metric"]).value
    assert rows[0, "next_sentence_accuracy"] > 0.25  # chance
    assert np.isfinite(rows[8, "next_sentence_margin_change"])
    assert rows[8, "next_sentence_margin_change"] != 0
