"""What the site shows beside `docs/`: pages of the repository it links to, notebooks, the help of commands.

Links are written as they work in the repository. On the site they lead to the page that stands for the file;
where there is none, their words stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SHOWN = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "analyses/*/README.md",
    "reports/**/*.md",
    "reports/**/*.html",
    "reports/**/*.svg",
    "reports/**/*.csv",
    "sft_probe/world/base/README.md",
)
LINK = re.compile(r"(!?)\[((?:[^\]\\]|\\.)*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
PANDAS = re.compile(r'<style scoped>.*?</style>\n|(?<=<table) border="1" class="dataframe"', re.DOTALL)
COMMANDS = "reference/commands.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository, the notebooks with their pictures, and the page of commands."""
    for pattern in SHOWN:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        for name, content in _notebook_page(path):
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    files.append(File.generated(config, COMMANDS, content=_commands_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    source, added = page.file.src_uri, page.file.generated_by is not None
    home = (ROOT if added else ROOT / "docs") / source

    def linked(found: re.Match[str]) -> str:
        image, text, target, anchor = found.groups()
        path = Path(os.path.normpath(home.parent / target))
        if "://" in target or not (path.exists() or added):
            return found[0]  # what is wrong in docs/ is left for the strict build to find
        shown = _on_site(path)
        if files.get_file_from_path(shown) is None:
            return text
        way = os.path.relpath(shown, Path(source).parent).replace(os.sep, "/")
        return f"{image}[{text}]({way}{anchor or ''})"

    return LINK.sub(linked, markdown)


def _on_site(path: Path) -> str:
    """Where a file of the repository stands on the site."""
    page = path / "README.md" if path.is_dir() else path
    page = page.with_suffix(".md") if page.suffix == ".ipynb" else page
    return os.path.relpath(page, ROOT).replace(os.sep, "/").removeprefix("docs/")


def _notebook_page(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """A notebook with its kept outputs as Markdown, and its pictures beside it."""
    from nbconvert import MarkdownExporter

    pictures = {"output_files_dir": path.stem}
    text, made = MarkdownExporter().from_filename(str(path), resources=pictures)
    yield f"{path.stem}.md", PANDAS.sub("", text)  # its tables look like others
    yield from made["outputs"].items()


def _commands_page() -> str:
    """The help of every command, as the program prints it."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from sft_probe.cli.main import app

    runner = CliRunner()
    parts = ["# Commands\n", "What `--help` prints, command by command.\n"]
    for words in _command_names(get_command(app)):
        shown = runner.invoke(app, [*words, "--help"], prog_name="sft-probe", env={"COLUMNS": "100"})
        level = "#" * max(2, len(words) + 1)
        parts.append(f"{level} {' '.join(('sft-probe', *words))}\n\n```text\n{shown.output.strip()}\n```\n")
    return "\n".join(parts)


def _command_names(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _command_names(inner, (*words, name))
