"""Lines of a text for figures, where a Chinese character is as wide as two Latin ones."""

from __future__ import annotations

import re
from unicodedata import east_asian_width

_PIECES = re.compile(
    r"[^\S\n]*(?:[\u2e80-\u9fff][\u3001-\u303f\uff00-\uffef\u2019\u201d]*|[^\s\u2e80-\u9fff]+)"
)  # closing marks stay with the character before them


def wide(text: str) -> int:
    """How many Latin letters a text is as wide as."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` Latin letters, broken at spaces and between Chinese characters.

    A longer word stays whole. A text without letters is one empty line.
    """
    lines = [""]
    for piece in _PIECES.findall(text):
        if lines[-1] and wide(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return lines
