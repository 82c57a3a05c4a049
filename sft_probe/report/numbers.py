"""How numbers are written: shares as per cent, their changes as points, undefined as a dash."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["share", "points", "size", "plain", "signed"]  # size: points without sign
DASH, MINUS = "\u2013", "\u2212"
THIN, HARD = "\u202f", "\u00a0"  # narrow and plain no-break space

SHARES = frozenset(
    "exact_match contains_match token_f1 choice_accuracy stop_rate parse_rate allowed_label_rate "
    "schema_valid_rate accuracy accuracy_change gained lost churn unshifted marginal shifted "
    "contaminated extractable membership_tpr kept never numeric_churn".split()
)
SHARE_ENDINGS = ("_rate", "_share", "_accuracy")


class Value(NamedTuple):
    """A number with its 95 % interval; NaN limits where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


def kind_of(metric: str, *, change: bool = False) -> Kind:
    """Shares are shown as per cent, their changes as points, everything else as it is.

    A share is named in `SHARES` or ends like one; `<metric>_change` is the change of a metric.
    """
    whole = metric.removesuffix("_change")
    change = change or whole != metric
    if whole in SHARES or whole.endswith(SHARE_ENDINGS):
        return "points" if change else "share"
    return "signed" if change else "plain"


def number(value: float, kind: Kind = "plain", digits: int | None = None) -> str:
    """One number without interval: 97.3 %, +12.4, 0.0312. Not finite: a dash."""
    if not math.isfinite(value):
        return DASH
    if kind in ("share", "points", "size"):
        text = f"{100 * value:{'+' if kind == 'points' else ''}.{1 if digits is None else digits}f}"
        return _tidy(text) + (f"{THIN}%" if kind == "share" else "")
    sign = "+" if kind == "signed" else ""
    text = f"{value:{sign}#.3g}".rstrip(".") if value else "0"
    if digits is not None:
        text = f"{value:{sign}.{digits}f}"
    if abs(value) >= 1000:
        text = f"{value:,.0f}"
    return _tidy(_without_exponent(text, value))


def interval(value: Value, kind: Kind = "plain", to: str = "to", digits: int | None = None) -> str:
    """The interval alone: "93.1 to 98.0"; empty where there is none."""
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return ""
    low, high = (number(limit, kind, digits).replace(f"{THIN}%", "") for limit in (value.low, value.high))
    return f"{low}{HARD}{to}{HARD}{high}"


def with_interval(value: Value, kind: Kind = "plain", to: str = "to", digits: int | None = None) -> str:
    """A number and, in brackets, its interval."""
    limits = interval(value, kind, to, digits)
    return number(value.value, kind, digits) + (f" ({limits})" if limits else "")


def spread_text(values: Iterable[float], kind: Kind = "plain", digits: int | None = None) -> str:
    """The values of single seeds, smallest first: "4.1 · 5.0". Empty without any."""
    return " · ".join(number(value, kind, digits) for value in sorted(v for v in values if math.isfinite(v)))


def p_value(p: float) -> str:
    """A p-value with two digits, or that it is below 0.001."""
    if not math.isfinite(p):
        return DASH
    return f"<{THIN}0.001" if p < 0.001 else f"{p:.2g}"


def seconds(value: float) -> str:
    """A duration in the unit one would say: 850 ms, 12.3 s, 4 min 5 s."""
    if not math.isfinite(value):
        return DASH
    if value < 1:
        return f"{1000 * value:.0f}{THIN}ms"
    if value < 100:
        return f"{value:.1f}{THIN}s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}{THIN}min {rest}{THIN}s"


def rate(value: float) -> str:
    """A learning rate as people write it: 2e-4."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _tidy(text: str) -> str:
    """A true minus sign, and no sign on a rounded zero."""
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def _without_exponent(text: str, value: float) -> str:
    return f"{value:+.6f}".rstrip("0") if "e" in text and "+" in text[:1] and abs(value) > 1e-6 else text
