"""What was learned: scores on the task, the form of the answers, and how many tokens changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft_probe.report.before_after import Caption, before_after_chart, largest_move
from sft_probe.report.figures_inclusion import inclusion_charts
from sft_probe.report.figures_knowledge import fitting_charts
from sft_probe.report.figures_waterfall import waterfall_charts
from sft_probe.report.numbers import Value, with_interval
from sft_probe.report.sentences import points
from sft_probe.report.summaries import extreme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sft_probe.report.charts import Chart, Missing
    from sft_probe.report.findings import Findings
    from sft_probe.report.words import Words

SCORES = ("exact_match", "contains_match", "token_f1", "choice_accuracy", "answer_logprob", "choice_margin")
FORM = ("stop_rate", "parse_rate", "allowed_label_rate", "schema_valid_rate", "length_ratio", "answer_tokens")
SHIFT = ("unshifted", "marginal", "shifted", "kl_tuned_base", "kl_base_tuned")


def what(found: Findings, words: Words) -> list[Chart | Missing]:
    """The figures of the section What."""
    return [
        *waterfall_charts(found, words),
        *fitting_charts(found, words),
        *inclusion_charts(found, words),
        _chart(found, words, "scores", "task_alignment", SCORES),
        _chart(found, words, "format", "format_adherence", FORM),
        _chart(found, words, "token_shift", "token_shift", SHIFT),
    ]


def _chart(found: Findings, words: Words, name: str, probe: str, metrics: Sequence[str]) -> Chart | Missing:
    says = Caption(
        name=name,
        title=_TITLES[name](found, words),
        plain=words(f"chart.{name}.plain"),
        note=words(f"chart.{name}.note"),
    )
    return before_after_chart(found, words, says, probe, metrics)


def _scores_title(found: Findings, words: Words) -> str:
    best = found.best()
    if best is None:
        return words("chart.scores.plain")
    if found.shown_learned[best.name] <= 0:
        return words("chart.scores.none")
    return words("chart.scores.gain", best=best.label, change=points(found.learned[best.name], words))


def _format_title(found: Findings, words: Words) -> str:
    return largest_move(found, words, "format_adherence", FORM[:4]) or words("chart.format.none")


def _shift_title(found: Findings, words: Words) -> str:
    rows = found.rows("shifted")
    if rows.empty:
        return words("chart.token_shift.plain")
    row = extreme(rows)
    return words(
        "chart.token_shift.most",
        arm=found.label(row["arm"]),
        share=with_interval(
            Value(row["value"], row["ci_low"], row["ci_high"]), "share", words.interval_word()
        ),
    )


_TITLES = {"scores": _scores_title, "format": _format_title, "token_shift": _shift_title}
