"""Docstrings of this house for the reference: what is said of arguments and results becomes a list.

A docstring says it in one block, `name: what it is.  other: what that is.  Returns: …`, each at the start of
a line or behind two spaces.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

NAMES = r"(?:[A-Za-z_]\w*(?:\[[^\]]*\])?(?:, [a-z_]\w*)*)"
ENTRY = re.compile(rf"(?:^|(?<=  ))({NAMES}): +(?=\S)", flags=re.MULTILINE)
WORDS = ("Returns", "Raises", "Source")


class HouseStyle(griffe.Extension):
    """Rewrites docstrings as Markdown before they are shown."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called once for every module, class, function and attribute."""
        if obj.docstring and "Attributes:\n" not in obj.docstring.value:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring with every block of entries as a list."""
    return "\n\n".join(_block(block) for block in _escaped(text).split("\n\n"))


def _escaped(text: str) -> str:
    """`<` as it stands in formulas, not as the beginning of a tag; code is left alone."""
    parts = text.split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


def _block(block: str) -> str:
    entries = list(ENTRY.finditer(block))
    if not entries or (entries[0].start() > 0 and block[entries[0].start() - 1] != "\n"):
        return block
    ends = [*(entry.start() for entry in entries[1:]), len(block)]
    lines = [_entry(e[1], block[e.end() : end]) for e, end in zip(entries, ends, strict=True)]
    return "\n".join((block[: entries[0].start()].strip(), "", *lines)).strip()


def _entry(names: str, said: str) -> str:
    head = names if names in WORDS else ", ".join(f"`{name}`" for name in names.split(", "))
    return f"- {head}: {' '.join(said.split())}"
