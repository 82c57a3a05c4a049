"""A study folder with one finished and one unfinished run, and a tiny study that can really run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sft_probe.schema import Measurement, Measurements
from sft_probe.store.runs import RunStore

STUDY = """\
name: tiny
model_name_or_path: {folder}/model
output_dir: {folder}/runs
data: {{train: "{folder}/train.jsonl", test: "{folder}/test.jsonl", others: {{text: "{folder}/text.jsonl"}}}}
seeds: [0, 1]
max_steps: 10
per_device_train_batch_size: 4
probes: [task_alignment]
arms: {{full: , replay: {{regulariser: {{replay: {{dataset: text, fraction: 0.5}}}}}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with one finished and one unfinished run."""
    config = {"arm": "lora", "seed": 1, "digest": "d", "label": "LoRA"}
    rows = (
        Measurement(metric="exact_match", value=0.5, unit="1"),
        Measurement(metric="token_f1", value=float("nan"), unit="1", why="no targets"),
    )
    store = RunStore(tmp_path)
    with store.open_run("lora-seed1", config=config, environment={"versions": {}, "device": "cpu"}) as run:
        run.append(0, "task_alignment", Measurements(rows))
        run.finish()
    with store.open_run("lora-seed2", config={**config, "seed": 2}, environment={"versions": {}}):
        pass
    return tmp_path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study file whose model, data and replay text lie beside it."""
    from sft_probe.testing.tiny import tiny_base

    base = tiny_base()
    base.model.save_pretrained(tmp_path / "model")
    base.tokenizer.save_pretrained(tmp_path / "model")
    for name, rows in (("train", range(20)), ("test", range(100, 104))):
        lines = (json.dumps({"question": f"Where is cat {i}?", "answer": f"on sofa {i}"}) for i in rows)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (tmp_path / "text.jsonl").write_text('{"text": "The cat sleeps."}\n{"text": "The dog runs."}\n')
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(folder=tmp_path))
    return path
