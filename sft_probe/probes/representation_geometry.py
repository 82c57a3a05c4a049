"""Is the geometry of the states still the base's, or only turned, stretched or narrowed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, get_args

import numpy as np

from sft_probe.measures.alignment import (
    anisotropy,
    beyond_chance,
    canonical,
    leaving_out,
    principal_directions,
    procrustes_angle,
    rsa,
    without_massive,
)
from sft_probe.measures.geometry import LeftOut
from sft_probe.measures.subspaces import overlap
from sft_probe.observe.needs import Need, StatePlace, States
from sft_probe.observe.observations import Floats, Ints, Observed, StatesSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import NAN, Measurement, Measurements
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import FISHER, IDENTITY, Scale, balanced_groups, jackknife_interval

UNDEFINED = "too few positions, or states that do not vary"
FEW = "fewer positions than directions kept; raise `positions` or `limit`"
PERMUTED = "permuted"  # in `module`: the same statistic with the rows of one side in another order
GROUPS = 8  # of whole clusters, each left out in turn
PAIRED = 200  # positions at most for RSA, which looks at all pairs

ANGLE = Metric(name="procrustes_angle", unit="rad", null=0.0, absent=UNDEFINED)
RSA = Metric(name="rsa", unit="1", null=1.0, absent=UNDEFINED)
SVCCA = Metric(name="svcca", unit="1", null=1.0, absent=FEW)
PWCCA = Metric(name="pwcca", unit="1", null=1.0, absent=FEW)
ROWS = Metric(name="rows_per_dimension", unit="1", absent=UNDEFINED)
SUBSPACE = Metric(name="subspace_overlap", unit="1", null=1.0, absent="as many directions as dimensions")
ANISOTROPY = Metric(name="anisotropy", unit="1", absent=UNDEFINED)
ANISOTROPY_CHANGE = Metric(name="anisotropy_change", unit="1", null=0.0, absent=UNDEFINED)

FORMS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "": lambda x, base: x,
    "centred": lambda x, base: x - x.mean(axis=0),
    "without top 3": without_massive,
}
"""Of what anisotropy is taken, by `module`."""


class Pair(NamedTuple):
    """One layer. tuned, base: (n, p) of the same positions. groups: (n,) to leave out. paired: some rows."""

    tuned: Floats
    base: Floats
    groups: Ints
    paired: Ints

    def permuted(self, rng: np.random.Generator) -> Pair:
        """The tuned states of other positions against the base's: what unrelated states would give."""
        order = rng.permutation(len(self.tuned))
        return self._replace(tuned=self.tuned[order], groups=np.zeros_like(self.groups))


