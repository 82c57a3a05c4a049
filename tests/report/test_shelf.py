"""Studies below a folder and their live pages, whatever they are called and however far they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from sft_probe.report.live import index_page, study_page
from sft_probe.report.shelf import Shelved, shelf
from sft_probe.store.failures import Failure
from sft_probe.store.lock import locked
from sft_probe.store.runs import RunStore

from .synthetic import ENVIRONMENT, Arm, config, write_study
from .test_page import parsed

HOSTILE = "<script>alert(1)</script> & co"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A finished study, and deeper down one that has begun, with a hostile name."""
    write_study(tmp_path / "done", arms=("full",), seeds=(0,), steps=(0, 3, 30), probes=("task_alignment",))
    (tmp_path / "done" / "report.json").write_text(json.dumps({"verdict": ["It learned.", "It kept."]}))
    (tmp_path / "done" / "report.html").write_text("<h1>report</h1>")
    begun = tmp_path / "a" / "b & c"
    store = RunStore(begun)
    run = store.open_run("full-seed0", config=config("full", 0), environment=ENVIRONMENT)
    for step in (0, 3):
        run.append(step, "task_alignment", Arm("full", 0).task_alignment(step))
    arms = {"full": {"label": HOSTILE}, "lora": {}}
    (begun / "study.yaml").write_text(yaml.safe_dump({"name": HOSTILE, "arms": arms, "seeds": [0, 1]}))
    return tmp_path


def by_path(root: Path) -> dict[str, Shelved]:
    return {study.path: study for study in shelf(root)}


def test_studies_are_found_with_what_is_known_of_them(root: Path) -> None:
    found = by_path(root)
    assert set(found) == {"done", "a/b & c"}
    done, begun = found["done"], found["a/b & c"]
    assert (done.state, done.name, done.runs, done.verdict) == ("finished", "synthetic", 1, "It learned.")
    assert (begun.state, begun.name, begun.runs, begun.expected) == ("stopped", HOSTILE, 0, 4)
    assert begun.arms == (HOSTILE, "lora")


def test_a_study_that_is_written_to_is_running(root: Path) -> None:
    begun = root / "a" / "b & c"
    with locked(begun):
        assert by_path(root)["a/b & c"].state == "running"
        assert shelf(root)[0].state == "running"
        assert 'data-refresh="5"' in index_page(root)
        assert 'data-refresh="5"' in study_page(begun, root)
    assert by_path(root)["a/b & c"].state == "stopped"
    assert 'data-refresh="0"' in index_page(root)


def test_a_failed_run_makes_a_failed_study(root: Path) -> None:
    begun = root / "a" / "b & c"
    reason = "The loss became <b>NaN</b>."
    RunStore(begun).fail(
        Failure(run="lora-seed0", arm="lora", seed=0, digest="d", kind="diverged", reason=reason)
    )
    assert by_path(root)["a/b & c"].state == "failed"
    assert "&lt;b&gt;NaN" in study_page(begun, root)


def test_a_damaged_study_does_not_hide_the_others(root: Path) -> None:
    (root / "done" / "runs" / "full-seed0" / "manifest.json").write_text("{")
    found = by_path(root)
    assert found["done"].state == "unreadable"
    assert "manifest" in found["done"].why
    assert "cannot be read" in index_page(root)
    assert "cannot be read" in study_page(root / "done", root)


def test_the_timeline_grows_with_what_is_measured(root: Path) -> None:
    begun = root / "a" / "b & c"
    before = study_page(begun, root)
    assert before.count('class="panel"') > 3
    assert study_page(begun, root) == before
    parts = begun / "runs" / "full-seed0" / "parts" / "measurements"
    for path in parts.glob("*3.task*"):
        path.unlink()
    assert "Nothing has been looked at more than once yet." in study_page(begun, root)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_pages_are_whole_and_names_are_text(root: Path, lang: str) -> None:
    for page in (index_page(root, lang=lang), study_page(root / "a" / "b & c", root, lang=lang)):
        structure = parsed(page)
        assert len(structure.scripts) == 1
        assert "<script>alert" not in page
        assert structure.headings[0] == 1
        assert "default-src 'none'" in page.replace("&#39;", "'")
        for _, name, value in structure.attributes:
            if name in ("src", "href", "action"):
                assert value.startswith("/")
