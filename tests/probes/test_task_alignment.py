import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Example, Message
from sft_probe.errors import DataError, SpecError
from sft_probe.observe.needs import Generations, Scores
from sft_probe.observe.observations import GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes.scorers import classification
from sft_probe.probes.task_alignment import METRICS, TaskAlignment
from sft_probe.schema import NAN, Measurement

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
REAL = Path(__file__).parents[3] / "shared" / "real"
PROBE = TaskAlignment()
LABEL_METRICS = [metric.name for metric in classification.METRICS]
EXAMPLES = tuple(
    Example(
        id=f"q{i}",
        target=target,
        messages=(Message("user", f"Where does {who} live?"),),
        choices=("Oslo", "Rome"),
        stratum=stratum,
        cluster=who,
    )
    for i, (target, who, stratum) in enumerate(
        [
            ("Oslo", "ann", "stored"),
            ("Rome", "ann", "stored"),
            ("Rome", "bob", "unseen"),
            ("Oslo", "cy", "unseen"),
        ]
    )
)


def observed(
    texts: tuple[str, ...],
    oslo: tuple[float, ...],
    stopped: tuple[bool, ...] = (True,) * 4,
    examples: tuple[Example, ...] = EXAMPLES,
) -> Observed:
    """What was said, and the log-likelihood of the choice Oslo where Rome has -3."""
    n = len(examples)
    return Observed(
        {
            Generations(dataset="test"): GenerationsSeen(
                examples=examples, texts=texts, n_tokens=np.full(n, 3), stopped=np.array(stopped)
            ),
            Scores(dataset="test"): ScoresSeen(
                examples=examples,
                target_logprob=np.array([-1.0, -2.0, -3.0, -6.0]),
                target_tokens=np.array([2, 2, 2, 3]),
                target_greedy=np.ones(n, dtype=bool),
                choice_logprob=tuple(
                    np.array([x, -3.0]) if e.choices else np.array([])
                    for x, e in zip(oslo, examples, strict=True)
                ),
                choice_tokens=tuple(np.array([1, 2]) if e.choices else np.array([]) for e in examples),
            ),
        }
    )


BASE = observed(("It is Oslo.", "Oslo", "Rome, Rome", ""), (-4, -4, -4, -4), (True, True, False, False))
TUNED = observed((" Oslo\n", "Rome", "Rome", "in Oslo"), (-1, -5, -2, -3.5), (True, True, False, True))


