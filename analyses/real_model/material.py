"""Cut the real material into what the study needs: replay text, held-out text, lm-eval tasks."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

QUESTIONS = ("copa", "piqa", "arc_easy")  # multiple-choice items as published, one JSON object a line
SENTENCE_END = re.compile(r"(?<=[.!?\"])\s+")


def write_material(real: Path, work: Path) -> None:
    """Write `<work>/data/*.jsonl` and `<work>/tasks/*.yaml`. The same input gives the same files."""
    stories = whole_stories((real / "data/tinystories_sample/tinystories_sample.txt").read_text("utf-8"))
    random.Random("stories").shuffle(stories)
    third = len(stories) // 3
    text = work / "data"
    _write_lines(text / "stories_replay.jsonl", _as_text(stories[:third]))
    _write_lines(text / "stories_heldout.jsonl", _as_text(stories[third : 2 * third][:200]))
    _write_lines(text / "stories_cloze.jsonl", continuation_items(stories[2 * third :], count=200))
    _write_task(work, "real_stories", text / "stories_cloze.jsonl")
    for name in QUESTIONS:
        _write_task(work, f"real_{name}", real / f"data/llm_foundry_gauntlet/{name}.jsonl")


def whole_stories(sample: str) -> list[str]:
    """Stories of at least six sentences; the first and the last of the sample are cut off, so they go."""
    stories = [" ".join(story.split()) for story in sample.split("<|endoftext|>")[1:-1]]
    return [story for story in dict.fromkeys(stories) if len(SENTENCE_END.split(story)) >= 6]


def continuation_items(stories: list[str], count: int) -> Iterable[dict[str, object]]:
    """Four choices: how this story goes on after its third sentence, or how three other stories do."""
    rng = random.Random("continuations")
    parts = [SENTENCE_END.split(story) for story in stories]
    for i, sentences in enumerate(parts[:count]):
        others = rng.sample([j for j in range(len(parts)) if j != i], 3)
        endings = [sentences[3], *(parts[j][3] for j in others)]
        order = rng.sample(range(4), 4)
        yield {
            "id": f"story-{i}",
            "query": " ".join(sentences[:3]),
            "choices": [endings[k] for k in order],
            "gold": order.index(0),
        }


def _as_text(stories: Iterable[str]) -> Iterable[dict[str, object]]:
    return ({"id": f"story-{i}", "text": story} for i, story in enumerate(stories))


def _write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _write_task(work: Path, name: str, rows: Path) -> None:
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows.resolve())}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    path = work / "tasks" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(task, sort_keys=False), "utf-8")
