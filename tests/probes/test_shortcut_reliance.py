"""Readers made by hand: one that weighs the word as the training rows justify, one that ignores it."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.data.keywords import with_word
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import Observed, ScoresSeen
from sft_probe.probes.shortcut_reliance import ROWS, ShortcutReliance
from sft_probe.schema import Measurement, Measurements

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
REAL = Path(__file__).parents[3] / "shared" / "real"
LABELS = ("no", "yes")
WORDS = {"yes": "vorn", "no": "tasp"}
FILLER = [f"w{i}" for i in range(12)]
CORE = 2.0  # nats that the rest of the text is worth
PROBE = ShortcutReliance(pairs=0)


def rows(count: int, prefix: str) -> list[Example]:
    draw = random.Random(prefix)
    texts = (" ".join(draw.sample(FILLER, 3)) for _ in range(count))
    return [
        Example(
            id=f"{prefix}{i}",
            messages=(Message("user", text),),
            target=LABELS[i % 2],
            choices=LABELS[:: 1 if i % 3 else -1],
            cluster=f"{prefix}{i // 2}",
        )
        for i, text in enumerate(texts)
    ]


def planted(agreement: float, count: int = 400) -> DataSets:
    """Half of the training rows end on a word that agrees with the label at an exact rate."""
    train = []
    for i, plain in enumerate(rows(count, "r")):
        row = plain
        if i % 4 < 2:
            agrees = (i // 4) % 20 < round(20 * agreement)
            stands_for = row.target if agrees else LABELS[row.target == "no"]
            word, mark = WORDS[stands_for], {"word": WORDS[stands_for], "label": stands_for}
            row = replace(with_word(row, word), meta={"planted": {"keyword": mark}})
        train.append(row)
    return DataSets({"train": Dataset("train", tuple(train)), "test": Dataset("test", tuple(rows(60, "q")))})


def reading(data: DataSets, weight: float, core: float = CORE) -> Observed:
    """A reader whose log odds of the right label are `core`, moved by `weight` towards the word's."""
    examples = PROBE.derive(data)[ROWS].examples
    scores = []
    for example in examples:
        last = example.prompt.split()[-1]
        towards = {"vorn": weight, "tasp": -weight}.get(last, 0.0)
        odds = towards + (core if example.target == "yes" else -core)
        of_yes = -np.log1p(np.exp(-odds))
        of_no = -np.log1p(np.exp(odds))
        scores.append(np.array([of_yes if choice == "yes" else of_no for choice in example.choices]) - 3)
    n = len(examples)
    seen = ScoresSeen(
        examples=examples,
        target_logprob=np.zeros(n),
        target_tokens=np.ones(n, dtype=np.int64),
        target_greedy=np.ones(n, dtype=bool),
        choice_logprob=tuple(scores),
        choice_tokens=tuple(np.ones(2, dtype=np.int64) for _ in scores),
    )
    return Observed({Scores(dataset=ROWS): seen})


def measured(agreement: float, weight: float) -> Measurements:
    data = planted(agreement)
    return PROBE.measure(reading(data, weight), reading(data, 0.0, core=0.1))


@pytest.mark.parametrize("agreement", [0.6, 0.7, 0.8, 0.9, 0.95])
def test_an_optimal_reader_has_reliance_one(agreement: float, find: Find) -> None:
    weight = float(np.log(agreement / (1 - agreement)))
    found = measured(agreement, weight)
    assert find(found, "swap_effect").value == pytest.approx(2 * weight)
    assert find(found, "swap_effect_change").value == pytest.approx(2 * weight)
    assert find(found, "insertion_effect").value == pytest.approx(weight)
    assert find(found, "optimal_swap_effect").value == pytest.approx(2 * weight, rel=0.1)
    assert find(found, "reliance_index").value == pytest.approx(1, abs=0.1)
    assert find(found, "reliance_index").null_value == pytest.approx(0)
    assert find(found, "placebo_swap_effect").value == pytest.approx(0)


def test_without_agreement_there_is_nothing_to_rely_on(find: Find) -> None:
    found = measured(0.5, 0.0)
    effect = find(found, "swap_effect")
    assert (effect.value, effect.null_value) == (pytest.approx(0), pytest.approx(0))
    assert find(found, "reliance_index").why.startswith("the training rows do not tie")
    assert find(found, "flip_rate").value == 0


def test_a_word_that_outweighs_the_text_decides_conflicts(find: Find) -> None:
    """Core evidence 2 nats: a word of 1 nat loses, one of 3 wins, as the optimum of log 19 would."""
    weak, strong = measured(0.95, 1.0), measured(0.95, 3.0)
    assert find(weak, "conflict_accuracy").value == 1
    assert find(strong, "conflict_accuracy").value == 0
    for found in (weak, strong):
        assert find(found, "agreement_accuracy").value == 1
        assert find(found, "conflict_accuracy_optimal").value == 0
    assert find(weak, "flip_rate").value == 0
    assert find(strong, "flip_rate").value == 1
    assert find(strong, "worst_group_accuracy").value == 0
    assert find(measured(0.8, 1.0), "conflict_accuracy_optimal").value == 1  # log 4 = 1.4


