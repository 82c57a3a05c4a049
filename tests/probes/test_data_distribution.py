from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from math import isnan, log
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Generations, Scores
from sft_probe.observe.observations import GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes.data_distribution import ASKED, PART, READ, DataDistribution
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
PROBE = DataDistribution()
REAL = Path(__file__).parents[3] / "shared/real"
SHORT = "HTN stands for hypertension. PT means therapy. SOB means shortness of breath. CP means pain."


def data(generic: Sequence[str] = (SHORT, "The sea is deep and the sky is high.")) -> DataSets:
    """Questions about patients; other text explains four abbreviations."""

    def row(i: int) -> Example:
        return Example(
            id=f"q{i}",
            messages=(Message("user", f"Who is in bed {i}?"),),
            target=f"patient {i % 3}",
            cluster=f"c{i}",
        )

    sets = {
        "train": tuple(row(i) for i in range(40)),
        "test": tuple(row(i) for i in range(4)),
        "generic": tuple(Example(id=f"g{i}", target=text) for i, text in enumerate(generic)),
    }
    return DataSets({name: Dataset(name, rows) for name, rows in sets.items() if rows})


def observed(
    value: Callable[[Example, int], float], said: Sequence[str], sets: DataSets | None = None
) -> Observed:
    """Log-likelihood of choice i of each row that is read, all of two tokens; and the answers."""
    derived = PROBE.derive(sets or data())
    rows = derived[READ].examples
    n = len(rows)
    scores = ScoresSeen(
        examples=rows,
        target_logprob=np.zeros(n),
        target_tokens=np.ones(n, dtype=np.int64),
        target_greedy=np.ones(n, dtype=bool),
        choice_logprob=tuple(np.array([value(row, i) for i in range(len(row.choices))]) for row in rows),
        choice_tokens=tuple(np.full(len(row.choices), 2) for row in rows),
    )
    answers = GenerationsSeen(
        examples=derived[ASKED].examples,
        texts=tuple(said),
        n_tokens=np.ones(4, dtype=np.int64),
        stopped=np.ones(4, dtype=bool),
    )
    asked = Generations(dataset=ASKED, max_new_tokens=48)
    return Observed({Scores(dataset=READ): scores, asked: answers})


BASE = observed(lambda row, i: -8.0, ["I do not know"] * 4)


def test_what_is_read_and_asked() -> None:
    derived = PROBE.derive(data())
    parts = [row.meta[PART] for row in derived[READ]]
    assert {part: parts.count(part) for part in parts} == {
        "text": 6,
        "pairs": 4,
        "expand": 4,
        "abbreviate": 4,
    }
    assert derived[ASKED].examples[0].meta["data_distribution_domain"] == {
        "terms": ("patient",),
        "lengths": (2,) * 40,
    }
    expand = next(row for row in derived[READ] if row.meta[PART] == "expand")
    assert expand.choices[0] == "HTN stands for hypertension."
    assert "HTN stands for therapy." in expand.choices


def test_bits_per_byte_of_every_data_set(find: Find) -> None:
    """All bits over all bytes: `patient 0` has nine bytes, the others are those of the generic set."""
    tuned = observed(lambda row, i: -8.0 * log(2), ["patient 1"] * 4)
    found = PROBE.measure(tuned, BASE)
    test, generic = (find(found, "bits_per_byte", dataset=name) for name in ("test", "generic"))
    assert test.value == pytest.approx(8 / 9)
    assert test.null_value == pytest.approx(8 / log(2) / 9)
    assert (test.n, test.n_clusters) == (4, 4)
    assert generic.value == pytest.approx(16 / (len(SHORT) + 36))
    change = find(found, "bits_per_byte_change", dataset="test")
    assert change.value == pytest.approx(test.value - test.null_value)


def test_ratios_of_fact_style_and_topic(find: Find) -> None:
    """The answer gains two nats over all, of two tokens; another topic loses four more."""

    def liked(row: Example, i: int) -> float:
        if row.meta[PART] != "pairs":
            return -8.0
        return {0: -6.0, 3: -12.0}.get(i, -8.0)

    found = PROBE.measure(observed(liked, ["patient 1"] * 4), BASE)
    for what, value in (("fact", 1), ("style", 1), ("topic", 3)):
        assert find(found, f"{what}_ratio").value == pytest.approx(value)
        assert find(found, f"{what}_ratio_change").value == pytest.approx(value)
        assert find(found, f"{what}_ratio").null_value == 0


