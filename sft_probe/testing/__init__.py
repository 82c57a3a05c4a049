"""For tests of your own probes: the check that every probe passes, and tiny real models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sft_probe.testing.conformance import check_probe
    from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

_HOMES = {
    "check_probe": "sft_probe.testing.conformance",
    "tiny_base": "sft_probe.testing.tiny",
    "tiny_data": "sft_probe.testing.tiny",
    "tiny_tuned": "sft_probe.testing.tiny",
}

__all__ = ["check_probe", "tiny_base", "tiny_data", "tiny_tuned"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sft_probe.testing' has no attribute '{name}'")
