from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from sft_probe.data.examples import Example, Message
from sft_probe.errors import StoreError
from sft_probe.store import documents
from sft_probe.store.documents import read_rows, write_rows


@dataclass(frozen=True)
class Finding:
    code: str
    severity: str
    message: str


def test_documents_come_back(tmp_path: Path) -> None:
    documents.write_study(tmp_path, "name: demo\n")
    documents.write_environment(tmp_path, {"versions": {"torch": "2.13.0"}})
    documents.write_audit(tmp_path, [Finding("overlap", "warning", "3 rows"), {"code": "eos"}])
    documents.write_probes(tmp_path, {"forgetting": {"question": "What is lost?"}})
    assert documents.read_study(tmp_path) == "name: demo\n"
    assert documents.read_document(tmp_path, "environment")["versions"] == {"torch": "2.13.0"}
    assert documents.read_document(tmp_path, "audit")[0]["code"] == "overlap"
    assert documents.read_document(tmp_path, "probes")["forgetting"]["question"] == "What is lost?"


def test_absent_documents_are_none_and_broken_ones_are_named(tmp_path: Path) -> None:
    assert documents.read_study(tmp_path) == ""
    assert documents.read_document(tmp_path, "audit") is None
    (tmp_path / "audit.json").write_text("[")
    with pytest.raises(StoreError, match=r"audit\.json"):
        documents.read_document(tmp_path, "audit")


def test_training_rows_are_kept_as_text(tmp_path: Path) -> None:
    assert read_rows(tmp_path).empty
    write_rows(tmp_path, [Example(id="a", messages=(Message("user", "Why?"),), target="So.")])
    assert read_rows(tmp_path).to_dict("records") == [{"id": "a", "prompt": "Why?", "target": "So."}]


def test_of_very_many_rows_some_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_ROWS", 4)
    write_rows(tmp_path, [Example(id=f"r{i}", target="t") for i in range(10)])
    assert list(read_rows(tmp_path)["id"]) == ["r0", "r3", "r6", "r9"]
