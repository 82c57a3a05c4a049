"""Likeness of two sets of states from sums over rows, so that memory does not grow with their number.

With shifted rows u = x - c, v = y - d the moments of a pair are the sum of [1, u, u^2]' [1, v, v^2]. They
hold all that unbiased HSIC needs, empty diagonals included: the squared norm of a centred and rescaled row is
linear in [1, u, u^2], so a sum of products of such norms is a quadratic form of the moments. That is why not
even z-scoring takes a second pass. A fixed shift near the mean keeps it stable; HSIC does not depend on it.
All in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sft_probe.measures.geometry import (
    Floats,
    Ints,
    LeftOut,
    cka_without_groups,
    drift_without_groups,
    zscore,
)

States = NDArray[np.float32] | Floats
GROUPS_AT_LEAST = 5  # a jackknife over fewer says nothing
FOLDED_AT_ONCE = 2048  # rows


class Likeness(NamedTuple):
    """Debiased linear CKA of the states as they are and z-scored per dimension, and their relative drift."""

    cka: LeftOut
    cka_zscored: LeftOut
    drift: LeftOut


@dataclass(frozen=True)
class PairMoments:
    """Moments of paired rows (x, y), apart for each group of rows.

    shift: (2, p), subtracted from x and y.  xx, yy, xy: (groups, 2 p + 1, 2 p + 1).  moved: (groups,) sums of
    |x - y|^2, kept apart because the moments would lose a small difference to cancellation.
    """

    shift: Floats
    xx: Floats
    yy: Floats
    xy: Floats
    moved: Floats

    @staticmethod
    def empty(shift: Floats, groups: int) -> PairMoments:
        """Moments of no rows at all."""
        side = 2 * shift.shape[1] + 1
        xx, yy, xy = np.zeros((3, groups, side, side))
        return PairMoments(shift, xx, yy, xy, np.zeros(groups))

    def add(self, x: States, y: States, groups: Ints) -> None:
        """Take in rows. x, y: (n, p).  groups: (n,) ids below the number of groups."""
        for group in np.unique(groups):
            rows = groups == group
            left, right = (_powers(side[rows], c) for side, c in zip((x, y), self.shift, strict=True))
            self.xx[group] += left.T @ left
            self.yy[group] += right.T @ right
            self.xy[group] += left.T @ right
            self.moved[group] += np.square(x[rows].astype(np.float64) - y[rows]).sum()

    def __add__(self, other: PairMoments) -> PairMoments:
        """Moments of the rows of both. Raises: ValueError if their shifts differ."""
        if not np.array_equal(self.shift, other.shift):
            raise ValueError("moments about different shifts cannot be added")
        sums = (getattr(self, k) + getattr(other, k) for k in ("xx", "yy", "xy", "moved"))
        return PairMoments(self.shift, *sums)

    def likeness(self) -> Likeness:
        """All three statistics, of all rows and without each group; `geometry` gives the same."""
        scale = np.array([_inverse_deviation(self._total(m)) for m in (self.xx, self.yy)])
        return Likeness(self.cka(), self.cka(scale), self.drift())

    def cka(self, scale: Floats | None = None) -> LeftOut:
        """Debiased linear CKA as in `geometry.cka_without_groups`. scale: (2, p) factors of x and y."""
        sx, sy = np.ones_like(self.shift) if scale is None else scale
        kept = self.counts.sum() - np.concatenate(([0.0], self.counts))
        with np.errstate(invalid="ignore", divide="ignore"):
            xy, xx, yy = (
                _hsic(m, *s) for m, s in ((self.xy, (sx, sy)), (self.xx, (sx, sx)), (self.yy, (sy, sy)))
            )
            cka = xy / np.sqrt(xx * yy)
        cka[(kept < 4) | ~np.isfinite(cka)] = np.nan
        return LeftOut(float(cka[0]), cka[1:])

    def drift(self) -> LeftOut:
        """Unaligned relative drift as in `geometry.drift_without_groups`, with y as the base."""
        total = self._total(self.yy)
        norm = _squared_norm(total, np.ones(self.shift.shape[1]))
        spread = np.array([norm @ total[:, 0], *(norm @ part[:, 0] for part in self.yy)])
        moved = np.array([self.moved.sum(), *self.moved])
        with np.errstate(invalid="ignore", divide="ignore"):
            drift = np.sqrt((moved[0] - [0, *moved[1:]]).clip(0) / (spread[0] - [0, *spread[1:]]))
        drift[~np.isfinite(drift)] = np.nan
        return LeftOut(float(drift[0]), drift[1:])

    @cached_property
    def counts(self) -> Floats:
        """(groups,) rows."""
        return self.xy[:, 0, 0]

    @staticmethod
    def _total(moments: Floats) -> Floats:
        total: Floats = moments.sum(axis=0)
        return total


class PairStream:
    """Paired rows as they come, kept as they are while few and as moments when they are many.

    Up to `room` bytes, and as long as moments would need more, rows are kept and the statistics are those of
    `geometry` to the last bit. Beyond, memory stays at what the moments need: 96 p^2 bytes per group, with so
    many groups put together that they fit into `room`, but never fewer than `GROUPS_AT_LEAST`.
    """

    def __init__(self, groups: int, room: int = 2**25) -> None:
        self._groups, self._room = groups, room
        self._rows: list[tuple[States, States, Ints]] = []
        self._kept = 0
        self._moments: PairMoments | None = None

    def add(self, x: States, y: States, groups: Ints) -> None:
        """x, y: (n, p) rows of the model and of its base.  groups: (n,) ids below the number of groups."""
        self._rows.append((x, y, groups))
        self._kept += len(x)
        width = x.shape[1]
        if self._moments is not None:
            if self._kept >= FOLDED_AT_ONCE:
                self._fold()
        elif self._kept * width * 2 * x.itemsize > max(self._room, self._folded(width) * _bytes(width)):
            self._fold()

    def likeness(self) -> Likeness:
        """The statistics of all rows so far."""
        if self._moments is not None:
            self._fold()
            return self._moments.likeness()
        x, y, groups = (np.concatenate(part) for part in zip(*self._rows, strict=True))
        x, y = x.astype(np.float64), y.astype(np.float64)
        return Likeness(
            cka_without_groups(x, y, groups),
            cka_without_groups(zscore(x), zscore(y), groups),
            drift_without_groups(x, y, groups),
        )

    def _fold(self) -> None:
        if not self._rows:
            return
        x, y, groups = (np.concatenate(part) for part in zip(*self._rows, strict=True))
        self._rows, self._kept = [], 0
        if self._moments is None:
            shift = np.stack([x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)])
            self._moments = PairMoments.empty(shift, self._folded(x.shape[1]))
        self._moments.add(x, y, groups % len(self._moments.moved))

    def _folded(self, width: int) -> int:
        """Groups that are kept apart in the moments."""
        return min(self._groups, max(GROUPS_AT_LEAST, self._room // _bytes(width)))


def _bytes(width: int) -> int:
    """Size of the moments of one group."""
    return 3 * 8 * (2 * width + 1) ** 2


def _powers(x: States, shift: Floats) -> Floats:
    """[1, u, u^2] of the rows u = x - shift. (n, p) -> (n, 2 p + 1)."""
    shifted = x - shift
    return np.hstack((np.ones((len(x), 1)), shifted, np.square(shifted)))


def _squared_norm(moments: Floats, scale: Floats) -> Floats:
    """Coefficients of |scale * (u - mean)|^2 over [1, u, u^2], the mean taken from moments. -> (2 p + 1,)."""
    width, square = scale.size, scale**2
    mean = moments[1 : width + 1, 0] / moments[0, 0]
    return np.concatenate(([square @ mean**2], -2 * square * mean, square))


def _inverse_deviation(moments: Floats) -> Floats:
    """1 / standard deviation of each dimension, 0 for a constant one, NaN where not finite."""
    width = (len(moments) - 1) // 2
    n = moments[0, 0]
    mean, square = moments[1 : width + 1, 0] / n, moments[width + 1 :, 0] / n
    variance = square - mean**2
    variance[variance <= 1e-13 * square] = 0.0
    deviation = np.sqrt(variance)
    inverse: Floats = np.divide(1.0, deviation, out=np.zeros(width), where=deviation != 0)
    return inverse


def _hsic(moments: Floats, scale_x: Floats, scale_y: Floats) -> Floats:
    """n (n - 3) HSIC_u of all rows and without each group: (groups + 1,)."""
    total = moments.sum(axis=0)
    values = [_hsic_of_set(total, scale_x, scale_y)]
    values += [_hsic_of_set(total - part, scale_x, scale_y) for part in moments]
    return np.array(values)


def _hsic_of_set(moments: Floats, scale_x: Floats, scale_y: Floats) -> float:
    n, (p, q) = moments[0, 0], (scale_x.size, scale_y.size)
    cross = moments[1 : p + 1, 1 : q + 1] - np.outer(moments[1 : p + 1, 0], moments[0, 1 : q + 1]) / n
    cross *= np.outer(scale_x, scale_y)
    a, b = _squared_norm(moments, scale_x), _squared_norm(moments.T, scale_y)
    product = np.vdot(cross, cross) - n / (n - 2) * (a @ moments @ b)
    return float(product + (a @ moments[:, 0]) * (moments[0] @ b) / ((n - 1) * (n - 2)))
