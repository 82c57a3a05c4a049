"""The part of a change of states that all positions share: its size, and how much of the change it is."""

from __future__ import annotations

import numpy as np

from sft_probe.measures.alignment import leaving_out
from sft_probe.measures.geometry import Floats, Ints, LeftOut


def common_share(moved: Floats) -> float:
    """Share of the squared change that is one and the same vector everywhere. (n, p) tuned minus base -> 1.

    (|sum d|^2 - sum |d|^2) / (n (n - 1)), unbiased for the squared length of the mean change, over the mean
    |d|^2: 0 on average where every position moves its own way, 1 where all move alike, slightly negative by
    chance. NaN where nothing moved, or for one position.
    """
    n, squares = len(moved), float((moved**2).sum())
    if n < 2 or not squares > 0:
        return float("nan")
    total = moved.sum(axis=0)
    return float((total @ total - squares) / (n - 1) / squares)


def common_share_without_groups(moved: Floats, groups: Ints) -> LeftOut:
    """`common_share` of all rows and without each group.  groups: (n,) ids."""
    return leaving_out(lambda rows: common_share(moved[rows]), groups)


def mean_shift_length(moved: Floats, base: Floats) -> float:
    """Length of the mean change over the root mean square distance of base states from their mean.

    moved, base: (n, p).  0 where nothing moved; NaN if the base's states are all alike.
    """
    spread = float(np.sqrt(((base - base.mean(axis=0)) ** 2).sum(axis=1).mean()))
    return float(np.linalg.norm(moved.mean(axis=0)) / spread) if spread > 0 else float("nan")


def mean_shift_without_groups(moved: Floats, base: Floats, groups: Ints) -> LeftOut:
    """`mean_shift_length` of all rows and without each group.  groups: (n,) ids."""
    return leaving_out(lambda rows: mean_shift_length(moved[rows], base[rows]), groups)
