"""How much less does the model expect of ordinary text what its base expected?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Need, TokenDivergence
from sft_probe.observe.observations import Floats, Ints, Observed, TokenDivergenceSeen
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric, clusters_of
from sft_probe.schema import Item, Measurement, Measurements

TEXT = "label_free_forgetting.text"
NO_TOKENS = "no token of the text was scored"
HARD = Metric(name="base_argmax_cross_entropy", unit="nats/token", better="lower", absent=NO_TOKENS)
HARD_CHANGE = Metric(
    name="base_argmax_cross_entropy_change", unit="nats/token", better="lower", null=0.0, absent=NO_TOKENS
)
SOFT = Metric(name="base_cross_entropy", unit="nats/token", better="lower", absent=NO_TOKENS)
SOFT_CHANGE = Metric(
    name="base_cross_entropy_change", unit="nats/token", better="lower", null=0.0, absent=NO_TOKENS
)
TEXT_CHANGE = Metric(name="text_loss_change", unit="nats/token", better="lower", null=0.0, absent=NO_TOKENS)


@dataclass(frozen=True, kw_only=True)
class LabelFreeForgetting:
    """Cross-entropy of the model against its base's own predictions on plain text; nobody labels anything.

    dataset: plain text; "" takes the first data set of the study whose rows ask nothing. limit: texts.
    """

    name: ClassVar[str] = "label_free_forgetting"
    about: ClassVar[About] = About(
        question="How much less does the model expect of ordinary text what its base expected?",
        axis="cost",
        source="Kalajdzievski 2024 (arXiv 2401.05604): cross-entropy against the base's predicted token; the "
        "soft form is KL(base || model) plus the base's entropy",
        null="the base against itself; changes 0",
        blind_spots="The base's mistakes count as much as its knowledge, so unlearning one is called "
        "forgetting. Text like the training data is no measure of anything old.",
        cost="forward",
        headline=("base_argmax_cross_entropy_change", "base_cross_entropy_change", "text_loss_change"),
    )

    dataset: str = ""
    limit: int = 60

    def __post_init__(self) -> None:
        options.at_least(self.name, 2, limit=self.limit)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """The text. Raises: NotApplicable if the study has none."""
        rows = self._plain(data)[: self.limit]
        if len(rows) < 2:
            raise NotApplicable(
                "the study has no plain text of which the base is asked; name one under `data.others`"
            )
        return {TEXT: Dataset(TEXT, tuple(rows), "plain text of the study")}

    def needs(self) -> tuple[Need, ...]:
        """Both next-token distributions at every token of the text."""
        return (TokenDivergence(dataset=TEXT),)

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows over all tokens and by stratum; items with the hard cross-entropy of each text."""
        now, then = seen[TokenDivergence(dataset=TEXT)], base[TokenDivergence(dataset=TEXT)]
        clusters = clusters_of(now.examples)[now.example]
        strata = np.array([example.stratum for example in now.examples], dtype=object)[now.example]
        names = [name for name in dict.fromkeys(strata.tolist()) if name]
        places = [("", np.ones(strata.size, dtype=bool))]
        places += [(name, strata == name) for name in names] if len(names) > 1 else []
        rows = (row for stratum, inside in places for row in _rows(now, then, clusters, inside, stratum))
        return Measurements(tuple(rows), tuple(_items(now)))

    def _plain(self, data: DataSets) -> list[Example]:
        if self.dataset:
            return [row for row in data[self.dataset] if not row.messages]
        for name in data:
            if name != "train" and (rows := [row for row in data[name] if not row.messages]):
                return rows
        return []


def _rows(
    now: TokenDivergenceSeen, then: TokenDivergenceSeen, clusters: Ints, inside: Floats, stratum: str
) -> Iterator[Measurement]:
    hard, hard_then = -now.logprob_tuned_top[inside], -then.logprob_tuned_top[inside]
    soft, entropy = (now.kl_base_tuned + now.entropy_base)[inside], now.entropy_base[inside]
    groups = clusters[inside]
    for metric, values, before in ((HARD, hard, hard_then), (SOFT, soft, entropy)):
        null = float(before.mean()) if before.size else float("nan")
        yield replace(
            metric.row(metric.interval(values, groups), dataset=TEXT, stratum=stratum), null_value=null
        )
    changes = {
        HARD_CHANGE: hard - hard_then,
        SOFT_CHANGE: now.kl_base_tuned[inside],
        TEXT_CHANGE: (now.logprob_base - now.logprob_tuned)[inside],
    }
    for metric, values in changes.items():
        yield metric.row(metric.interval(values, groups), dataset=TEXT, stratum=stratum)


def _items(now: TokenDivergenceSeen) -> Iterator[Item]:
    for i, example in enumerate(now.examples):
        own = now.example == i
        if own.any():
            yield Item(
                metric=HARD.name,
                item=example.id,
                value=-float(now.logprob_tuned_top[own].mean()),
                dataset=TEXT,
                stratum=example.stratum,
                cluster=example.cluster,
                target=example.target,
            )
