"""Is what training added one direction of the residual stream, what does it say, and does it do the work?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.measures.geometry import LeftOut
from sft_probe.measures.shift import common_share_without_groups, mean_shift_without_groups
from sft_probe.observe.directions import place_at
from sft_probe.observe.interventions import Add, Interpolate, Intervention, MeanShift
from sft_probe.observe.needs import Need, Scores, States, Unembedding
from sft_probe.observe.observations import Floats, Ints, Observed, ScoresSeen, StatesSeen, UnembeddingSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.stats.intervals import Interval
from sft_probe.stats.resampling import IDENTITY, LOG, Scale, balanced_groups, jackknife_interval

STILL = "nothing moved, or the base's states are all alike"
NO_GAIN = "the expected answers did not become likelier"
ADDED, RANDOM, REMOVED = "added", "random", "removed"
DRAWS = 20  # random directions, against which the most raised token is held

LENGTH = Metric(name="shift_length", unit="1", null=0.0, absent=STILL)
COMMON = Metric(name="shift_common_share", unit="1", null=0.0, absent=STILL)
RISE = Metric(name="shift_token_rise", unit="nats", absent=STILL)
GAIN = Metric(name="shift_added_gain", unit="nats/token", null=0.0)
RANDOM_GAIN = Metric(name="shift_random_gain", unit="nats/token", null=0.0)
BEYOND = Metric(name="shift_beyond_random", unit="nats/token", null=0.0)
OF_GAIN = Metric(name="shift_part_of_gain", unit="1", null=0.0, absent=NO_GAIN)
LOSS = Metric(name="shift_removed_loss", unit="nats/token", null=0.0)


@dataclass(frozen=True, kw_only=True)
class ShiftDirection:
    """The mean of tuned minus base states: how large, how common to all positions, which tokens it raises,
    and what it does when it is added to the base or taken from the model.

    depths: where, as shares of the depth, it is added. limit: rows, of which one half gives the
    direction and the other is what it is tried on. tokens: how many raised tokens are named.
    """

    name: ClassVar[str] = "shift_direction"
    about: ClassVar[About] = About(
        question="Is what training added one direction, what does it say, and does it do the work?",
        axis="where",
        source="Activation differences: Minder et al. 2025, Narrow Finetuning Leaves Clearly Readable "
        "Traces; steering: Turner et al. 2023, Activation Addition. The unbiased share is ours",
        null="no shift, and no gain from a random direction of the same length",
        blind_spots="One vector at every token. What changes with the prompt averages out; what the vector "
        "does when added need not be what it does in the tuned model.",
        cost="forward",
    )

    dataset: str = "test"
    depths: tuple[float, ...] = (0.25, 0.5, 0.75)
    limit: int = 80
    tokens: int = 10
    seed: int = 1

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 2, limit=self.limit)
        options.at_least(self.name, 1, tokens=self.tokens, seed=self.seed)
        options.share(self.name, **{f"depths[{i}]": depth for i, depth in enumerate(self.depths)})

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """Two halves of the rows without a cluster in common.  Raises: NotApplicable for fewer than two."""
        rows = data[self.dataset].examples[: self.limit]
        odd = clusters_of(rows) % 2 == 1
        if odd.all() or not odd.any():
            raise NotApplicable(f"'{self.dataset}' has no two rows that differ in their cluster")
        halves = {self._measured: ~odd, self._tested: odd}
        return {
            name: Dataset(name, tuple(_plain(row) for row, there in zip(rows, half, strict=True) if there))
            for name, half in halves.items()
        }

    def needs(self) -> tuple[Need, ...]:
        """States of one half of the rows; scores of the other, plain and with the shift added or gone."""
        changed = (self._scores(what, depth) for depth in self.depths for what in (ADDED, RANDOM, REMOVED))
        return (self._states, Unembedding(), Scores(dataset=self._tested), *dict.fromkeys(changed))

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per layer, and one item for each of the tokens that the shift raises most."""
        tuned, before = seen[self._states], base[self._states]
        rows, items = list(_layer_rows(tuned, before)), []
        places = dict.fromkeys(place_at(tuned.layers, depth) for depth in self.depths)
        for place in places:
            depth = next(d for d in self.depths if place_at(tuned.layers, d) == place)
            layer = tuned.layers[place]
            raised = self._raised(place, tuned, before, base[Unembedding()])
            rows += [replace(row, layer=layer) for row in (raised.row, *self._effects(seen, base, depth))]
            items += [replace(item, item=f"layer {layer}: {item.item}") for item in raised.items]
        return Measurements(
            tuple(replace(row, dataset=self.dataset) for row in rows),
            tuple(replace(item, dataset=self.dataset) for item in items),
        )

    def _effects(self, seen: Observed, base: Observed, depth: float) -> Iterator[Measurement]:
        plain = Scores(dataset=self._tested)
        clusters = clusters_of(base[plain].examples)
        before, after = (_per_token(looked[plain]) for looked in (base, seen))
        added, random, removed = (
            _per_token(seen[self._scores(what, depth)]) for what in (ADDED, RANDOM, REMOVED)
        )
        for metric, values in (
            (GAIN, added - before),
            (RANDOM_GAIN, random - before),
            (BEYOND, added - random),
            (LOSS, after - removed),
        ):
            yield metric.row(metric.interval(values, clusters))
        yield _part_of_gain(added - before, after - before, clusters)

    def _raised(self, place: int, tuned: StatesSeen, base: StatesSeen, head: UnembeddingSeen) -> _Raised:
        """Tokens that the base's mean state predicts more with the shift than without."""
        after, before = (side.states[place].astype(np.float64).mean(axis=0) for side in (tuned, base))
        length = float(np.linalg.norm(after - before))
        if head.read is None or not length > 0:
            return _Raised(replace(RISE.row(Interval(value=np.nan)), why=head.why or STILL), ())
        drawn = np.random.default_rng(self.seed).standard_normal((DRAWS, len(before)))
        drawn *= length / np.linalg.norm(drawn, axis=1, keepdims=True)
        rises = _log_rise(head, before, np.vstack((after - before, drawn)))
        row = RISE.row(Interval(value=float(rises[0].max()), n=len(tuned.example)))
        top = np.argsort(-rises[0], kind="stable")[: self.tokens]
        items = tuple(
            Item(metric=RISE.name, item=str(rank), value=float(rises[0, t]), prediction=head.text_of(int(t)))
            for rank, t in enumerate(top, start=1)
        )
        return _Raised(replace(row, null_value=float(rises[1:].max(axis=1).mean())), items)

    def _scores(self, what: str, depth: float) -> Scores:
        shift = MeanShift(self._measured, depth=depth, random=self.seed if what == RANDOM else 0)
        if what == REMOVED:
            under: tuple[Intervention, ...] = (Add(shift, scale=-1.0),)
        else:
            under = (Interpolate(0.0), Add(shift))  # the base's weights, but the model's shift
        return Scores(dataset=self._tested, under=under)

    @property
    def _states(self) -> States:
        return States(dataset=self._measured)

    @property
    def _measured(self) -> str:
        return f"{self.name}.measured"

    @property
    def _tested(self) -> str:
        return f"{self.name}.tested"