@dataclass(frozen=True, kw_only=True)
class RepresentationGeometry:
    """Likeness of states that allows for rotations, for any linear map, or for order alone, layer by layer.

    positions: tokens per example. subspace: numbers of principal directions whose span is compared.
    seed: of the order in the permuted rows.
    """

    name: ClassVar[str] = "representation_geometry"
    about: ClassVar[About] = About(
        question="Is the geometry of the states still the base's, or only turned, stretched or narrowed?",
        axis="where",
        source="Williams et al. 2021 (Procrustes); Kriegeskorte et al. 2008 (RSA); Raghu et al. 2017 "
        "(SVCCA); Morcos et al. 2018 (PWCCA); Ethayarajh 2019 (anisotropy); Hu et al. 2021 (subspace "
        "overlap)",
        null="angle 0, all likenesses 1 and anisotropy as in the base, exactly so for the base itself; "
        "rows of module 'permuted' say what unrelated states would give",
        blind_spots="With few positions per dimension any two sets of states look alike, most of all to CCA: "
        "read each value between its null and the permuted rows. None of it says that behaviour changed.",
        cost="forward",
    )

    dataset: str = "test"
    positions: int = 4
    place: StatePlace = "residual"
    subspace: tuple[int, ...] = (1, 4, 16)
    limit: int | None = 120
    seed: int = 0

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 1, positions=self.positions, limit=self.limit)
        options.one_of(self.name, get_args(StatePlace), place=self.place)
        options.at_least(self.name, 1, **{f"subspace[{i}]": k for i, k in enumerate(self.subspace)})

    def needs(self) -> tuple[Need, ...]:
        """States of both models at a few positions per example, the first token left out."""
        return (self._states,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per layer; intervals by jackknife over up to 8 groups of whole clusters."""
        tuned, before = seen[self._states], base[self._states]
        clusters = clusters_of(tuned.examples)[tuned.example]
        rows = (
            replace(row, dataset=self.dataset, layer=layer)
            for index, layer in enumerate(tuned.layers)
            for row in self._layer_rows(_pair(tuned, before, index, clusters), clusters)
        )
        return Measurements(tuple(rows))

    def _layer_rows(self, pair: Pair, clusters: Ints) -> Iterator[Measurement]:
        rng = np.random.default_rng(self.seed)
        n, n_clusters = len(pair.base), len(np.unique(clusters))
        for metric, statistic, scale in _likenesses(pair):
            yield _row(metric, statistic, scale, n, n_clusters)
        for metric, statistic, _ in _likenesses(pair.permuted(rng)):
            row = metric.row(Interval(value=statistic.value, n=n, n_clusters=n_clusters), module=PERMUTED)
            yield replace(row, null_value=NAN)
        yield ROWS.row(Interval(value=n / pair.base.shape[1], n=n, n_clusters=n_clusters))
        for k, shared in zip(self.subspace, _subspaces(pair, self.subspace), strict=True):
            yield _row(SUBSPACE, shared, IDENTITY, n, n_clusters, f"top {k}")
        for module, form in FORMS.items():
            yield from _anisotropy(pair, form, n, n_clusters, module)

    @property
    def _states(self) -> States:
        return States(dataset=self.dataset, place=self.place, positions=self.positions, limit=self.limit)


def _pair(tuned: StatesSeen, base: StatesSeen, index: int, clusters: Ints) -> Pair:
    x, y = (side.states[index].astype(np.float64) for side in (tuned, base))
    every = -(-len(x) // PAIRED)
    return Pair(x, y, balanced_groups(clusters, GROUPS), np.arange(0, len(x), every))


def _likenesses(pair: Pair) -> Iterator[tuple[Metric, LeftOut, Scale]]:
    x, y, groups, paired = pair
    yield ANGLE, leaving_out(lambda rows: procrustes_angle(x[rows], y[rows]), groups), IDENTITY
    some_x, some_y = x[paired], y[paired]
    _, some_groups = np.unique(groups[paired], return_inverse=True)
    yield RSA, leaving_out(lambda rows: rsa(some_x[rows], some_y[rows]), some_groups), FISHER
    found = canonical(x, y, groups)
    yield SVCCA, found.svcca, FISHER
    yield PWCCA, found.pwcca, FISHER


def _subspaces(pair: Pair, ks: tuple[int, ...]) -> Iterator[LeftOut]:
    """Overlap beyond chance of the k first principal directions, for every k."""
    width, rows = pair.base.shape[1], np.arange(len(pair.base))
    kept = [rows, *(rows[pair.groups != group] for group in range(int(pair.groups.max()) + 1))]
    spans = [
        [principal_directions(side[some], max(ks, default=0)) for side in (pair.tuned, pair.base)]
        for some in kept
    ]
    for k in ks:
        found = [beyond_chance(overlap(u[:, :k], v[:, :k]), k, width) for u, v in spans]
        yield LeftOut(found[0], np.array(found[1:]))


def _anisotropy(
    pair: Pair, form: Callable[[Floats, Floats], Floats], n: int, n_clusters: int, module: str
) -> Iterator[Measurement]:
    tuned, base = (form(side, pair.base) for side in (pair.tuned, pair.base))
    after = leaving_out(lambda rows: anisotropy(tuned[rows]), pair.groups)
    before = leaving_out(lambda rows: anisotropy(base[rows]), pair.groups)
    row = _row(ANISOTROPY, after, IDENTITY, n, n_clusters, module)
    yield replace(row, null_value=before.value)
    change = LeftOut(after.value - before.value, after.without - before.without)
    yield _row(ANISOTROPY_CHANGE, change, IDENTITY, n, n_clusters, module)


def _row(
    metric: Metric, statistic: LeftOut, scale: Scale, n: int, n_clusters: int, module: str = ""
) -> Measurement:
    interval = jackknife_interval(statistic.value, statistic.without, scale=scale)
    return metric.row(replace(interval, n=n, n_clusters=n_clusters), module=module)
