"""Components by entry point. Looking up a name imports nothing; built-in parts use the same door."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from sft_probe.errors import DuplicateComponent, UnknownComponent, nearest

Kind = Literal["probes", "methods", "formats", "edits", "architectures", "regularisers", "executors"]


def available(kind: Kind) -> dict[str, EntryPoint]:
    """All registered components of a kind by name, not yet imported.

    Raises: DuplicateComponent if two packages offer one name.
    """
    found = tuple(entry_points(group=f"sft_probe.{kind}"))
    places = {(e.name, e.value) for e in found}  # an editable install may be listed twice
    if clashes := sorted(name for name, times in Counter(n for n, _ in places).items() if times > 1):
        raise DuplicateComponent(f"two packages offer the same {kind}: {', '.join(clashes)}")
    return {e.name: e for e in sorted(found, key=lambda e: e.name)}


def load(kind: Kind, name: str) -> Any:
    """Import one component. Raises: UnknownComponent, naming the nearest known name."""
    known = available(kind)
    if name not in known:
        raise UnknownComponent(f"there is no {kind[:-1]} named '{name}'.", remedy=nearest(name, known))
    return known[name].load()
