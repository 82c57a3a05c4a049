"""Where lm-eval's tasks come from: local files without a hub, a hub that is absent, one index per process."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from sft_probe.errors import DataError
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_data

DISTANT = {
    "dataset_path": "nobody/no_such_set",
    "dataset_name": "easy",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Local tasks, and one whose data lie on the hub."""
    found = tiny_benchmarks(tmp_path / "tasks")
    (found / "distant.yaml").write_text(yaml.safe_dump({"task": "distant", **DISTANT}), encoding="utf-8")
    return found


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The hub may be asked, as where HF_HUB_OFFLINE is not set; nothing known of it from before."""
    import datasets
    import huggingface_hub.constants

    from sft_probe.observe import lm_eval_tasks

    for place in (huggingface_hub.constants, datasets.config):
        monkeypatch.setattr(place, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    lm_eval_tasks._no_answer.cache_clear()
    yield monkeypatch
    lm_eval_tasks._no_answer.cache_clear()


def look(folder: Path, *tasks: str) -> Any:
    need = Benchmark(tasks=tasks, limit=2)
    return Observer(tiny_base(), tiny_data(), benchmark_paths=(folder,)).look_at_base([need])[need]


def test_tasks_over_local_files_open_no_connection(folder: Path, hub: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **options: object) -> NoReturn:
        raise AssertionError(f"a connection was asked for: {args}")

    for name in ("create_connection", "getaddrinfo"):
        hub.setattr(socket, name, refused)
    hub.setattr(socket.socket, "connect", refused)
    seen = look(folder, "tiny_choice", "tiny_generate")
    assert {item.task for item in seen.items} == {"tiny_choice", "tiny_generate"}


def test_offline_by_the_environment_names_the_data_set_and_the_way_to_bring_it(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        look(folder, "distant")
    assert str(caught.value).startswith(
        "field 'tasks': benchmark 'distant' needs the data set 'nobody/no_such_set' (easy) of the Hugging "
        "Face hub, which cannot be had: HF_HUB_OFFLINE is set."
    )
    assert "datasets.load_dataset" in str(caught.value)
    assert "include_path" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_named_and_not_waited_for(
    folder: Path, hub: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}"
        hub.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        with pytest.raises(DataError, match=f"'nobody/no_such_set'.*{endpoint} does not answer") as caught:
            look(folder, "distant")
    assert "\n" not in str(caught.value)
    assert not huggingface_hub.constants.HF_HUB_OFFLINE  # put back


def test_the_index_and_the_data_of_tasks_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager

    built: list[str] = []
    for owner, name in ((TaskManager, "__init__"), (ConfigurableTask, "download")):
        original = getattr(owner, name)

        def counted(self: Any, *args: Any, _call: Any = original, _name: str = name, **options: Any) -> Any:
            built.append(_name)
            return _call(self, *args, **options)

        monkeypatch.setattr(owner, name, counted)
    first, again = (look(folder, "tiny_choice", "tiny_rolling") for _ in range(2))
    assert first == again
    assert built == ["__init__", "download", "download"]


@pytest.mark.parametrize("command", ["run", "probe", "validate", "ls"])
def test_help_imports_no_lm_eval(command: str) -> None:
    code = (
        f"import sys; from sft_probe.cli.main import main; main(['{command}', '--help']); "
        "print([name for name in sys.modules if name.startswith('lm_eval')], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in run.stdout
    assert run.stderr.strip() == "[]"
