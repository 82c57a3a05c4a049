"""What each probe is worth: its mark from a calibration certificate, shown beside everything it says.

A certificate holds for models of about the size it was made on: within a factor of three either way, which
is half an order of magnitude. For any other model probes count as not calibrated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sft_probe.errors import InputError
from sft_probe.report.numbers import DASH

if TYPE_CHECKING:
    from sft_probe.report.words import Words

Verdict = Literal["calibrated", "weak", "not_calibrated", "other_size", "none"]
VERDICTS: Mapping[str, Verdict] = {
    "calibrated": "calibrated",
    "weak": "weak",
    "not calibrated": "not_calibrated",
}
SIGNS: Mapping[Verdict, str] = {
    "calibrated": "●",
    "weak": "◐",
    "not_calibrated": "○",
    "other_size": "○",
    "none": DASH,
}
SAME_SIZE = 3.0
SHIPPED = "certificate.json"  # in this package; absent until a whole certificate was made
PROBE_OF = {
    "drift_map": "representation_drift",
    "drift_profile": "representation_drift",
    "graft_map": "grafting",
    "graft_path": "grafting",
    "head_map": "attention_drift",
    "kl_position": "token_shift",
    "ledger": "forgetting",
    "predictors": "forgetting",
    "transfer": "domain_generalisation",
    "weight_map": "weight_change",
    "weight_steps": "weight_change",
}
"""Whose numbers a figure shows, where its name is not the probe's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What one probe is worth here. reasons: why it is not calibrated, or weak."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()

    def text(self, words: Words) -> str:
        """A sign and the word."""
        return f"{SIGNS[self.verdict]} {words(f'mark.{self.verdict}')}"


@dataclass(frozen=True, kw_only=True)
class Marks:
    """The marks of a certificate made on `model`, of `made_on` parameters, for one of `parameters`."""

    model: str = ""
    made_on: int = 0
    date: str = ""
    probes: Mapping[str, Mark] = field(default_factory=dict)
    parameters: int = 0

    @property
    def fits(self) -> bool:
        """The model here is about as large as that of the certificate; False where its size is not known."""
        if not (self.made_on and self.parameters):
            return False
        return 1 / SAME_SIZE <= self.parameters / self.made_on <= SAME_SIZE

    def of(self, probe: str) -> Mark:
        """The mark of a probe."""
        found = self.probes.get(probe)
        if found is None:
            return Mark(verdict="none")
        return found if self.fits else Mark(verdict="other_size")

    def of_chart(self, chart: str) -> Mark:
        """The mark of the probe whose numbers a figure shows; "none" if it shows those of no probe."""
        return self.of(PROBE_OF.get(chart, chart))

    def note(self, words: Words) -> str:
        """Where the marks come from."""
        if not self.probes:
            return words("mark.note_none")
        key = "mark.note" if self.fits else "mark.note_other"
        sizes = {"made_on": f"{self.made_on:,}", "here": f"{self.parameters:,}"}
        return words(key, model=self.model, date=self.date, **sizes)


def read_marks(path: Path | None = None) -> Marks:
    """The marks of a certificate's file, by default of the shipped one; no marks if none is shipped.

    Raises: InputError for a file that is no certificate.
    """
    if path is None:
        shipped = files("sft_probe.report") / SHIPPED
        return _marks(shipped.read_text(encoding="utf-8"), SHIPPED) if shipped.is_file() else Marks()
    try:
        return _marks(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read.", file=path, remedy="Give a certificate.json.") from error


def _marks(text: str, file: str) -> Marks:
    try:
        found: Any = json.loads(text)
        return Marks(
            model=str(found["base"]["name"]),
            made_on=int(found["base"]["parameters"]),
            date=str(found["made"]["date"]),
            probes={
                str(one["probe"]): Mark(verdict=VERDICTS[one["verdict"]], reasons=tuple(one["reasons"]))
                for one in found["verdicts"]
            },
        )
    except (ValueError, KeyError, TypeError) as error:
        remedy = "Give the certificate.json that `sft-probe calibrate` wrote."
        raise InputError("is not a certificate.", file=file, remedy=remedy) from error
