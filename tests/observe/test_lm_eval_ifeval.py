"""IFEval with lm-eval's own scorer over local prompts, and what is said where something of it is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_probe.errors import DataError
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.observations import BenchmarkSeen
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import tiny_base, tiny_data

ROWS = [
    (("punctuation:no_comma", {}), ("detectable_format:json_format", {})),
    (("length_constraints:number_words", {"relation": "at least", "num_words": 200}),),
    (("length_constraints:number_words", {"relation": "less than", "num_words": 200}),),
]
SENTENCES = ((("length_constraints:number_sentences", {"relation": "at least", "num_sentences": 1}),),)


def benchmark(folder: Path, rows: Any) -> BenchmarkSeen:
    """The tiny model's answers to some prompts with these instructions, scored by lm-eval."""
    import lm_eval.tasks

    documents = [
        {
            "key": i,
            "prompt": "Where is the cat?",
            "instruction_id_list": [name for name, _ in row],
            "kwargs": [options for _, options in row],
        }
        for i, row in enumerate(rows)
    ]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")
    task = {
        "include": str(Path(lm_eval.tasks.__file__).parent / "ifeval" / "ifeval.yaml"),
        "task": "ifeval_local",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"train": str(folder / "prompts.jsonl")}},
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": 12},
    }
    (folder / "ifeval_local.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    base, need = tiny_base(), Benchmark(tasks=("ifeval_local",), apply_chat_template=True)
    observer = Observer(base, tiny_data(), benchmark_paths=(folder,))
    return observer.look_at_base((need,))[need]


@pytest.fixture(autouse=True)
def _nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval asks for NLTK's files when it is imported, and prints that it got them."""
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk, "download", lambda *_: False)


@pytest.fixture
def _scorer() -> None:
    pytest.importorskip("langdetect")
    pytest.importorskip("immutabledict")


@pytest.mark.usefixtures("_scorer")
def test_every_prompt_and_every_instruction_is_a_row(tmp_path: Path) -> None:
    seen = benchmark(tmp_path, ROWS)
    rows = {(item.metric, item.item): item for item in seen.items}
    strict = [rows["prompt_level_strict_acc", str(i)].value for i in range(3)]
    assert strict == [0, 0, 1]
    parts = [rows["inst_level_strict_acc", part] for part in ("0.0", "0.1", "1.0", "2.0")]
    assert [part.cluster for part in parts] == ["0", "0", "1", "2"]
    assert [part.value for part in parts[1:]] == [0, 0, 1]
    mean = sum(part.value for part in parts) / 4
    assert seen.aggregates["ifeval_local"]["inst_level_strict_acc"] == pytest.approx(mean)


@pytest.mark.usefixtures("_scorer")
def test_a_file_of_nltk_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(DataError, match=r"'ifeval_local' needs NLTK's 'punkt\w*'.*nltk\.downloader punkt"):
        benchmark(tmp_path, SENTENCES)


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lm_eval.tasks.ifeval")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langdetect", None)
    with pytest.raises(DataError, match=r"needs the package 'langdetect'.*sft-probe\[ifeval\]"):
        benchmark(tmp_path, ROWS)