def test_abbreviations_both_ways(find: Find) -> None:
    def liked(row: Example, i: int) -> float:
        return -1.0 if (row.meta[PART], i) == ("expand", 0) else -3.0

    found = PROBE.measure(observed(liked, ["patient 1"] * 4), BASE)
    assert find(found, "expansion_accuracy").value == 1
    assert find(found, "expansion_margin").value == 2
    assert find(found, "expansion_margin_change").value == 2
    assert find(found, "abbreviation_accuracy").value == 0
    assert find(found, "abbreviation_margin_change").value == 0


def test_words_and_style_of_answers(find: Find) -> None:
    said = ["patient 1", "patient 2 and patient 2", "- one\n- two", "patient"]
    found = PROBE.measure(observed(lambda row, i: -8.0, said), BASE)
    assert find(found, "term_share").value == pytest.approx((1 / 2 + 2 / 5 + 0 + 1) / 4)
    assert find(found, "term_share").null_value == 0
    assert find(found, "term_share_change").null_value == 0
    assert find(found, "answer_words").value == pytest.approx((2 + 5 + 2 + 1) / 4)
    assert find(found, "answer_words").null_value == 4
    assert find(found, "list_share").value == 0.25
    assert find(found, "type_token").value == pytest.approx((1 + 3 / 5 + 1 + 1) / 4)
    assert find(found, "length_distance").value == 0.25
    assert find(found, "length_distance").null_value == 1
    assert find(found, "length_distance").ci_high > 0.25
    assert find(found, "term_log_odds", stratum="patient").value > 0


def test_what_the_data_lack_is_said(find: Find) -> None:
    bare = data(generic=())
    base = observed(lambda row, i: -8.0, ["patient 1"] * 4, bare)
    found = PROBE.measure(base, base)
    assert isnan(find(found, "topic_ratio").value)
    assert find(found, "topic_ratio").why == "the study has no data set besides training and test rows"
    assert find(found, "expansion_margin").why == "no data set explains four abbreviations"
    assert find(found, "term_share_change").value == 0


def test_plain_text_asks_nothing() -> None:
    text = Dataset("test", (Example(id="t", target="text"),))
    with pytest.raises(NotApplicable, match="no row of 'test' asks for an answer"):
        PROBE.derive(DataSets({"train": text, "test": text}))
    with pytest.raises(SpecError, match=r"probes\.data_distribution\.limit"):
        DataDistribution(limit=1)


@pytest.mark.slow
def test_doses_on_the_planted_base(planted_study: Study) -> None:
    """Clinical notes: the more are read, the more their language is taken on, topic before style before fact;
    samples of the base itself teach no terms."""
    rows = planted_study(
        ["data_distribution"],
        {"full": {}, "sham": {"edits": ["sham"]}},
        {
            "train": "planted:note_expansion/train",
            "test": "planted:note_expansion/test",
            "others": {"generic": "planted:replay"},
            "max_train_rows": 240,
        },
        schedule={"points": 2},
    )
    place = ["arm", "step", "metric", "dataset"]
    rows = rows[rows.stratum == ""].set_index(place).sort_index()
    steps = sorted(rows.index.get_level_values("step").unique())
    course = {
        metric: [rows.value["full", step, metric, "test"] for step in steps]
        for metric in ("bits_per_byte_change", "topic_ratio_change", "fact_ratio_change")
    }
    assert course["bits_per_byte_change"][0] == 0
    assert course["bits_per_byte_change"] == sorted(course["bits_per_byte_change"], reverse=True)
    assert min(course["topic_ratio_change"][1:]) > 0 == course["topic_ratio_change"][0]
    half_way = {metric: values[1] / values[-1] for metric, values in course.items()}
    assert half_way["topic_ratio_change"] > half_way["fact_ratio_change"]
    full, sham = (rows.loc[arm, 30] for arm in ("full", "sham"))
    taken = ("terms_taken_up_share", "test")
    assert full.ci_low[taken] > sham.value[taken]
    assert sham.ci_low["term_share_change", "test"] <= 0 <= sham.ci_high["term_share_change", "test"]
    assert full.ci_low["term_share_change", "test"] > sham.ci_high["term_share_change", "test"]


