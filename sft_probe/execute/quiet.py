"""Warnings of the libraries underneath, which are for their programmers, kept out of notebooks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

NOISY = r"(torch|transformers|trl|peft|datasets|accelerate)\b"


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore what they warn of; a filter that a user has set goes first."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=NOISY, append=True)
        yield
