"""A data format: flash cards, `{"front": ..., "back": ..., "deck": ...}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sft_probe.data.examples import Example, Message
from sft_probe.data.formats import Where, reads


@reads(("front",), ("back",))
def from_cards(row: Mapping[str, Any], where: Where) -> Example:
    """Flash cards: the front is asked, the back is the answer, the deck is the stratum."""
    for field in ("front", "back"):
        if not isinstance(row[field], str) or not row[field].strip():
            raise where.error("expected text.", field, "Remove empty cards.")
    return Example(
        id=str(row.get("id") or where.row),
        messages=(Message("user", row["front"]),),
        target=row["back"],
        stratum=str(row.get("deck") or ""),
    )
