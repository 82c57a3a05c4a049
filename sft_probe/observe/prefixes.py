"""Sequences that begin alike, so that what they begin with is read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

PRICE = 512  # tokens that a further pass and smaller batches cost; fewer saved ones are not worth it


class Family(NamedTuple):
    """Sequences with a common beginning. shared: its length. members: indices of the sequences."""

    shared: int
    members: tuple[int, ...]


@dataclass
class _Open:
    """Sorted neighbours from `start` on that agree in `depth` tokens, and the best found among them."""

    depth: int
    start: int
    saved: int = 0
    families: list[Family] = field(default_factory=list)


def families(sequences: Sequence[tuple[int, ...]], price: int = PRICE) -> list[Family]:
    """The families that save most tokens, a family of n with a beginning of m saving (n - 1) m - price.

    Of every sequence at least the last token stays its own. The rest forms a family that shares nothing.
    Runs over the sequences in sorted order, in which those that begin alike are neighbours.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    agreed = [_agreement(sequences[a], sequences[b]) for a, b in pairwise(order)]
    stack = [_Open(0, 0)]
    for at, depth in enumerate([*agreed, 0]):
        inner = _Open(0, at)
        while stack[-1].depth > depth:
            node = stack.pop()
            inner = _closed(node, inner, tuple(order[node.start : at + 1]), price)
        if stack[-1].depth < depth:
            stack.append(_Open(depth, inner.start))
        stack[-1].saved += inner.saved
        stack[-1].families += inner.families
    found = stack[0].families
    taken = {member for family in found for member in family.members}
    rest = tuple(index for index in range(len(sequences)) if index not in taken)
    return [*found, Family(0, rest)] if rest else found


def _closed(node: _Open, inner: _Open, members: tuple[int, ...], price: int) -> _Open:
    """Neighbours that are complete: one family if that saves more than the families found in them."""
    apart = node.saved + inner.saved
    together = (len(members) - 1) * node.depth - price
    if together > apart:
        return _Open(node.depth, node.start, together, [Family(node.depth, members)])
    return _Open(node.depth, node.start, apart, node.families + inner.families)


def _agreement(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    most = min(len(a), len(b)) - 1
    return next((i for i, (x, y) in enumerate(zip(a[:most], b, strict=False)) if x != y), most)
