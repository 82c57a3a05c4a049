"""Exit codes and sentences: what a user sees when something is wrong, and how fast help is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sft_probe.cli.main import main

HEAVY = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "lm_eval",
    "datasets",
    "pandas",
    "matplotlib",
    "duckdb",
    "scipy",
}


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; from sft_probe.cli.main import main; main(['--help']); "
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "validate" in run.stdout
    assert run.stderr.strip() == "[]"


def test_commands_are_all_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    names = ("demo", "init", "validate", "run", "job", "probe", "report", "view", "ls", "query", "world")
    names += ("compare", "gate", "card", "calibrate")
    assert [name for name in names if f"  {name} " not in shown] == []


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "init", "run", "probe", "view", "compare", "gate", "query", "job", "ls runs"),
        *("world gates", "calibrate"),
    ],
)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "none.yaml"], "none.yaml: there is no such file. Write one with: sft-probe init."),
        (["run", "none.yaml", "--set", "max_steps"], "'max_steps' is not KEY=VALUE."),
        (["report", "no/such/folder"], "'no/such/folder' does not exist"),
        (["init", "--template", "other"], "Invalid value for '--template'"),
        (["probe", "planted", "tuned"], "Missing option '--data'"),
        (["probe", "planted", "tuned", "--data", "x", "--probes", "forgetting"], "needs lm-eval tasks"),
        (["demo", "--seeds", "0"], "Invalid value for '--seeds'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_3(
    args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 3
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_no_command_shows_help_and_exits_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 3
    assert capsys.readouterr().err.startswith("Usage: ")


def test_the_unexpected_leaves_its_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "folder.yaml" / "x" / "study.yaml"
    (tmp_path / "folder.yaml").write_text("a file where a folder should be")
    monkeypatch.delenv("SFT_PROBE_DEBUG", raising=False)
    assert main(["init", str(path)]) == 1
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    log = Path(sentence.rsplit("The traceback is in ")[-1].strip().rstrip("."))
    assert "Traceback (most recent call last)" in log.read_text()
    log.unlink()
    monkeypatch.setenv("SFT_PROBE_DEBUG", "1")
    with pytest.raises(OSError, match="folder"):
        main(["init", str(path)])


@pytest.mark.parametrize(
    ("raised", "code", "sentence"),
    [
        ("KeyboardInterrupt", 1, "Stopped. What is finished is kept: the same command goes on from there."),
        ("GateNotMet('recall is 0.8.')", 2, "Error: recall is 0.8."),
        ("StoreError('a run is damaged.', file='x')", 3, "Error: x: a run is damaged."),
        ("SftProbeError('no.')", 1, "Error: no."),
    ],
)
def test_what_a_command_raises_becomes_a_sentence_and_a_code(raised: str, code: int, sentence: str) -> None:
    program = (
        "import sys\nfrom sft_probe.errors import *\nfrom sft_probe.cli.main import app, main\n"
        f"@app.command()\ndef another():\n    raise {raised}\n"
        "sys.exit(main(['another']))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (code, f"{sentence}\n")


def test_the_module_runs_as_a_program() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "sft_probe.cli.main", "rnu"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 3