def test_known_scores(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    expected = {
        "exact_match": (0.5, 0.0),  # the third answer did not stop
        "contains_match": (1.0, 0.5),
        "token_f1": ((1 + 1 + 1 + 2 / 3) / 4, (2 / 4 + 0 + 2 / 3 + 0) / 4),
        "choice_accuracy": (0.5, 0.5),
        "choice_margin": ((2 + 2 - 1 - 0.5) / 4, (-1 + 1 + 1 - 1) / 4),
        "answer_logprob": ((-0.5 - 1 - 1.5 - 2) / 4,) * 2,
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert (row.value, row.null_value) == pytest.approx((value, null)), metric
        assert (row.n, row.n_clusters, row.dataset, row.better) == (4, 3, "test", "higher")
        assert row.ci_low < row.value <= row.ci_high
    assert {row.metric for row in found.rows} == {*expected, *(metric.name for metric in METRICS)}


def test_a_closed_set_that_rows_share_is_classification(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    oslo = 1 / (1 + np.exp(np.array([-2.0, 2, -1, 0.5])))  # its probability, row by row
    gold = np.array([oslo[0], 1 - oslo[1], 1 - oslo[2], oslo[3]])
    expected = {
        "named_label": (1.0, 0.5),
        "label_nll": (-np.log(gold).mean(), NAN),
        "brier": ((2 * (1 - gold) ** 2).mean(), NAN),
        "overconfidence": (np.maximum(oslo, 1 - oslo).mean() - 0.5, NAN),
        "balanced_accuracy": (0.5, 0.5),
        "macro_f1": (0.5, 1 / 3),
        "macro_f1_said": (1.0, (1 / 2 + 2 / 3) / 2),
        "confidence_auroc": (1.0, 0.5),
        "brier_uncertainty": (0.5, 0.5),
    }
    for metric, (value, null) in expected.items():
        row = find(found, metric)
        assert row.value == pytest.approx(value), metric
        assert np.isnan(null) or row.null_value == pytest.approx(null), metric
        assert (row.n, row.n_clusters) == (4, 3)
    assert "judge by ece_p" in find(found, "ece").why
    parts = [find(found, f"brier_{part}").value for part in ("reliability", "resolution", "uncertainty")]
    assert parts[0] - parts[1] + parts[2] == pytest.approx(expected["brier"][0])
    shares = {row.module: (row.value, row.n) for row in found.rows if row.metric == "confusion"}
    assert shares == {
        "Oslo -> Oslo": (0.5, 2),
        "Oslo -> Rome": (0.5, 2),
        "Rome -> Oslo": (0.5, 2),
        "Rome -> Rome": (0.5, 2),
    }


def test_without_labels_classification_says_so(find: Find) -> None:
    bare = tuple(replace(example, choices=()) for example in EXAMPLES)
    seen = observed(("Oslo",) * 4, (-1,) * 4, examples=bare)
    found = PROBE.measure(seen, seen)
    for metric in (*LABEL_METRICS, "rouge_l", "number_match"):
        if metric != "confusion":
            assert find(found, metric).why.startswith("no "), metric
            assert np.isnan(find(found, metric).value)
    assert find(found, "answer_match").value == 0.5


def test_long_free_answers_are_generation(find: Find) -> None:
    text = "Floods closed two bridges in Oslo on Monday and one in Rome"
    long = tuple(replace(example, choices=(), target=text) for example in EXAMPLES)
    seen = observed((text, text, "Floods in Oslo", ""), (-1,) * 4, examples=long)
    found = PROBE.measure(seen, seen)
    assert find(found, "rouge_1").value == pytest.approx((1 + 1 + 2 * 3 / (3 + 12) + 0) / 4)
    assert find(found, "words_ratio").value == pytest.approx((12 + 12 + 3) / 48)
    assert find(found, "distinct_1").value == pytest.approx(11 / 27)
    assert find(found, "text_stop_rate").value == 1
    assert np.isnan(find(found, "answer_match").value)
    assert {item.metric for item in found.items} >= {"exact_match", "rouge_l"}
    assert "chrf" not in {item.metric for item in found.items}  # rows only: items are kept for few metrics


def test_strata_have_rows_of_their_own(find: Find) -> None:
    found = PROBE.measure(TUNED, BASE)
    assert find(found, "exact_match", stratum="stored").value == 1.0
    assert find(found, "exact_match", stratum="unseen").value == 0.0
    assert find(found, "contains_match", stratum="unseen").null_value == 0.5
    assert find(found, "exact_match", stratum="stored").why == "one cluster"


def test_one_stratum_is_the_whole(find: Find) -> None:
    same = tuple(replace(example, stratum="stored") for example in EXAMPLES)
    seen = observed(("Oslo",) * 4, (-1,) * 4, examples=same)
    assert {row.stratum for row in PROBE.measure(seen, seen).rows} == {""}


def test_items_carry_what_was_asked_said_and_expected() -> None:
    items = [item for item in PROBE.measure(TUNED, BASE).items if item.metric == "exact_match"]
    assert [item.value for item in items] == [1, 1, 0, 0]
    assert items[3].prompt == "Where does cy live?"
    assert (items[3].prediction, items[3].target) == ("in Oslo", "Oslo")
    assert (items[3].item, items[3].cluster, items[3].stratum) == ("q3", "cy", "unseen")


def test_the_base_is_its_own_null() -> None:
    found = PROBE.measure(BASE, BASE)
    assert all(row.value == pytest.approx(row.null_value, nan_ok=True) for row in found.rows)


def test_normalised_choice_scores_may_choose_otherwise(find: Find) -> None:
    by_sum, by_token = PROBE, TaskAlignment(choice_score="per_token")  # Rome has two tokens: -1.5 each
    assert find(by_sum.measure(TUNED, BASE), "choice_accuracy", stratum="unseen").value == 0
    assert find(by_token.measure(TUNED, BASE), "choice_accuracy", stratum="unseen").value == 0.5
    margins = [find(p.measure(TUNED, BASE), "choice_margin").value for p in (by_sum, by_token)]
    assert margins[0] == margins[1]


def test_without_choices_the_row_says_so(find: Find) -> None:
    bare = tuple(replace(example, choices=()) for example in EXAMPLES)
    seen = observed(("Oslo",) * 4, (-1,) * 4, examples=bare)
    found = PROBE.measure(seen, seen)
    for metric in ("choice_accuracy", "choice_margin"):
        row = find(found, metric)
        assert np.isnan(row.value)
        assert row.why == "no example has choices"
    assert not [item for item in found.items if item.metric == "choice_accuracy"]


def test_only_examples_with_choices_count(find: Find) -> None:
    mixed = (*EXAMPLES[:2], replace(EXAMPLES[2], choices=()), EXAMPLES[3])
    seen = observed(("",) * 4, (-1,) * 4, examples=mixed)
    row = find(PROBE.measure(seen, seen), "choice_accuracy")
    assert (row.value, row.n) == (pytest.approx(2 / 3), 3)


def test_a_target_outside_its_choices_is_refused() -> None:
    odd = (replace(EXAMPLES[0], target="oslo"), *EXAMPLES[1:])
    with pytest.raises(DataError, match=r"'oslo' of example 'q0' is none of its choices"):
        PROBE.measure(observed(("",) * 4, (-1,) * 4, examples=odd), BASE)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_new_tokens", 0),
        ("limit", -1),
        ("limit", "10"),
        ("dataset", ""),
        ("choice_score", "mean"),
        ("numeric_tolerance", -1),
    ],
)
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.task_alignment.{option}'"):
        TaskAlignment(**{option: value})  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_is_learned_falls_with_the_share_of_wrong_labels(planted_study: Study) -> None:
    """Labels that are right half of the time teach nothing; the fewer are wrong, the more is learned."""
    rates = (0.5, 0.25, 0.0)
    rows = planted_study(
        [{"task_alignment": {"max_new_tokens": 4}}],
        {f"q{rate}": {"edits": [{"label_noise": {"rate": rate}}]} for rate in rates},
        {"train": "planted:sentiment/train", "test": "planted:sentiment/test", "max_test_rows": 150},
        max_steps=60,
        per_device_train_batch_size=16,
        lr_scheduler_type="linear",
    )
    last = rows[(rows.step == 60) & (rows.stratum == "") & (rows.module == "")].set_index(["arm", "metric"])
    assert last.loc[("q0.5", "balanced_accuracy"), "value"] == pytest.approx(0.5, abs=0.1)
    assert last.loc[("q0.25", "balanced_accuracy"), "ci_low"] > 0.7
    assert last.loc[("q0.25", "confidence_auroc"), "ci_low"] > 0.5
    for metric, rises in (("balanced_accuracy", True), ("label_nll", False), ("brier", False)):
        values = [last.loc[(f"q{rate}", metric), "value"] for rate in rates]
        assert values == sorted(values, reverse=not rises), metric
    assert last.loc[("q0.0", "macro_f1_said"), "value"] > 0.9  # it also says what it finds likely
    assert last.loc[("q0.25", "overconfidence"), "value"] < -0.1  # noise makes it doubt, right as it is
    assert last.loc[("q0.25", "ece_p"), "value"] < 0.01


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    """Numbers from GSM8K, choices from ARC, free text from Dolly, all in one test set."""

    def read(name: str, count: int) -> list[dict[str, Any]]:
        with (REAL / "data" / name).open(encoding="utf-8") as file:
            return [json.loads(next(file)) for _ in range(count)]

    def row(asked: str, answer: str, stratum: str, choices: Sequence[str] = ()) -> dict[str, Any]:
        turns = [{"role": "user", "content": asked[-200:]}, {"role": "assistant", "content": answer[:200]}]
        return {"messages": turns, "choices": list(choices), "stratum": stratum}

    sums = [
        row(r["question"], f"#### {r['answer'].split()[-1]}", "sums") for r in read("gsm8k/test.jsonl", 16)
    ]
    quiz = [
        row(r["query"], r["choices"][r["gold"]], "quiz", r["choices"])
        for r in read("llm_foundry_gauntlet/arc_easy.jsonl", 16)
    ]
    texts = [
        row(r["prompt"], r["response"], "texts")
        for r in read("dolly_hhrlhf_small/dolly_hhrlhf_train_small.jsonl", 40)
        if len(r["response"].split()) > 12
    ]
    lines = [json.dumps(line) for line in sums + quiz + texts]
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = planted_study(
        ["task_alignment"],
        {"full": {}},
        {
            "train": str(tmp_path / "train.jsonl"),
            "test": str(tmp_path / "test.jsonl"),
            "max_length": 450,
            "allow": ["overlap_exact"],
        },
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=10,
    )
    last = rows[(rows.step == 10) & (rows.stratum == "")].set_index("metric")
    assert last.n["number_match"] == 16
    assert last.n["choice_accuracy"] == 16
    assert last.n["rouge_l"] >= len(texts)  # and long answers of the quiz
    assert last.why["brier"].startswith("no classification")  # the choices of a quiz are no labels
    for metric in ("rouge_l", "chrf", "choice_accuracy", "text_stop_rate"):
        assert 0 <= last.value[metric] <= 1
    assert 0 < last.value["chrf"] < 0.5
    assert last.value["words_ratio"] > 0
