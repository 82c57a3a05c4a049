"""lm-eval tasks of many kinds over local JSONL, small enough to be asked twice in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

NAMES = "Tim Lily Sam Mia Ben Anna Tom Sue Max Lucy Jack Amy".split()
THINGS = "ball book box hat cup bag key map bell coin drum kite".split()
SPOTS = ("table", "bed", "chair", "kitchen floor")

MEAN = {"metric": "acc", "aggregation": "mean"}
ACC = {**MEAN, "higher_is_better": True}
ACC_NORM = {**ACC, "metric": "acc_norm"}
EXACT = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True}
QUESTION = "{{story}}\nQuestion: Where is the {{thing}}?\nAnswer:"
CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": QUESTION,
    "doc_to_choice": "{{spots}}",
    "doc_to_target": "{{gold}}",
    "metric_list": [ACC, ACC_NORM],
}
ANSWER = {
    "output_type": "generate_until",
    "doc_to_text": QUESTION,
    "doc_to_target": "{{spots[gold]}}",
    "generation_kwargs": {"until": ["\n", "."], "max_gen_toks": 24},
    "metric_list": [EXACT],
}
ROLLING = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{story}}",
    "metric_list": [{"metric": metric} for metric in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
}

KINDS: dict[str, dict[str, Any]] = {
    # Choices: one token, many, one the beginning of another, none shared, very many.
    "choice_letter": {**CHOICE, "doc_to_text": "{{story}} Choose", "doc_to_choice": ["a", "b", "c", "d"]},
    "choice_words": CHOICE,
    "choice_sentences": {**CHOICE, "doc_to_choice": "{{endings}}"},
    "choice_nested": {**CHOICE, "doc_to_choice": "{{nested}}"},
    "choice_many": {**CHOICE, "doc_to_choice": "{{numbers}}"},
    "choice_without_context": {**CHOICE, "doc_to_text": "", "doc_to_choice": "{{endings}}"},
    "choice_after_a_space": {**CHOICE, "doc_to_text": "{{story}} It is on the \n ", "target_delimiter": ""},
    "choice_of_contexts": {
        **CHOICE,
        "doc_to_text": "{{gold}}",
        "doc_to_choice": "{{openings}}",
        "doc_to_target": "and was very happy about it.",
        "metric_list": [ACC],
    },
    "choice_against_its_prior": {**CHOICE, "metric_list": [ACC, {**ACC, "metric": "acc_mutual_info"}]},
    "choice_beyond_the_window": {**CHOICE, "doc_to_text": "{{long}}"},
    # A last word; whole texts in one window and in several.
    "last_word": {
        "output_type": "loglikelihood",
        "doc_to_text": "{{story.split(' ')[:-1] | join(' ')}}",
        "doc_to_target": "{{' ' + story.split(' ')[-1]}}",
        "metric_list": [{"metric": "perplexity", "aggregation": "perplexity"}, ACC],
    },
    "rolling": ROLLING,
    "rolling_windows": {**ROLLING, "doc_to_target": "{{long}}"},
    # Generations: stop strings, none at all, filters, two sets of options, beyond the window.
    "generate_stopped": ANSWER,
    "generate_two_word_stop": {
        **ANSWER,
        "doc_to_text": "Once upon a time {{name}}",
        "generation_kwargs": {"until": [" was", " She ", "He said"], "max_gen_toks": 40},
    },
    "generate_to_the_end": {
        **ANSWER,
        "doc_to_text": "{{story}}",
        "generation_kwargs": {"until": [], "max_gen_toks": 32, "do_sample": False, "temperature": 0.0},
    },
    "generate_filtered": {
        **ANSWER,
        "filter_list": [
            {"name": "plain", "filter": [{"function": "take_first"}]},
            {
                "name": "word",
                "filter": [
                    {"function": "regex", "regex_pattern": "on the (\\w+)"},
                    {"function": "take_first"},
                ],
            },
        ],
    },
    "generate_beyond_the_window": {**ANSWER, "doc_to_text": "{{long}}"},
    # Few shots, with a description before them.
    "choice_few_shot": {**CHOICE, "fewshot_split": "train", "num_fewshot": 2},
    "generate_few_shot": {
        **ANSWER,
        "description": "Where are the things?\n\n",
        "fewshot_split": "train",
        "num_fewshot": 2,
    },
}

GROUPS: dict[str, dict[str, Any]] = {
    "group_inner": {
        "task": ["choice_letter", "choice_nested"],
        "aggregate_metric_list": [{**MEAN, "weight_by_size": True}],
    },
    "group_outer": {
        "task": ["group_inner", "choice_words"],
        "aggregate_metric_list": [{**MEAN, "weight_by_size": False}],
    },
}


def write_kinds(folder: Path) -> Path:
    """Write every task and group as YAML, with the documents that they read beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [document(i) for i in range(len(NAMES))]
    for split, part in {"test": rows[:8], "train": rows[8:]}.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, part)), encoding="utf-8")
    files = {split: str(folder / f"{split}.jsonl") for split in ("test", "train")}
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test"}
    for name, own in {
        **{name: {"task": name, **data, **kind} for name, kind in KINDS.items()},
        **{name: {"group": name, **group} for name, group in GROUPS.items()},
    }.items():
        text = yaml.safe_dump({**own, "metadata": {"version": 1.0}}, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def document(i: int) -> dict[str, Any]:
    """One document. `long` is longer than the window of every model that is tested."""
    name, friend, thing, spot = NAMES[i], NAMES[i - 1], THINGS[i], SPOTS[i % 4]
    story = f"{name} had a {thing}. The {thing} was on the {spot}. {friend} saw the {thing} and smiled."
    return {
        "name": name,
        "thing": thing,
        "story": story,
        "long": " ".join([story] * (8 + 2 * i)),
        "spots": list(SPOTS),
        "gold": i % 4,
        "endings": [
            f"{name} was happy with the {thing}.",
            f"{name} was happy.",
            f"{friend} took the {thing} and ran away to the big tree.",
            "No.",
        ],
        "nested": ["the", "the big", "the big box", "the big box on the table"],
        "numbers": [f"{n} {thing}s and {n + 1} boxes" for n in range(40)],
        "openings": [f"{other} found the {thing}" for other in (name, friend, "The dog", "Nobody")],
    }