@dataclass(frozen=True)
class _Raised:
    row: Measurement
    items: tuple[Item, ...]


def _plain(row: Example) -> Example:
    return replace(row, choices=())


def _layer_rows(tuned: StatesSeen, base: StatesSeen) -> Iterator[Measurement]:
    clusters = clusters_of(tuned.examples)[tuned.example]
    groups, n_clusters = balanced_groups(clusters), len(np.unique(clusters))
    for layer, x, y in zip(tuned.layers, tuned.states, base.states, strict=True):
        before = y.astype(np.float64)
        moved = x - before
        for metric, found, scale in (
            (LENGTH, mean_shift_without_groups(moved, before, groups), LOG),
            (COMMON, common_share_without_groups(moved, groups), IDENTITY),
        ):
            yield replace(_row(metric, found, scale, len(moved), n_clusters), layer=layer)


def _part_of_gain(added: Floats, gained: Floats, clusters: Ints) -> Measurement:
    """Mean gain from the added shift over that of training, by jackknife over whole clusters."""
    groups = balanced_groups(clusters)
    sums = np.stack([added, gained])
    out = np.array([sums[:, groups != g].sum(axis=1) for g in range(int(groups.max()) + 1)])
    whole = sums.sum(axis=1)
    if not whole[1] > 0:
        return OF_GAIN.row(Interval(value=np.nan, n=len(added)))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = LeftOut(float(whole[0] / whole[1]), out[:, 0] / out[:, 1])
    return _row(OF_GAIN, found, IDENTITY, len(added), len(np.unique(clusters)))


def _log_rise(head: UnembeddingSeen, mean: Floats, steps: Floats) -> Floats:
    """Change of the log-probabilities read off a mean state.  steps: (n, p) added to it.  -> (n, vocab)."""
    assert head.read is not None
    logits = head.read(np.vstack((mean, mean + steps)).astype(np.float32)).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rises: Floats = log_p[1:] - log_p[0]
    return rises


def _per_token(scores: ScoresSeen) -> Floats:
    per_token: Floats = scores.target_logprob / np.maximum(scores.target_tokens, 1)
    return per_token


def _row(metric: Metric, found: LeftOut, scale: Scale, n: int, n_clusters: int) -> Measurement:
    interval = jackknife_interval(found.value, found.without, scale=scale)
    return metric.row(replace(interval, n=n, n_clusters=n_clusters))
