"""Rules of a gate as frozen, validated values, read from YAML with readable errors."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from sft_probe.errors import SpecError, nearest
from sft_probe.study.checks import readable
from sft_probe.study.spec import Spec
from sft_probe.study.yaml import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

Bound = Literal["at_least", "at_most"]


class Rule(Spec):
    """One number of a model at the end of training, or its change from the base, and a limit for it."""

    name: str = ""
    """What the rule is called in the table."""
    probe: str
    """The probe that measures it."""
    metric: str
    """Its metric."""
    dataset: str = ""
    """The data set; may be left out where the metric has one only."""
    stratum: str = ""
    """The stratum; empty for the whole data set."""
    change: Bound | None = None
    """Bounds the change from the base, paired by item: `at_least` or `at_most` the value."""
    result: Bound | None = None
    """Bounds the number itself at the end of training."""
    value: float
    """The limit, in the unit of the metric: 0.02 is two points of a share."""
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    """With which the decision is made, one-sided."""
    decide: Literal["fail_if_broken", "pass_only_if_kept"] = "fail_if_broken"
    """`fail_if_broken` fails when the data show the limit broken; `pass_only_if_kept` passes only when they
    show it kept."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.change is None) == (self.result is None):
            raise ValueError("a rule bounds either `change` or `result`: write one, with at_least or at_most")
        return self

    @property
    def bound(self) -> Bound:
        """Whether the limit is a lower or an upper one."""
        return self.change or self.result or "at_least"


class Rules(Spec):
    """What a gate demands."""

    together: bool = False
    """Share out the error rate over all rules of `fail_if_broken`, and all runs (Bonferroni)."""
    rules: tuple[Rule, ...] = Field(min_length=1)
    """The rules; every run must meet all of them."""


def load_rules(path: Path) -> Rules:
    """Raises: SpecError with file, rule, field and remedy."""
    try:
        raw = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        remedy = "Write one with: sft-probe init --template gate."
        raise SpecError("there is no such file.", file=path, remedy=remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the file cannot be read ({error}).", file=path) from error
    raw = {"rules": raw} if isinstance(raw, list) else raw
    if not isinstance(raw, dict):
        raise SpecError("expected a list of rules, or `rules:` with one.", file=path)
    _check_keys(raw, path)
    try:
        return Rules.model_validate(raw)
    except ValidationError as error:
        raise readable(error, str(path)) from error


def rules_template() -> str:
    """The commented rules that ship with the package."""
    return (files("sft_probe.report") / "templates" / "gate.yaml").read_text(encoding="utf-8")


def _check_keys(raw: dict[str, Any], path: Path) -> None:
    """Unknown keys, with the nearest known one."""
    places: list[tuple[str, Any, type[Spec]]] = [("", raw, Rules)]
    listed = raw.get("rules")
    places += [
        (f"rules[{i}].", rule, Rule) for i, rule in enumerate(listed if isinstance(listed, list) else [])
    ]
    for prefix, part, model in places:
        for key in part if isinstance(part, dict) else ():
            if key not in model.model_fields:
                remedy = nearest(str(key), model.model_fields)
                raise SpecError("unknown key.", file=path, field=f"{prefix}{key}", remedy=remedy)
