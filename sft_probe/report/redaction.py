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
    own = items[(items["probe"] == "refusal") & (items["metric"] == "refusal_rate")]
    if own.empty or rows.empty:
        return rows
    unsafe = rows["item"].isin(set(own["item"])) | rows["prompt"].isin(set(own["prompt"]) - {""})
    hidden = {name: rows[name].mask(unsafe, words("items.hidden")) for name in TEXTS}
    return rows.assign(**hidden)
