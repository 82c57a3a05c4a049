"""Components by entry point. Looking up a name imports nothing; built-in parts use the same door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from sft_probe.errors import DuplicateComponent, SpecError, UnknownComponent, nearest

Kind = Literal[
    "probes", "methods", "objectives", "regularisers", "formats", "edits", "architectures", "executors"
]


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


def make(kind: Kind, name: str, options: Mapping[str, Any], field: str) -> Any:
    """A component that is a dataclass, with its options checked by name.

    Raises: UnknownComponent for the name, SpecError that points at `field` for an option.
    """
    component = load(kind, name)
    known = [f.name for f in fields(component)]
    for option in options:
        if option not in known:
            raise SpecError(
                f"{kind[:-1]} '{name}' has no option '{option}'.",
                field=field,
                remedy=nearest(option, known) if known else f"'{name}' has no options.",
            )
    return component(**options)
