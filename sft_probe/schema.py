"""The two rows every probe writes and every report reads. No torch, no pandas: plain frozen values.

`Measurement` and `Item` are what a probe returns. The store adds the columns of `RunKey` to each row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from sft_probe.errors import SftProbeError

SCHEMA_VERSION = 2

Better = Literal["higher", "lower", "neither"]
NAN = math.nan
RELEARNING = "relearning"  # what a copy of the tuned model shows that is trained on, likewise
TRAINING = "training_dynamics"  # what training itself shows stands in the column `probe` under this name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """Where and when a row was observed; added to every row by the store."""

    run: str
    arm: str
    seed: int
    step: int
    probe: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number about one model at one step.

    value: NaN means "tried, and undefined here" and then `why` must give the reason.
    ci_low, ci_high: 95 % interval over clusters of items, NaN where none exists.
    null_value: what the value would be if fine-tuning had done nothing to what is measured.
    layer: 0 is the embedding, 1..L the blocks, -1 where a layer makes no sense.
    """

    metric: str
    value: float
    unit: str
    dataset: str = ""
    stratum: str = ""
    layer: int = -1
    module: str = ""
    se: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN
    n: int = 1
    n_clusters: int = 0
    null_value: float = NAN
    better: Better = "neither"
    why: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.value) and not self.why:
            raise SftProbeError(f"measurement '{self.metric}' is NaN without a reason in 'why'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One example seen by one metric of one probe at one step; the raw material of every interval.

    by_token: the metric at every token of `prediction`, as JSON `[[text, value], ...]`; "" if not kept.
    """

    metric: str
    item: str
    value: float
    dataset: str = ""
    stratum: str = ""
    cluster: str = ""
    prediction: str = ""
    target: str = ""
    prompt: str = ""
    by_token: str = ""


@dataclass(frozen=True, slots=True)
class Measurements:
    """What `Probe.measure` returns."""

    rows: tuple[Measurement, ...] = ()
    items: tuple[Item, ...] = field(default=())

    def __add__(self, other: Measurements) -> Measurements:
        return Measurements(self.rows + other.rows, self.items + other.items)


MEASUREMENT_COLUMNS = tuple(f.name for f in (*fields(RunKey), *fields(Measurement)))
ITEM_COLUMNS = tuple(f.name for f in (*fields(RunKey), *fields(Item)))
