"""Values by token for the answers of the item browser: which tokens carry the shift."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sft_probe.report.material import Material

Tokens = list[tuple[str, float]]
LEVELS = (0.1, 0.5, 2.0, 5.0)  # nats; a token below the first is not shaded
METRICS = ("kl_tuned_base", "kl_tuned_base_before")  # of `token_shift`: behind the tuned, the base's answers
_SPECIAL = re.compile(r"<[^<>\s]+>|\[[A-Z]+\]")


def level(value: float) -> int:
    """How dark a token is: 0 to 4, by `LEVELS`."""
    return sum(value >= least for least in LEVELS)


def shaded(said: str, tokens: Tokens) -> Tokens:
    """The tokens if they are those of this answer, else none.

    Spaces and special tokens do not count, as answers are kept without them. Tokens may cover only the
    beginning: the rest is then one token of value 0.
    """
    plain = [text for text, _ in tokens if not _SPECIAL.fullmatch(text.strip())]
    whole, own = _squashed(said), _squashed("".join(plain))
    if tokens and own == whole:
        return tokens
    return [*tokens, (_behind(said, len(own)), 0.0)] if own and whole.startswith(own) else []


def by_answer(material: Material) -> Mapping[tuple[Any, ...], list[Tokens]]:
    """By arm, seed, data set and item the answers whose tokens were kept at the end of training."""
    found: dict[tuple[Any, ...], list[Tokens]] = {}
    for metric in METRICS:
        rows = material.items_of("token_shift", metric)
        rows = rows[(rows["by_token"] != "") & (rows["step"] > 0)]
        if rows.empty:
            continue
        rows = rows[rows["step"] == rows.groupby("run")["step"].transform("max")]
        keys: Iterable[tuple[Any, ...]] = zip(
            *(rows[name] for name in ("arm", "seed", "dataset", "item")), strict=True
        )
        for key, text in zip(keys, rows["by_token"], strict=True):
            found.setdefault(key, []).append(
                [(str(token), float(value)) for token, value in json.loads(text)]
            )
    return found


def _squashed(text: str) -> str:
    return "".join(text.split())


def _behind(text: str, letters: int) -> str:
    """What stands behind so many letters that are not spaces."""
    for place, letter in enumerate(text):
        if not letters:
            return text[place:]
        letters -= not letter.isspace()
    return ""
