"""The model of a calibration certificate, as plain frozen values. No torch.

Undefined is None in the file, never zero; a NaN that is handed in becomes None. `certify` of `verdicts.py`
turns `Evidence` into a `Certificate`. The schema of the file is `docs/certificate.schema.json`;
`python -m sft_probe.calibration.certificate > docs/certificate.schema.json` writes it anew.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sft_probe.errors import InputError
from sft_probe.store.atomic import write_text

if TYPE_CHECKING:
    from pathlib import Path

Verdict = Literal["calibrated", "weak", "not calibrated"]
NullKind = Literal[
    "same_weights", "numerics", "other_seed", "sham", "dose_0", "permuted_labels", "random_change"
]
Goal = Literal[
    "size", "few_nulls", "power", "undetected", "recovery", "specificity", "mutants", "no_mutants", "untested"
]


def _undefined(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_undefined)]


class Part(BaseModel):
    """Frozen, and nothing unknown passes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Null(Part):
    """How often one probe's test rejects where nothing was done to the model."""

    probe: str
    kind: NullKind
    level: Literal["item", "run"] = Field(
        description="What one test compares: two items' numbers, or two runs'."
    )
    metric: str = ""
    n: int = Field(ge=0, description="Tests at the 5 % level.")
    rejected: int = Field(ge=0)
    rate: Number = Field(description="rejected / n; null where n is 0.")
    low: Number = Field(description="Clopper-Pearson, 95 %.")
    high: Number
    why: str = Field("", description="Why there is no rate.")

    @model_validator(mode="after")
    def _counts(self) -> Null:
        if self.rejected > self.n or (self.n and self.rate is None):
            raise ValueError("more tests rejected than made, or tests without a rate")
        return self


class Recovery(Part):
    """Estimated against planted dose, in the unit of the dose, at doses above the limit of detection."""

    estimates: tuple[tuple[Number, ...], ...] = Field(
        description="One row per dose of the response, one value per seed."
    )
    bias: Number = Field(
        description="Mean of (estimate - dose) / dose over doses above the limit of detection."
    )
    bias_low: Number = None
    bias_high: Number = None
    rmse: Number
    coverage: Number = Field(description="Share of runs whose 95 % interval holds the planted dose.")
    n: int = Field(ge=0, description="Runs behind bias, rmse and coverage.")


class Response(Part):
    """What one number of one probe does as the dose of one planted effect grows."""

    plant: str
    unit: str = Field(description="Unit of the dose.")
    probe: str
    metric: str
    dataset: str = ""
    stratum: str = ""
    module: str = ""
    layer: int = -1
    sign: Literal[1, -1] = Field(description="Direction in which the number must go with the dose.")
    headline: bool = Field(description="The first reading of its plant.")
    doses: tuple[float, ...] = Field(min_length=2, description="Ascending; the first is the null dose.")
    values: tuple[tuple[Number, ...], ...] = Field(description="One row per dose, one value per seed.")
    slope: Number
    slope_low: Number
    slope_high: Number
    trend_p: Number = Field(description="One-sided, in the direction of `sign`.")
    monotone: bool | None = Field(
        description="Means over seeds never go against `sign` by more than the noise."
    )
    saturation: Number = Field(
        None, description="Dose from which the means no longer rise; null where they still do."
    )
    saturates: bool = Field(False, description="The plant was declared to saturate beforehand.")
    power: tuple[Number, ...] = Field(description="Per dose: chance of rejecting dose 0 at the 5 % level.")
    middle: float = Field(description="The middle dose, at which power is judged.")
    power_middle: Number
    lod: Number = Field(
        description="Limit of detection: lowest dose with power >= 0.8; null where no dose has it."
    )
    null_low: Number = Field(None, description="The null band: two-sided 95 % of the number at dose 0.")
    null_high: Number = None
    recovery: Recovery | None = None
    why: str = Field("", description="Why something above is undefined.")

    @model_validator(mode="after")
    def _lengths(self) -> Response:
        if not len(self.doses) == len(self.values) == len(self.power):
            raise ValueError("doses, values and power must be equally many")
        if list(self.doses) != sorted(self.doses):
            raise ValueError("doses must ascend")
        return self


