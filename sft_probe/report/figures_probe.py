"""A figure for every probe that has none of its own: its headline metrics, base against end, arm by arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sft_probe.report.before_after import Caption, before_after_chart, largest_move
from sft_probe.report.charts import Missing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sft_probe.report.charts import Chart
    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words

OWN_FIGURE = frozenset(
    "task_alignment format_adherence token_shift representation_drift weight_change forgetting "
    "forgetting_curve lost_items interpolation domain_generalisation relearning "
    "weight_spectra intruder_dimensions intruder_shrinkage mode_connectivity "
    "representation_geometry shift_direction layer_readouts logit_lens attention_drift".split()
)
PANELS = 6


def probe_charts(found: Findings, words: Words, axis: str) -> list[Chart | Missing]:
    """The figures of one section: for a probe that did not apply, its reason."""
    return [
        _chart(found, words, name, about)
        for name, about in found.material.probes.items()
        if about.get("axis") == axis and name not in OWN_FIGURE
    ]


def _chart(found: Findings, words: Words, name: str, about: Mapping[str, Any]) -> Chart | Missing:
    if reason := about.get("not_applicable"):
        return Missing(name=name, title=words.probe(name), reason=words("absent.not_applicable", why=reason))
    metrics = _headline(found, name, about)
    says = Caption(
        name=name,
        title=largest_move(found, words, name, metrics) or words("chart.probe.none", probe=words.probe(name)),
        plain=words.probe(name),
        note=words("chart.probe.note", question=about.get("question", ""), null=about.get("null", "")),
    )
    return before_after_chart(found, words, says, name, metrics)


def _headline(found: Findings, name: str, about: Mapping[str, Any]) -> list[str]:
    """The metrics the probe names, or its first ones that are defined for the whole model."""
    rows = found.summary[found.summary["probe"] == name]
    own = rows[rows["value"].notna() & rows["stratum"].eq("") & rows["layer"].eq(-1)]
    named = [metric for metric in about.get("headline") or () if metric in set(own["metric"])]
    return (named or list(dict.fromkeys(own["metric"])))[:PANELS]
