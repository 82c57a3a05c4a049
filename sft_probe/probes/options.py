"""Checks of option values, made when a probe is made. Each raises a SpecError that names probe and option."""

from __future__ import annotations

from collections.abc import Collection

from sft_probe.errors import SpecError, nearest


def at_least(probe: str, lowest: int, **options: int | None) -> None:
    """Every option is a whole number not below `lowest`; None means "no limit" and passes."""
    for option, value in options.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < lowest):
            raise _refusal(probe, option, value, f"Give a whole number from {lowest} upwards.")


def one_of(probe: str, known: Collection[str], **options: str) -> None:
    """Every option is one of the known words."""
    for option, value in options.items():
        if value not in known:
            raise _refusal(probe, option, value, nearest(str(value), known))


def name(probe: str, **options: str) -> None:
    """Every option is a text that is not empty."""
    for option, value in options.items():
        if not isinstance(value, str) or not value:
            raise _refusal(probe, option, value, "Give a name.")


def names(probe: str, **options: tuple[str, ...]) -> None:
    """Every option is a list, which Python holds as a tuple, of at least one text that is not empty."""
    for option, value in options.items():
        if not isinstance(value, tuple) or not value or not all(isinstance(v, str) and v for v in value):
            raise _refusal(probe, option, value, "Give a list of names.")


def share(probe: str, **options: float) -> None:
    """Every option is a number from 0 to 1."""
    for option, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise _refusal(probe, option, value, "Give a number from 0 to 1.")


def _refusal(probe: str, option: str, value: object, remedy: str) -> SpecError:
    return SpecError(f"{value!r} cannot be used.", field=f"probes.{probe}.{option}", remedy=remedy)
