from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sft_probe.errors import StoreError
from sft_probe.store.atomic import sha256_of
from sft_probe.store.migrations import MIGRATIONS, Migration, migrate, pending
from sft_probe.store.runs import RunStore

from .conftest import write_run


def append_line(name: str) -> Migration:
    def change(folder: Path) -> None:
        config = folder / "config.yaml"
        config.write_text(config.read_text() + f"{name}: true\n")

    return Migration(name=name, version=1, change=change)


FIRST, SECOND = append_line("first"), append_line("second")


def run_folder(store: RunStore) -> Path:
    write_run(store)
    return store.folder / "full-seed0"


def test_each_is_applied_once_and_in_order(store: RunStore) -> None:
    folder = run_folder(store)
    assert migrate(folder, [FIRST]) == ("first",)
    assert migrate(folder, [FIRST, SECOND]) == ("second",)
    assert migrate(folder, [FIRST, SECOND]) == ()
    assert (folder / "config.yaml").read_text().endswith("first: true\nsecond: true\n")
    assert json.loads((folder / "manifest.json").read_text())["migrations"][-2:] == ["first", "second"]


def test_hashes_are_brought_up_to_date(store: RunStore) -> None:
    migrate(run_folder(store), [FIRST])
    assert store.finished("full-seed0", "d1")
    assert [path.name for path in store.folder.iterdir()] == ["full-seed0"]


def test_a_failed_migration_is_named_and_changes_nothing(store: RunStore) -> None:
    def fail(folder: Path) -> None:
        (folder / "config.yaml").write_text("half done")
        raise ValueError("no such column")

    folder = run_folder(store)
    with pytest.raises(StoreError, match=r"'third' failed: no such column"):
        migrate(folder, [FIRST, Migration("third", 2, fail)])
    assert store.finished("full-seed0", "d1")
    assert json.loads((folder / "manifest.json").read_text())["migrations"] == [m.name for m in MIGRATIONS]


def test_new_runs_and_unfinished_runs_need_none(store: RunStore, tmp_path: Path) -> None:
    assert pending(run_folder(store)) == ()
    assert pending(tmp_path / "nowhere", [FIRST]) == ()


def test_names_are_unique_and_versions_never_fall() -> None:
    assert len({m.name for m in MIGRATIONS}) == len(MIGRATIONS)
    assert [m.version for m in MIGRATIONS] == sorted(m.version for m in MIGRATIONS)


def test_items_of_before_version_2_have_no_values_by_token(store: RunStore) -> None:
    folder = run_folder(store)
    path = folder / "items.parquet"
    pq.write_table(pq.read_table(path).drop_columns("by_token"), path)
    raw = json.loads((folder / "manifest.json").read_text())
    raw |= {"schema_version": 1, "migrations": [], "files": raw["files"] | {"items.parquet": sha256_of(path)}}
    (folder / "manifest.json").write_text(json.dumps(raw))
    assert set(store.items()["by_token"]) == {""}
    assert store.runs()[0].migrations == ("items_by_token",)
