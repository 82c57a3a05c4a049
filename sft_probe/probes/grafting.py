"""Which blocks of weights carry what was learned, and which what was lost?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np

from sft_probe.measures.grafting import first_carrying, share_by_item
from sft_probe.observe.needs import Grafts, Need
from sft_probe.observe.observations import Bools, Floats, GraftsSeen, Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.schema import NAN, Measurement, Measurements
from sft_probe.stats.contrasts import paired_interval
from sft_probe.stats.intervals import Interval, Ints, cluster_codes, mean_interval
from sft_probe.stats.resampling import bootstrap_interval

Score = Literal["answer", "choices"]

BENCHMARKS = "all"  # data set of what all benchmarks have in common
UNCHANGED = "training did not change these weights"
NO_GAIN = "the gain itself is not told from zero on the items held back"

CHANGE = Metric(name="graft_change", unit="nats", better="higher", null=0.0)
SUFFICIENCY = Metric(name="graft_sufficiency", unit="nats")
NECESSITY = Metric(name="graft_necessity", unit="nats")
INTERACTION = Metric(name="graft_interaction", unit="nats")
CARRIED = Metric(name="graft_carried", unit="1")
NEEDED = Metric(name="graft_blocks", unit="blocks")


@dataclass(frozen=True, kw_only=True)
class Grafting:
    """Blocks of the tuned model in the base, and of the base in the tuned model, for task and benchmarks.

    A block is a layer and a kind of module. limit: examples of the data set. score: "answer" is the
    log-likelihood of the whole target, "choices" how far the right choice leads. tasks, task_limit: lm-eval
    tasks and documents of each; those without choices are left out. share: of the gain that the smallest set
    of blocks shall carry. width: blocks that the search for it tries at every step. most: blocks that it
    takes at most. seed: of the random changes that serve as null.
    """

    name: ClassVar[str] = "grafting"
    about: ClassVar[About] = About(
        question="Which blocks of weights carry what was learned, and which what was lost?",
        axis="where",
        source="Panigrahi et al. 2023, Task-Specific Skill Localization in Fine-tuned Language Models "
        "(arXiv 2302.06600), with whole blocks and without optimisation",
        null="the same change with its entries shuffled and their signs turned: as large, and meaningless",
        blind_spots="Blocks are weighed one at a time; what only several do together shows as interaction. "
        "A block that carries a skill need not store it. Few items: the map is coarse.",
        cost="forward",
        headline=("graft_sufficiency", "graft_necessity", "graft_carried"),
    )

    dataset: str = "test"
    limit: int = 24
    score: Score = "answer"
    tasks: tuple[str, ...] = ("world",)
    task_limit: int = 5
    share: float = 0.9
    width: int = 3
    most: int = 8
    seed: int = 1

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.at_least(self.name, 2, limit=self.limit)
        options.at_least(
            self.name, 1, task_limit=self.task_limit, width=self.width, most=self.most, seed=self.seed
        )
        options.one_of(self.name, get_args(Score), score=self.score)
        options.share(self.name, share=self.share)
        if self.tasks:
            options.names(self.name, tasks=self.tasks)

    def needs(self) -> tuple[Need, ...]:
        """One need that stands for all looks."""
        return (self._grafts,)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per block and data set, the benchmarks also pooled, and those of the search."""
        found = seen[self._grafts]
        clusters = cluster_codes([item.cluster for item in found.items])
        names = np.array([item.dataset for item in found.items], dtype=object)
        parts = {name: names == name for name in dict.fromkeys(names.tolist())}
        if len(parts) > 1:
            parts[BENCHMARKS] = names != self.dataset
        rows = [row for name, own in parts.items() for row in _map(found, name, own, clusters[own])]
        return Measurements((*rows, *self._search(found, parts[self.dataset], clusters)))

    def _search(self, found: GraftsSeen, own: Bools, clusters: Ints) -> Iterator[Measurement]:
        """What the first blocks of the path carry and how many are needed, on items that are held back."""
        own = own & found.held_back if found.path else own
        base, tuned, clusters = found.base[own], found.tuned[own], clusters[own]
        gain = paired_interval(tuned, base, clusters)
        absent = Interval(value=NAN, why=found.why or gain.why or NO_GAIN)
        shown = gain.low > 0 and bool(found.path)
        for size, (layer, module) in enumerate(found.path, start=1):
            values = share_by_item(base, tuned, found.together[size - 1][own])
            share = mean_interval(values, clusters) if shown else absent
            row = CARRIED.row(share, dataset=self.dataset, stratum=str(size), layer=layer, module=module)
            yield replace(row, null_value=size / int(found.changed.sum()))
        needed = self._needed(found, own, clusters) if shown else absent
        yield NEEDED.row(needed, dataset=self.dataset)

    def _needed(self, found: GraftsSeen, own: Bools, clusters: Ints) -> Interval:
        """One more than the blocks that were taken stands for "more" in the limits."""
        gains = np.vstack([found.tuned, found.together])[:, own] - found.base[own]
        codes = np.unique(clusters, return_inverse=True)[1]
        needed = bootstrap_interval(
            lambda sums: first_carrying(sums, self.share),
            np.stack([np.bincount(codes, row) for row in gains], axis=1),
            np.random.default_rng(self.seed),
        )
        if needed.value > len(found.path):
            return Interval(value=NAN, why=f"{len(found.path)} blocks carry less than {self.share:.0%} of it")
        return replace(needed, n=int(own.sum()))

    @property
    def _grafts(self) -> Grafts:
        return Grafts(
            dataset=self.dataset,
            limit=self.limit,
            score=self.score,
            tasks=self.tasks,
            task_limit=self.task_limit,
            share=self.share,
            width=self.width,
            most=self.most,
            seed=self.seed,
        )


def _map(found: GraftsSeen, dataset: str, own: Bools, clusters: Ints) -> Iterator[Measurement]:
    """The whole change, and what that of each block does alone, on the items of one data set."""
    whole = paired_interval(found.tuned[own], found.base[own], clusters)
    yield CHANGE.row(Interval(value=NAN, why=found.why) if found.why else whole, dataset=dataset)
    if not found.changed.any():
        return
    real = _effects(found, found.sufficient, found.necessary)
    random = _effects(found, found.random_sufficient, found.random_necessary)
    at = np.cumsum(found.changed) - 1
    for number, (layer, module) in enumerate(found.blocks):
        for metric in real:
            effect, null = Interval(value=0.0, n=int(own.sum())), 0.0
            if found.changed[number]:
                effect = mean_interval(real[metric][at[number]][own], clusters)
                null = float(random[metric][at[number]][own].mean())
            row = metric.row(effect, dataset=dataset, layer=layer, module=module)
            yield replace(row, null_value=null)


def _effects(found: GraftsSeen, sufficient: Floats, necessary: Floats) -> dict[Metric, Floats]:
    """What each block's change adds to the base alone, and to the model as the last one. (blocks, items)"""
    first, last = sufficient - found.base, found.tuned - necessary
    return {SUFFICIENCY: first, NECESSITY: last, INTERACTION: last - first}