class Reaction(Part):
    """One cell of the specificity matrix: a planted effect at its middle dose, seen by one probe."""

    plant: str
    probe: str
    metric: str = Field(description="The number of this probe that moved most, in null standard deviations.")
    place: str = Field("", description="Dataset, stratum, module and layer of that number, in words.")
    dose: float
    z: Number = Field(
        description="Effect over the standard deviation between dose-0 cells of the same plant."
    )
    limit: Number = Field(description="|z| up to which the cell counts as inside the null.")
    inside: bool | None = Field(description="null: the cell could not be judged, `why` says why.")
    target: bool = Field(
        description="The probe reads this plant: the cell is on the diagonal and should react."
    )
    explained: str = Field("", description="Why a reaction beside the diagonal is right; empty: unexplained.")
    n: int = Field(0, ge=0, description="Numbers of this probe that were compared.")
    why: str = ""


class ClassCount(Part):
    """How one true class of knowledge was judged."""

    truth: str
    verdicts: dict[str, int] = Field(description="Verdict of the ledger -> items.")
    sensitivity: Number
    sensitivity_low: Number = None
    sensitivity_high: Number = None
    specificity: Number
    specificity_low: Number = None
    specificity_high: Number = None
    n: int = Field(ge=0)


class Confusion(Part):
    """The ledger's verdicts against planted truth; one row per true class."""

    probe: str
    side: Literal["gained", "lost"]
    rows: tuple[ClassCount, ...]
    note: str = ""


class Mutant(Part):
    """A deliberately broken twin of a probe, and whether its check turned red."""

    probe: str
    name: str
    broken: str = Field(description="What is wrong with it, in one sentence.")
    check: str = Field(description="The planted check that must tell it from the probe.")
    caught: bool = Field(description="The probe passes the check and the twin does not.")
    probe_value: Number = None
    twin_value: Number = None
    wanted: str = Field("", description="What the check demands of the value.")


class Base(Part):
    """The model that was calibrated on."""

    name: str
    parameters: int = Field(gt=0)
    digest: str = ""


class Made(Part):
    """How the certificate came about, so that it can be made again."""

    mode: Literal["quick", "full", "own"]
    command: str
    date: str = Field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))
    seconds: Number = None
    cells: int = 0
    seeds: tuple[int, ...] = ()
    versions: dict[str, str] = {}
    data: str = Field(
        "", description="The user's own rows, where they were planted into; empty: the planted world."
    )


class Evidence(Part):
    """Everything that was measured; what is concluded from it is `certify` of this."""

    base: Base
    made: Made
    probes: tuple[str, ...] = Field(description="All probes to be judged, tested or not.")
    nulls: tuple[Null, ...] = ()
    responses: tuple[Response, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    mutants: tuple[Mutant, ...] = ()
    notes: tuple[str, ...] = Field((), description="What was not run or failed, one sentence each.")


class Miss(Part):
    """One goal that was not met, and what that makes of the probe."""

    goal: Goal
    probe: str
    plant: str = ""
    detail: str = Field("", description="Which number, null or twin.")
    measured: Number = None
    wanted: Number = None
    low: Number = None
    high: Number = None
    n: int = 0
    verdict: Verdict
    sentence: str = Field("", description="The miss in English.")


class Judged(Part):
    """What one probe is worth on this model: the worst of what it missed."""

    probe: str
    verdict: Verdict
    reasons: tuple[str, ...] = Field(description="Sentences of what it missed, the gravest first.")


class Certificate(Evidence):
    """Evidence with what follows from it."""

    schema_version: Literal[1] = 1
    verdicts: tuple[Judged, ...]
    missed: tuple[Miss, ...]

    def of(self, probe: str) -> Judged | None:
        """The verdict of one probe."""
        return next((judged for judged in self.verdicts if judged.probe == probe), None)


def write_certificate(certificate: Certificate, path: Path) -> None:
    """The certificate as JSON, whole or not at all."""
    write_text(path, certificate.model_dump_json(indent=1) + "\n")


def read_certificate(path: Path) -> Certificate:
    """A certificate from its file. InputError for what is none."""
    try:
        return Certificate.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("cannot be read.", file=path, remedy="Give a certificate.json.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"is not a certificate: {first['msg']}.",
            file=path,
            field=where or None,
            remedy="`sft-probe calibrate` writes one.",
        ) from error


def schema_text() -> str:
    """The schema of the file as it is committed."""
    schema = Certificate.model_json_schema(mode="serialization")
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
