"""What a plant is: an effect of known size, put into training, and the numbers it should move."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Where in the tidy table the number stands that follows a plant.

    Attributes:
        probe: the probe that writes it.
        metric: its metric; with `dataset`, `stratum`, `module` and `layer` it names one row per cell.
        dataset: the data set of the row; None means any, for probes that write the metric once.
        stratum: of the row; "{dose}" in it stands for the dose.
        sign: 1 where the number rises with the dose, -1 where it falls.
        recover: from the number to an estimate of the dose, where truth is known in the number's terms.
        edge: whether that estimate cannot lie below the null dose, as a probability cannot lie below 0.
    """

    probe: str
    metric: str
    dataset: str | None = None
    stratum: str = ""
    module: str = ""
    layer: int | None = None
    sign: Literal[1, -1] = 1
    recover: Callable[[float], float] | None = None
    edge: bool = False

    def value(self, rows: pd.DataFrame, dose: float) -> float:
        """The number in the rows of one cell, at the last step that the probe looked at.

        rows: columns as of `RunStore.measurements`. NaN where there is no such row or it is undefined.
        Raises: ValueError if several rows answer, because then the reading names too little.
        """
        found = rows[
            (rows["probe"] == self.probe)
            & (rows["metric"] == self.metric)
            & (rows["stratum"] == self.stratum.format(dose=f"{dose:g}"))
            & (rows["module"] == self.module)
            & (rows["step"] > 0)
        ]
        if self.dataset is not None:
            found = found[found["dataset"] == self.dataset]
        if self.layer is not None:
            found = found[found["layer"] == self.layer]
        found = found[found["step"] == found["step"].max()]
        if len(found) > 1:
            raise ValueError(f"{len(found)} rows answer to {self}")
        return float(found["value"].iloc[0]) if len(found) else math.nan


@dataclass(frozen=True, kw_only=True)
class Plant:
    """An effect of known size that a cell of the certificate plants, and how it is read.

    Attributes:
        name: the plant, as a word of the certificate.
        unit: what a dose is counted in.
        doses: ascending; the first is the null dose, at which nothing is planted.
        seeds: how many training seeds per dose: 3, and 5 for the headline plants.
        quick: whether `--quick` sows it.
        probes: what a cell measures, as under `probes` of a study.
        readings: the numbers that should move; the first one is the headline.
        expected: probes beside those of the readings that may rightly react, and why, in one sentence each.
        study: a dose -> the part of a study that plants it: data, one arm named "arm", training and so on.
        trained_as: another plant with the same training, whose cells all probes have seen already.
        saturates: whether the headline is known to level off within the doses.
        note: what a reader of the certificate should know.
    """

    name: str
    unit: str
    doses: tuple[float, ...]
    seeds: int = 3
    quick: bool = False
    probes: tuple[dict[str, Any] | str, ...]
    readings: tuple[Reading, ...]
    expected: Mapping[str, str] = field(default_factory=dict)
    study: Callable[[float], dict[str, Any]]
    trained_as: str = ""
    saturates: bool = False
    note: str = ""

    def sown(self, dose: float, seed: int) -> dict[str, Any]:
        """A whole study of one cell but for its name and folder, as a study.yaml says it.

        By the seed goes what chance decides: which rows are taken and planted, and their order. What the
        plant says itself wins over the defaults.
        """
        given = self.study(dose)
        arms = {name: _drawn(arm, seed) for name, arm in given["arms"].items()}
        return {
            "model_name_or_path": "planted",
            "seeds": [seed],
            "data_seed": seed,
            "per_device_train_batch_size": 16,
            "lr_scheduler_type": "linear",
            "schedule": {"points": 0},
            "probes": list(self.probes),
            **given,
            "arms": arms,
        }


def _drawn(arm: dict[str, Any], seed: int) -> dict[str, Any]:
    """The arm with the draws of its edits going by the seed, unless an edit names a seed of its own."""
    edits = [
        {name: {"seed": seed, **(options or {})} for name, options in edit.items()}
        for edit in arm.get("edits", ())
    ]
    return {**arm, "edits": edits} if edits else dict(arm)