SAID = (
    "By {0} they meant {1}.",
    "The note says {0} where it speaks of {1}.",
    "Whoever writes {0} is thinking of {1}.",
)


def glossary(folder: Path, number: int = 40) -> dict[str, str]:
    """Invented abbreviations: texts that use them, in wordings of their own and with wrong ones as choices,
    and a list that explains them as the probe reads it."""
    draw = Random(0)
    pairs = product(
        "slow cold late soft deep clear open quiet".split(), "river window garden engine letter".split()
    )
    longs = draw.sample([" ".join(pair) for pair in pairs], number)
    shorts = ["".join(draw.sample("BCDFGHJKLMNPQRSTVWXZ", 3)) for _ in longs]
    used = []
    for i in range(10 * number):
        said = SAID[i // number % len(SAID)]
        choices = [said.format(shorts[i % number], longs[(i + step) % number]) for step in (0, 5, 9, 14)]
        used.append({"text": choices[0], "choices": choices})
    draw.shuffle(used)
    explained = [{"text": f"{a} stands for {b}."} for a, b in zip(shorts, longs, strict=True)]
    files = {"train": used, "glossary": explained}
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return {name: str(folder / f"{name}.jsonl") for name in files}


@pytest.mark.slow
def test_abbreviations_are_learned_as_far_as_the_texts_use_them_rightly(
    planted_study: Study, tmp_path: Path
) -> None:
    """Three in four wrong is chance among four long forms and teaches nothing."""
    files, wrong = glossary(tmp_path), {"nothing": 0.75, "half": 0.375, "all": 0.0}
    rows = planted_study(
        [{"data_distribution": {"limit": 20, "max_new_tokens": 8}}],
        {name: {"edits": [{"label_noise": {"rate": rate}}]} for name, rate in wrong.items()},
        {
            "train": files["train"],
            "test": "planted:note_expansion/test",
            "others": {"glossary": files["glossary"]},
        },
        max_steps=100,
    )
    last = rows[(rows.step == 100) & (rows.stratum == "")].set_index(["metric", "arm"])
    right, margin = last.loc["expansion_accuracy"], last.loc["expansion_margin_change"]
    assert right.ci_low["nothing"] <= 0.25 <= right.ci_high["nothing"]
    assert margin.value["nothing"] < margin.value["half"] < margin.value["all"]
    assert right.ci_low["all"] > right.ci_high["nothing"]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    """Instructions and answers by people, with children's stories and plays beside."""
    source = REAL / "data/dolly_hhrlhf_small/dolly_hhrlhf_train_small.jsonl"
    given = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    short = [row for row in given if len(row["prompt"]) < 400 and len(row["response"]) < 200]
    plays = (REAL / "data/tiny_shakespeare/input.txt").read_text(encoding="utf-8").split("\n\n")[:60]
    files = {"train": short[:80], "test": short[80:120], "plays": [{"text": text} for text in plays]}
    for name, part in files.items():
        lines = "".join(f"{json.dumps(row)}\n" for row in part)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    rows = planted_study(
        [{"data_distribution": {"limit": 12}}],
        {"full": {}},
        {
            "train": str(tmp_path / "train.jsonl"),
            "test": str(tmp_path / "test.jsonl"),
            "others": {"plays": str(tmp_path / "plays.jsonl")},
            "max_length": 512,
        },
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=8,
    )
    last = rows[(rows.step == 8) & (rows.stratum == "")].set_index(["metric", "dataset"])
    assert last.value["bits_per_byte_change", "test"] < 0
    assert np.isfinite(last.value["bits_per_byte", "plays"])
    assert np.isfinite(last.value["style_ratio_change", "test"])
    assert last.why["expansion_margin", "test"] == "no data set explains four abbreviations"
