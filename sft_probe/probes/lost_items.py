"""Of what was lost, what is only hidden?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.errors import SpecError
from sft_probe.observe.interventions import Interpolate
from sft_probe.observe.needs import Benchmark, Need
from sft_probe.observe.observations import Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.probes.scorers.documents import (
    Key,
    Pair,
    by_task,
    clusters_of_pairs,
    item_of,
    pairs_of,
    right_in,
    right_otherwise,
)
from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.stats.intervals import Floats, Interval
from sft_probe.stats.two_samples import difference_interval

NOTHING_LOST = "nothing was lost"
FORM, SUPPRESSED, ERASED = "form", "suppressed", "erased"
"""What became of a lost item, the mildest that applies."""

COUNT = Metric(name="lost_count", unit="items", better="lower")
FORM_SHARE = Metric(name="form_share", unit="1", share=True, absent=NOTHING_LOST)
SUPPRESSED_SHARE = Metric(name="suppressed_share", unit="1", share=True, absent=NOTHING_LOST)
ERASED_SHARE = Metric(name="erased_share", unit="1", share=True, absent=NOTHING_LOST)
BY_FORM = Metric(name="revived_by_form_share", unit="1", share=True, absent=NOTHING_LOST)
BY_SHOTS = Metric(name="revived_by_shots_share", unit="1", share=True, absent=NOTHING_LOST)
BY_MIXING = Metric(name="revived_by_interpolation_share", unit="1", share=True, absent=NOTHING_LOST)
REVIVED = Metric(name="revived_share", unit="1", share=True, absent=NOTHING_LOST)
BEYOND = Metric(name="revived_beyond_chance", unit="1", null=0.0, absent="nothing was lost, or never known")
VERDICTS = {FORM: FORM_SHARE, SUPPRESSED: SUPPRESSED_SHARE, ERASED: ERASED_SHARE}


@dataclass(frozen=True, kw_only=True)
class LostItems:
    """Every document that was right and is wrong, asked again in other ways that take no training.

    tasks, apply_chat_template: as in `forgetting`. limit: documents per task. shots: solved examples before
    the question. alpha: share of the way from the base to the model (WiSE-FT).
    """

    name: ClassVar[str] = "lost_items"
    about: ClassVar[About] = About(
        question="Of what was lost, what is only hidden?",
        axis="cost",
        source="Jain et al. 2024 (arXiv 2311.12786), wrappers and revival; Wortsman et al. 2022, WiSE-FT; "
        "Zheng et al. 2025, Spurious Forgetting",
        null="how often the same second chances make documents right that neither model knew",
        blind_spots="Halfway to the base much of the base is back: revival by interpolation says that the "
        "loss can be undone, not that the tuned weights hold it. Erased means: not found by these means.",
        cost="benchmark",
        headline=("form_share", "suppressed_share", "erased_share", "revived_beyond_chance"),
    )

    tasks: tuple[str, ...] = ("world",)
    limit: int = 100
    apply_chat_template: bool = False
    shots: int = 4
    alpha: float = 0.5

    def __post_init__(self) -> None:
        options.names(self.name, tasks=self.tasks)
        options.at_least(self.name, 1, limit=self.limit, shots=self.shots)
        options.share(self.name, alpha=self.alpha)
        if self.alpha in (0, 1):
            raise SpecError(
                "alpha lies between 0, the base, and 1, the model.", field="probes.lost_items.alpha"
            )

    def needs(self) -> tuple[Need, ...]:
        """The documents as they are, in the other form, behind examples, and asked halfway to the base."""
        return (self._plain, self._other_form, self._shown, self._mixed)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows per task and pooled; an item per document whose stratum is its fate or verdict."""
        plain = seen[self._plain]
        pairs = pairs_of(base[self._plain], plain)
        ways = {
            BY_FORM: right_in(seen[self._other_form], pairs) | right_otherwise(plain, pairs),
            BY_SHOTS: right_in(seen[self._shown], pairs),
            BY_MIXING: right_in(seen[self._mixed], pairs),
        }
        rows = [row for dataset, own in by_task(pairs).items() for row in _rows(own, ways, dataset)]
        return Measurements(tuple(rows), tuple(_items(pairs, ways)))

    @property
    def _plain(self) -> Benchmark:
        return Benchmark(tasks=self.tasks, limit=self.limit, apply_chat_template=self.apply_chat_template)

    @property
    def _other_form(self) -> Benchmark:
        return replace(self._plain, apply_chat_template=not self.apply_chat_template)

    @property
    def _shown(self) -> Benchmark:
        return replace(self._plain, num_fewshot=self.shots)

    @property
    def _mixed(self) -> Benchmark:
        return replace(self._plain, under=(Interpolate(self.alpha),))


def verdict(key: Key, ways: Mapping[Metric, set[Key]]) -> str:
    """The mildest explanation of a wrong answer: another form, another way to ask, or none found."""
    if key in ways[BY_FORM]:
        return FORM
    return SUPPRESSED if key in ways[BY_SHOTS] | ways[BY_MIXING] else ERASED


def _rows(pairs: Sequence[Pair], ways: Mapping[Metric, set[Key]], dataset: str) -> Iterator[Measurement]:
    lost, never = ([pair for pair in pairs if pair.fate == fate] for fate in ("lost", "never"))
    count = Interval(value=float(len(lost)), n=len(pairs))
    yield COUNT.row(count, dataset=dataset)
    chance = Counter(verdict(pair.key, ways) for pair in never)
    for name, metric in VERDICTS.items():
        hits = np.array([float(verdict(pair.key, ways) == name) for pair in lost])
        yield _against(metric, hits, lost, chance[name], len(never), dataset)
    revived = {**ways, REVIVED: set().union(*ways.values())}
    for metric, right in revived.items():
        hits = np.array([float(pair.key in right) for pair in lost])
        yield _against(metric, hits, lost, sum(pair.key in right for pair in never), len(never), dataset)
    yield BEYOND.row(_beyond_chance(lost, never, revived[REVIVED]), dataset=dataset)


def _against(
    metric: Metric, hits: Floats, lost: Sequence[Pair], by_chance: int, never: int, dataset: str
) -> Measurement:
    """A share of the lost documents; its null is the share of those that neither model ever knew."""
    row = metric.row(metric.interval(hits, clusters_of_pairs(lost)), dataset=dataset)
    return replace(row, null_value=by_chance / never if never else float("nan"))


def _beyond_chance(lost: Sequence[Pair], never: Sequence[Pair], right: set[Key]) -> Interval:
    """Share of lost documents that are revived less the share of never known ones."""
    ours, theirs = (np.array([float(pair.key in right) for pair in group]) for group in (lost, never))
    return difference_interval(ours, theirs, clusters_of_pairs(lost), clusters_of_pairs(never))


def _items(pairs: Sequence[Pair], ways: Mapping[Metric, set[Key]]) -> Iterator[Item]:
    for pair in pairs:
        fate = verdict(pair.key, ways) if pair.fate == "lost" else pair.fate
        yield item_of(pair.after, "fate", pair.after.value, stratum=fate)
