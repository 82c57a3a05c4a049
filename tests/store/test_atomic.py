from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from sft_probe.store.atomic import remove_leftovers, sha256_of, write_bytes, write_json, write_parquet


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "table.parquet"
    write_bytes(path, b"old")

    def no_space(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="no space"):
        write_parquet(path, pa.table({"x": [1]}))
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["table.parquet"]


def test_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    names = (".report.html.123.tmp", ".lock", "notes.tmp", "a.parquet")
    for name in names:
        write_bytes(tmp_path / "deep" / name, b"x")
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == [".lock", "a.parquet", "notes.tmp"]


def test_nothing_is_left_beside_the_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text(encoding="utf-8").index("é") > 0


def test_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
