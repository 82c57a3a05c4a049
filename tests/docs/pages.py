"""The blocks of code in the documentation, found and run as a reader would.

`sh` blocks hold one command a line, run in this process; a comment with "exit code 2" says what to expect.
Blocks with a title, such as ```` ```yaml title="study.yaml" ````, are files to be saved under that name.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from sft_probe.cli.main import main

ROOT = Path(__file__).parents[2]
FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>.+?) -->\n+)?^(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n]*)\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)
RUNNABLE = ("sh", "bash", "console", "python")
LEFT_OUT = ("decisions.md",)  # it tells what was done and is not to be followed


class Block(NamedTuple):
    """One fenced block. reason: why it is not run; empty where it is."""

    page: str
    line: int
    language: str
    title: str
    code: str
    reason: str


def pages() -> tuple[str, ...]:
    """Paths of all pages with something to follow, from the root of the repository."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(p for p in docs if p.name not in LEFT_OUT)]
    return tuple(path.relative_to(ROOT).as_posix() for path in found)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> tuple[Block, ...]:
    text = text_of(page)
    return tuple(
        Block(
            page=page,
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            title="".join(re.findall(r'title="([^"]+)"', found["info"])),
            code=re.sub(f"^{found['indent']}", "", found["code"], flags=re.MULTILINE),
            reason=found["reason"] or "",
        )
        for found in FENCE.finditer(text)
    )


def commands_in(code: str) -> list[tuple[list[str], int]]:
    """Each line of a block of commands as words, and the exit code that its comment announces."""
    lines = code.replace("\\\n", " ").splitlines()
    said = [re.search(r"#.*exit code (\d)", line) for line in lines]
    words = [shlex.split(line, comments=True) for line in lines]
    return [(w, int(s[1]) if s else 0) for w, s in zip(words, said, strict=True) if w]


def run_page(page: str) -> dict[str, Any]:
    """Run the page from top to bottom in the current folder; returns the names its Python has made."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of(page):
        if block.title:
            Path(block.title).write_text(block.code, encoding="utf-8")
        elif block.reason:
            continue
        elif block.language == "python":
            code = compile(block.code, f"{page}, line {block.line}", "exec", dont_inherit=True)
            exec(code, names)
        elif block.language in RUNNABLE:
            for (program, *arguments), expected in commands_in(block.code):
                assert program == "sft-probe", f"{page}, line {block.line}: nothing here runs {program}"
                assert main(arguments) == expected, f"{page}, line {block.line}: {arguments}"
    return names
