"""A tiny model folder and tiny data files, as a user would bring them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from sft_probe.study.spec import StudySpec
from sft_probe.study.yaml import parse_study
from sft_probe.testing.tiny import tiny_base, tiny_data


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    base = tiny_base()
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    examples = tiny_data(48)["test"].examples
    parts = {"train": examples[:32], "test": examples[32:]}
    for name, rows in parts.items():
        lines = (
            {
                "id": e.id,
                "messages": [*(m._asdict() for m in e.messages), {"role": "assistant", "content": e.target}],
                "choices": list(e.choices),
                "cluster": f"{name}-{e.id}",
            }
            for e in rows
        )
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return {name: folder / f"{name}.jsonl" for name in parts}


@pytest.fixture
def study(study_in: Callable[..., StudySpec], tmp_path: Path) -> Callable[..., StudySpec]:
    """A small study; keyword arguments replace its top-level keys."""
    return partial(study_in, tmp_path / "out")


@pytest.fixture(scope="session")
def study_in(model_folder: Path, data_files: dict[str, Path]) -> Callable[..., StudySpec]:
    """The same in a folder of one's choice."""

    def make(folder: Path, **changes: Any) -> StudySpec:
        raw: dict[str, Any] = {
            "name": "tiny",
            "model_name_or_path": str(model_folder),
            "output_dir": str(folder),
            "data": {"train": str(data_files["train"]), "test": str(data_files["test"]), "max_test_rows": 8},
            "seeds": [0, 1],
            "max_steps": 3,
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 4,
            "schedule": {"points": 1},
            "probes": [
                {"task_alignment": {"max_new_tokens": 6}},
                {"representation_drift": {"dataset": "test"}},
                "weight_change",
            ],
            "arms": {"full": {}, "lora": {"method": "lora", "method_options": {"r": 2}}},
        } | changes
        return parse_study(yaml.safe_dump(raw), file="tiny.yaml")

    return make
