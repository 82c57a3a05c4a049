"""A folder as the pages expect it: a model in `base/`, chat rows in `train.jsonl` and `test.jsonl`, pairs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sft_probe.testing.tiny import tiny_base, tiny_data


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _answered(answer: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder for the pages of a module; the tests run inside it."""
    folder = tmp_path_factory.mktemp("place")
    base = tiny_base()
    base.model.save_pretrained(folder / "base")
    base.tokenizer.save_pretrained(folder / "base")
    examples = tiny_data(48)["test"].examples
    for name, part in {"train": examples[:32], "test": examples[32:]}.items():
        rows = (
            {
                "id": e.id,
                "messages": [*(m._asdict() for m in e.messages), *_answered(e.target)],
                "choices": list(e.choices),
                "cluster": f"{name}-{e.id}",
            }
            for e in part
        )
        _write(folder / f"{name}.jsonl", rows)
    pairs = (
        {
            "prompt": [{"role": "user", "content": f"Where is cat {i}?"}],
            "chosen": _answered("sofa"),
            "rejected": _answered("barn"),
        }
        for i in range(16)
    )
    _write(folder / "pairs.jsonl", pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
        yield folder
