"""One data set in every kind of file; what cannot be read is named by file and row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sft_probe.data.load import is_planted, load_dataset, planted_parts
from sft_probe.errors import DataError

ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": f"Where is cat {i}?"},
            {"role": "assistant", "content": "here"},
        ],
        "choices": ["here", "there"],
    }
    for i in range(6)
]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS), encoding="utf-8")


def write_wrapped_json(path: Path) -> None:
    path.write_text(json.dumps({"version": 1, "data": ROWS}), encoding="utf-8")


def write_lines_as_json(path: Path) -> None:
    write_jsonl(path, ROWS)


def write_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), path)


def write_csv(path: Path) -> None:
    import pandas as pd

    pd.DataFrame([{key: json.dumps(value) for key, value in row.items()} for row in ROWS]).to_csv(
        path, index=False
    )


def write_folder(path: Path) -> None:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(path))


def write_folder_of_splits(path: Path) -> None:
    import datasets

    train = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"test": train.select(range(1)), "train": train}).save_to_disk(str(path))


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "rows.jsonl", ROWS)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_json, "rows.json"),
        (write_wrapped_json, "rows.json"),
        (write_lines_as_json, "rows.json"),
        (write_parquet, "rows.parquet"),
        (write_csv, "rows.csv"),
        (write_folder, "rows"),
        (write_folder_of_splits, "rows"),
    ],
)
def test_every_kind_of_file_gives_the_same_examples(
    write: Any, name: str, jsonl: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path)
    assert load_dataset(str(path), name="x").examples == load_dataset(str(jsonl), name="x").examples


def test_the_order_depends_on_the_seed_only_and_ids_not_at_all(jsonl: Path) -> None:
    first, again, other = (load_dataset(str(jsonl), name="x", seed=seed) for seed in (0, 0, 1))
    assert first.examples == again.examples != other.examples
    assert {e.id: e for e in first} == {e.id: e for e in other}
    assert sorted(e.id for e in first) == ["1", "2", "3", "4", "5", "6"]


def test_a_limit_takes_the_first_after_shuffling(jsonl: Path) -> None:
    whole = load_dataset(str(jsonl), name="x", seed=3)
    assert load_dataset(str(jsonl), name="x", seed=3, limit=2).examples == whole.examples[:2]


def test_text_files_are_divided_into_documents(tmp_path: Path) -> None:
    path = tmp_path / "stories.txt"
    path.write_text("One.\n\nStill one.\n<|endoftext|>\nTwo.\n<|endoftext|>\n")
    assert {e.target for e in load_dataset(str(path), name="x")} == {"One.\n\nStill one.", "Two."}
    path.write_text("One.\n\nTwo.\n\n\n")
    assert {e.target for e in load_dataset(str(path), name="x")} == {"One.", "Two."}


def test_a_byte_order_mark_and_empty_lines_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"}\n', encoding="utf-8-sig")
    assert sorted((e.id, e.target) for e in load_dataset(str(path), name="x")) == [("1", "a"), ("3", "b")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": "y"\n', r"a\.jsonl, row 2: the line is not JSON"),
        ("a.jsonl", '{"text": "x"}\n["y"]\n', r"a\.jsonl, row 2: expected a mapping of fields"),
        ("a.jsonl", '{"text": "x"}\n{"text": 3}\n', r"a\.jsonl, row 2, field 'text': expected text"),
        ("a.jsonl", "", "the data set is empty"),
        (
            "a.jsonl",
            '{"id": 1, "text": "x"}\n{"id": 1, "text": "y"}\n',
            "row 2, field 'id': the id '1' already",
        ),
        ("a.json", '[{"text": "x"},]', "the file is not JSON .* in line 1"),
        ("a.json", "3", "expected an array of rows"),
        ("a.csv", "text,id\nx,1,2\n", "row 1: the row has more cells than the header"),
        ("a.csv", 'messages\n"[oops"\n', "row 1, field 'messages': the cell is not JSON"),
        ("a.parquet", "x", "the file is not Parquet"),
        ("a.docx", "x", r"files ending in '\.docx' are not read\. Known: \.csv"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_dataset(str(path), name="x")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "Müller"}'.encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        load_dataset(str(path), name="x")


def test_a_missing_file_is_refused_with_the_nearest(jsonl: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or folder\. Did you mean 'rows\.jsonl'"):
        load_dataset(str(jsonl.with_name("row.jsonl")), name="x")


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match="'nobody/nothing' is no file or folder here, and the hub gives no such"
    ):
        load_dataset("nobody/nothing:train", name="x")


def test_planted_sources_are_told_from_paths() -> None:
    assert is_planted("planted:question_answering/train")
    assert not is_planted("data/planted.jsonl")
    assert planted_parts("planted:question_answering/train") == ("question_answering", "train")
    assert planted_parts("planted:replay") == ("replay", "")
    with pytest.raises(DataError, match="names no task"):
        planted_parts("planted:")
