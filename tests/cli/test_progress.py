from __future__ import annotations

import io

from rich.console import Console

from sft_probe.cli.progress import Bar
from sft_probe.study.progress import Progress


def use(listener: Progress) -> None:
    listener.start(100)
    listener.note("device: cpu [not markup]")
    for step in (0, 5):
        listener.activity("lora", 1, step, "token_shift")
        listener.advance(25)
    listener.activity("full", 0, 5, "training")
    listener.close()
    listener.close()


def test_a_terminal_shows_arm_seed_step_probe_and_what_is_left() -> None:
    screen = io.StringIO()
    with Bar(Console(file=screen, force_terminal=True, width=120)) as bar:
        use(bar)
    shown = screen.getvalue()
    assert "device: cpu [not markup]" in shown
    assert "full · seed 0 · step 5 · training" in shown
    assert "50%" in shown
    assert "left" in shown


def test_a_file_gets_one_line_per_run() -> None:
    log = io.StringIO()
    with Bar(Console(file=log, width=120)) as bar:
        use(bar)
    lines = [" ".join(line.split()) for line in log.getvalue().splitlines()]
    assert lines == ["device: cpu [not markup]", "0 % lora · seed 1", "50 % full · seed 0"]
