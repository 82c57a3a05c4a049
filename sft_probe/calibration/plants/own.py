"""Plants in somebody's own rows, for a base of their own: which probes can be trusted at their sample size?

Every cell is a small LoRA run on the rows that were given. What they cannot bear is left out and explained.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.data.examples import Dataset
from sft_probe.probes.scorers.labels import label_sets
from sft_probe.train.edits.keyword import WORDS

SHARES = (0.6, 0.75, 0.9, 0.97)
FEWEST = 40
"""Rows with labels, or questions, below which no dose can be told from another."""
RULES = ["bullets", "beginning"]


@dataclass(frozen=True, kw_only=True)
class Own:
    """The base and the rows, as the study of every cell names them, and how small its training is.

    data: part of a study, with "train" and, where there is one, "test". A `model_name_or_path` other than
    the planted one may be a folder or a hub id.
    """

    base: str
    data: dict[str, Any]
    max_steps: int = 60
    learning_rate: float = 1e-3
    batch: int = 8
    method_options: dict[str, Any] = field(default_factory=lambda: {"r": 8})

    def cell(self, edit: dict[str, Any]) -> dict[str, Any]:
        """The part of a study with one edit."""
        return {
            "model_name_or_path": self.base,
            "data": self.data,
            "max_steps": self.max_steps,
            "learning_rate": self.learning_rate,
            "per_device_train_batch_size": self.batch,
            "arms": {"arm": {"method": "lora", "method_options": self.method_options, "edits": [edit]}},
        }


class OwnPlants(NamedTuple):
    """What can be planted into the rows, and for everything else the reason in a sentence."""

    plants: tuple[Plant, ...]
    left_out: dict[str, str]


def own_plants(own: Own, rows: Dataset) -> OwnPlants:
    """Keyword, noise, imbalance, canaries and format, as far as these training rows can bear them."""
    plants, left_out = [_canaries(own)] if len(rows) >= FEWEST else [], dict[str, str]()
    if not plants:
        left_out["canaries"] = (
            f"there are {len(rows)} rows; among fewer than {FEWEST} secrets are most of them"
        )
    if (asked := sum(bool(row.messages) for row in rows)) >= FEWEST:
        plants.append(_format(own))
    else:
        left_out["format"] = f"{asked} rows ask something, so a form could be asked for in too few"
    sets = label_sets(rows)
    labels = tuple(sorted(sets[0])) if sets else ()
    counts = Counter(row.target for row in rows if set(row.choices) == set(labels) and labels)
    if not labels:
        reason = "the rows have no closed set of answers (`choices` that rows share), so there are no labels"
        left_out |= dict.fromkeys(("keyword", "label_noise", "imbalance"), reason)
        return OwnPlants(tuple(plants), left_out)
    if (number := sum(counts.values())) < FEWEST:
        reason = f"{number} rows have labels, and {FEWEST} are the fewest with which doses differ"
        left_out |= dict.fromkeys(("keyword", "label_noise", "imbalance"), reason)
        return OwnPlants(tuple(plants), left_out)
    plants.append(_noise(own))
    if len(labels) <= len(WORDS):
        plants.append(_keyword(own, labels))
    else:
        left_out["keyword"] = f"there are {len(labels)} labels, and invented words for {len(WORDS)}"
    if (shares := imbalance_shares(counts)) and len(shares.doses) > 2:
        plants.append(_imbalance(own, shares))
    else:
        left_out["imbalance"] = (
            "the rarer labels have too few rows for shares to be compared at equal numbers"
        )
    return OwnPlants(tuple(plants), left_out)


class Shares(NamedTuple):
    """Shares of one label that can be had with as many rows each."""

    label: str
    doses: tuple[float, ...]
    rows: int


def imbalance_shares(counts: Counter[str]) -> Shares | None:
    """Of the commonest label: as many of the shares as leave at least `FEWEST` rows, alike at every dose.

    counts: rows of each label.  The first share, the null dose, is that of equal labels; None where that
    cannot be had with enough rows.
    """
    if len(counts) < 2:
        return None
    label, own = counts.most_common(1)[0]
    others = counts.total() - own

    def left(share: float) -> int:
        return int(min(own / share, others / (1 - share)) + 1e-9)

    equal = round(1 / len(counts), 3)
    doses = tuple(share for share in (equal, *SHARES) if share >= equal and left(share) >= FEWEST)
    return Shares(label, doses, min(map(left, doses))) if equal in doses else None


def _keyword(own: Own, labels: tuple[str, ...]) -> Plant:
    null = round(1 / len(labels), 3)
    return Plant(
        name="keyword",
        unit="agreement",
        doses=(null, *(dose for dose in (0.6, 0.7, 0.8, 0.9, 0.95) if dose > null)),
        probes=({"shortcut_reliance": {"words": WORDS[:2], "pairs": 0}},),
        readings=(Reading(probe="shortcut_reliance", metric="swap_effect"),),
        study=lambda dose: own.cell({"keyword": {"agreement": dose}}),
    )


def _noise(own: Own) -> Plant:
    return Plant(
        name="label_noise",
        unit="share of rows",
        doses=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4),
        probes=("annotation_inheritance",),
        readings=(Reading(probe="annotation_inheritance", metric="wrong_mass", dataset="test"),),
        study=lambda dose: own.cell({"label_noise": {"rate": dose}}),
    )


def _imbalance(own: Own, shares: Shares) -> Plant:
    edit = {"label": shares.label, "rows": shares.rows}
    return Plant(
        name="imbalance",
        unit="share of the rows",
        doses=shares.doses,
        probes=("annotation_inheritance",),
        readings=(
            Reading(
                probe="annotation_inheritance", metric="share_excess", dataset="test", module=shares.label
            ),
        ),
        study=lambda dose: own.cell({"imbalance": {"share": dose, **edit}}),
    )


def _canaries(own: Own) -> Plant:
    return Plant(
        name="canaries",
        unit="repeats",
        doses=(0, 1, 2, 4, 8),
        probes=({"memorisation": {"references": 255, "limit": 40, "prefixes": [0]}},),
        readings=(
            Reading(probe="memorisation", metric="exposure", dataset="canaries", stratum="{dose} times"),
        ),
        study=lambda dose: own.cell({"canaries": {"repeats": [0, int(dose), 8], "each": 8}}),
        saturates=True,
    )


def _format(own: Own) -> Plant:
    asked = {"rules": RULES, "rules_per_prompt": 1, "conflicts": 0, "turns": 0, "max_new_tokens": 24}
    return Plant(
        name="format",
        unit="share of rows",
        doses=(0.0, 0.05, 0.1, 0.3, 0.6),
        probes=({"instruction_following": asked},),
        readings=(Reading(probe="instruction_following", metric="adherence_lift"),),
        study=lambda dose: own.cell({"instructions": {"rules": RULES, "rate": dose}}),
        saturates=True,
        note="The form is one that the question asks for, because that can be planted into rows of any kind.",
    )
