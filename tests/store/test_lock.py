from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sft_probe.errors import LockedError
from sft_probe.store.lock import locked

HOLDER = (
    "import sys, time; from pathlib import Path; from sft_probe.store.lock import locked\n"
    "with locked(Path(sys.argv[1])):\n    print('holding', flush=True); time.sleep(600)"
)


def test_the_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "holding\n"
        with (
            pytest.raises(LockedError, match=f"out: process {first.pid} on .* at work since 20"),
            locked(tmp_path / "out"),
        ):
            pass
        first.send_signal(signal.SIGKILL)
    with locked(tmp_path / "out"):
        assert f"process {os.getpid()} " in (tmp_path / "out" / ".lock").read_text()


def test_the_lock_ends_with_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path):
            raise ZeroDivisionError
    assert (tmp_path / ".lock").read_text() == ""
    with locked(tmp_path), pytest.raises(LockedError), locked(tmp_path):
        pass
    with locked(tmp_path), locked(tmp_path / "other"):
        pass


def test_leftovers_of_a_killed_writer_go(tmp_path: Path) -> None:
    (tmp_path / ".study.yaml.9.tmp").write_text("half")
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_where_there_are_no_locks_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        pass
    assert "cannot be locked" in caplog.text