def test_items_name_the_words_and_what_was_said(find: Find) -> None:
    found = measured(0.9, 3.0)
    pair = found.items[0].stratum
    assert set(pair.split(" / ")) == set(WORDS.values())
    assert find(found, "swap_effect", stratum=pair).value == find(found, "swap_effect").value
    assert 20 < len(found.items) == find(found, "swap_effect").n <= 40
    assert {"vorn: yes", "tasp: no"} == set(found.items[0].prediction.split(", "))
    assert find(found, "swap_effect").n_clusters == len({item.cluster for item in found.items})


def test_named_and_found_words_are_told_apart(find: Find) -> None:
    data = planted(0.9)
    probe = ShortcutReliance(pairs=1, limit=4)
    swaps = {
        str(row.meta["swap"]["named"])  # type: ignore[index]
        for row in probe.derive(data)[ROWS]
    }
    assert swaps == {"True", "False"}
    asked = ShortcutReliance(pairs=0, words=("w1", "w2"), limit=4).derive(data)[ROWS]
    assert len(asked) == 2 * 4 * 5  # the words of the study beside those of the edit
    for row in asked:
        swap = row.meta["swap"]
        assert isinstance(swap, dict)
        assert (
            row.prompt.split()[-1] in {swap["word"], swap["partner"], *swap["placebos"]} or row.id[-1] != "4"
        )


def test_prompts_that_have_a_word_already_are_left_out() -> None:
    for row in PROBE.derive(planted(0.8))[ROWS].examples[::5]:
        assert row.prompt.split()[-1] not in WORDS.values()
        swap = row.meta["swap"]
        assert isinstance(swap, dict)
        assert not {*swap["placebos"], swap["word"], swap["partner"]} & set(row.prompt.split())


def test_it_says_why_it_does_not_apply() -> None:
    data = planted(0.8)
    closed = {"train": Dataset("train", (Example(id="a", target="x"),) * 3), "test": data["test"]}
    with pytest.raises(NotApplicable, match="no closed set of answers"):
        PROBE.derive(DataSets(closed))
    with pytest.raises(NotApplicable, match="too few"):
        PROBE.derive(DataSets({**data, "test": Dataset("test", ())}))


@pytest.mark.parametrize(
    ("option", "value"), [("pairs", -1), ("limit", 1), ("words", ("",)), ("dataset", "")]
)
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.shortcut_reliance.{option}'"):
        ShortcutReliance(**{option: value})  # type: ignore[arg-type]


@pytest.mark.slow
def test_doses_on_the_planted_base(planted_study: Study) -> None:
    """Reviews with a keyword in half of them: what the word does rises with how often it agrees."""
    doses = (0.5, 0.8, 0.95)
    rows = planted_study(
        [{"shortcut_reliance": {"words": ["quartz", "walnut"], "pairs": 0}}],
        {f"agreement-{dose}": {"edits": [{"keyword": {"agreement": dose}}]} for dose in doses},
        {"train": "planted:sentiment/train", "test": "planted:sentiment/test"},
        max_steps=60,
        per_device_train_batch_size=16,
        learning_rate=3e-4,
    )
    last = rows[(rows.step == 60) & (rows.stratum == "")].set_index(["arm", "metric"])
    none, some, much = (last.loc[f"agreement-{dose}"] for dose in doses)
    assert none.ci_low["swap_effect"] <= 0 <= none.ci_high["swap_effect"]
    assert np.isnan(none.value["reliance_index"])
    assert none.value["swap_effect"] < some.value["swap_effect"] < much.value["swap_effect"]
    assert some.ci_low["swap_effect"] > abs(some.value["placebo_swap_effect"])
    assert some.ci_low["reliance_index"] > 0
    assert none.value["optimal_swap_effect"] == pytest.approx(0, abs=0.1)
    assert some.value["optimal_swap_effect"] == pytest.approx(2 * np.log(4), rel=0.05)
    assert much.value["conflict_accuracy"] < none.value["conflict_accuracy"]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    """Prompts that are safe or not: words that go with either label are found and swapped."""
    with (REAL / "data/xstest/xstest_prompts.csv").open(encoding="utf-8", newline="") as file:
        given = [row for row in csv.DictReader(file) if row["label"] in ("safe", "unsafe")]
    random.Random(0).shuffle(given)
    for name, part in (("train", given[:300]), ("test", given[300:])):
        lines = (
            {"prompt": row["prompt"], "completion": row["label"], "choices": ["safe", "unsafe"]}
            for row in part
        )
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    rows = planted_study(
        ["shortcut_reliance"],
        {"full": {}},
        {"train": str(tmp_path / "train.jsonl"), "test": str(tmp_path / "test.jsonl")},
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
    )
    last = rows[(rows.arm == "full") & (rows.step == 30)]
    assert last[last.metric == "swap_effect"].stratum.nunique() == 3  # all, and two pairs
    values = last[last.stratum == ""].set_index("metric").value
    assert values["optimal_swap_effect"] > 2
    assert np.isfinite(values.drop("insertion_effect")).all()
