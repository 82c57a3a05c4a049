"""Components by entry point. Looking up a name imports nothing; built-in parts use the same door.

What a notebook or a script defines has no entry point; `register` gives it one in this process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from sft_probe.errors import DuplicateComponent, SpecError, UnknownComponent, nearest

Kind = Literal[
    "probes", "methods", "objectives", "regularisers", "formats", "edits", "architectures", "executors"
]


class Named(Protocol):
    """A class with a name by which studies ask for it."""

    name: ClassVar[str]


Component = TypeVar("Component", bound=type[Named])

_REGISTERED: dict[tuple[Kind, str], EntryPoint] = {}


def register(component: Component, kind: Kind = "probes") -> Component:
    """Make a component known to this process by its `name`, as a package does by an entry point.

    A class decorator for probes. Other processes, such as those of an executor, do not know the class. A new
    definition in the same place stands for the one before.
    Raises: SpecError for a class that cannot be found by name, DuplicateComponent for a name that is taken.
    """
    name = component.name
    place = f"{component.__module__}:{component.__qualname__}"
    if "<locals>" in place:
        raise SpecError(
            f"'{component.__qualname__}' stands inside a function, where it cannot be found again.",
            remedy="Define it at the top of a module or notebook.",
        )
    known = available(kind).get(name)
    if known is not None and known.value != place:
        raise DuplicateComponent(f"there is a {kind[:-1]} named '{name}' already, in {known.value}.")
    _REGISTERED[kind, name] = EntryPoint(name, place, f"sft_probe.{kind}")
    return component


def available(kind: Kind) -> dict[str, EntryPoint]:
    """All registered components of a kind by name, not yet imported.

    Raises: DuplicateComponent if two packages offer one name.
    """
    here = (entry for (of, _), entry in _REGISTERED.items() if of == kind)
    found = (*entry_points(group=f"sft_probe.{kind}"), *here)
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
