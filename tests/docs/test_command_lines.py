"""Every command line of the documentation is one that the program understands; nothing is run."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from typer import TyperException
from typer.main import get_command

from sft_probe.cli.main import app

from .pages import RUNNABLE, blocks_of, commands_in, pages, text_of

PROGRAM = "sft-probe"
COMMAND = get_command(app)
READ = (*pages(), "README.zh-CN.md")
WHOLE = sorted(
    {
        shlex.join(words)
        for page in READ
        for block in blocks_of(page)
        if block.language in RUNNABLE and block.language != "python"
        for words, _ in commands_in(block.code)
        if words[0] == PROGRAM
    }
)
MENTIONED = sorted(
    {found for page in READ for found in re.findall(rf"`({PROGRAM} [^`\n…]+)`", text_of(page))}
)


def understand(line: str, *, whole: bool) -> None:
    """Follow a command line as the program would, without values. Raises: TyperException, AssertionError.

    whole: what the command requires must be there.
    """
    command: Any = COMMAND
    _, *words = shlex.split(line)
    while words and hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"there is no command '{name}'"
        command = command.commands[name]
    context = command.make_context(line, [], resilient_parsing=True)
    context.resilient_parsing = False
    given, left, _ = command.make_parser(context).parse_args(words)
    assert not left, f"nobody reads {left}"
    if whole:
        missing = [p.name for p in command.params if p.required and not given.get(p.name)]
        assert not missing, f"{missing} missing"


@pytest.mark.parametrize("line", WHOLE)
def test_a_command_line_is_understood(line: str) -> None:
    understand(line, whole=True)


@pytest.mark.parametrize("line", MENTIONED)
def test_what_a_sentence_mentions_exists(line: str) -> None:
    understand(line, whole=False)


@pytest.mark.parametrize(
    "line", ["sft-probe rnu study.yaml", "sft-probe run study.yaml --seeds 3", "sft-probe gate runs"]
)
def test_a_wrong_line_is_noticed(line: str) -> None:
    with pytest.raises((AssertionError, TyperException)):
        understand(line, whole=True)
