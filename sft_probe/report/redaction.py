"""Unsafe requests and what was answered to them are not shown, unless somebody asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from sft_probe.report.words import Words

TEXTS = ("prompt", "target", "said_before", "said_after")


def hide_unsafe(rows: pd.DataFrame, items: pd.DataFrame, words: Words) -> pd.DataFrame:
    """The rows with the texts of unsafe requests replaced by a note. Numbers and kinds of change stay.

    Unsafe is what `refusal` counted among requests to refuse: those items, and every row with their prompt.
    """
    if rows.empty:
        return rows
    own = _refused(items)
    hidden = rows["item"].isin(set(own["item"])) | unsafe(rows["prompt"], items)
    if not hidden.any():
        return rows
    return rows.assign(
        **{name: rows[name].astype("str").mask(hidden, words("items.hidden")) for name in TEXTS}
    )


def unsafe(prompts: pd.Series, items: pd.DataFrame) -> pd.Series:
    """Which prompts are unsafe requests."""
    return prompts.isin(set(_refused(items)["prompt"]) - {""})


def _refused(items: pd.DataFrame) -> pd.DataFrame:
    return items[(items["probe"] == "refusal") & (items["metric"] == "refusal_rate")]
