"""Both readmes say the same: sections, commands and code; only words differ."""

from __future__ import annotations

import re
import shlex

import pytest

from .pages import blocks_of, text_of

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
ANYWHERE = ("README.zh-CN.md", "README.md")  # each names the other


def _code(page: str) -> list[tuple[str, list[list[str]]]]:
    """Blocks as language and words of each line, without comments, which are translated."""
    return [
        (block.language, [shlex.split(line, comments=True, posix=False) for line in block.code.splitlines()])
        for block in blocks_of(page)
    ]


def _first_cells(page: str, heading: int) -> list[str]:
    """What is in backticks in the first column of the tables below the section of that number."""
    section = re.split(r"^## ", text_of(page), flags=re.MULTILINE)[heading]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_code_is_the_same() -> None:
    assert _code(CHINESE) == _code(ENGLISH)


def test_sections_are_the_same_in_number_and_order() -> None:
    levels = [re.findall(r"^(#+) ", text_of(page), flags=re.MULTILINE) for page in (ENGLISH, CHINESE)]
    assert levels[0] == levels[1]


def test_links_are_the_same() -> None:
    links = [
        {found for found in re.findall(r"\]\(([^)]+)\)", text_of(page)) if found not in ANYWHERE}
        for page in (ENGLISH, CHINESE)
    ]
    assert links[0] == links[1]


def test_probes_are_the_same() -> None:
    named = [set(re.findall(r"`([a-z]+_[a-z_]+)`", text_of(page))) for page in (ENGLISH, CHINESE)]
    assert named[0] == named[1]


@pytest.mark.parametrize("page", [ENGLISH, CHINESE])
def test_every_command_is_in_the_table(page: str) -> None:
    from typer.main import get_command

    from sft_probe.cli.main import app

    named = _first_cells(page, heading=3)
    assert sorted(named) == sorted(get_command(app).commands)
