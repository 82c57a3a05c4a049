"""What annotation faults leave behind: the pass rules of README.md."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from analyses.outcomes import Finding, Prediction, by_seed, judge, shown
from analyses.readings import at_end, course, slope

NOISE = {0.0: "clean", 0.2: "noise_20", 0.4: "noise_40"}
ARMS = (*NOISE.values(), "one_sided", "typos_40", "balanced", "imbalanced", "keyword", "keyword_noisy")
EPOCH = 25  # steps
MARGIN = 0.05  # of accuracy, in which typos may move it


def accuracy(rows: pd.DataFrame, arm: str) -> pd.Series:
    """Share of held-out reviews whose right label is the likelier one, by seed."""
    return at_end(rows, arm, "task_alignment", "choice_accuracy", dataset="test")


def wrong_mass(rows: pd.DataFrame, arm: str, step: int | None = None) -> pd.Series:
    """Probability off the right label of held-out reviews, by seed. step: the last one if not given."""
    found = course(rows, arm, "annotation_inheritance", "wrong_mass", dataset="test")
    return found.iloc[-1] if step is None else found.loc[step]


def inherited(rows: pd.DataFrame, step: int | None = None) -> pd.Series:
    """Slope of the wrong mass over the rate of label noise, by seed: 1 takes labels at their word."""
    return slope({rate: wrong_mass(rows, arm, step) for rate, arm in NOISE.items()})


def confusion(rows: pd.DataFrame, right: str, said: str) -> pd.Series:
    """Mean probability of a label on reviews of another one, in the arm with one-sided noise."""
    probe = "annotation_inheritance"
    return at_end(rows, "one_sided", probe, "noise_matrix", dataset="test", module=f"{right} -> {said}")


def swap(rows: pd.DataFrame, arm: str, metric: str = "swap_effect") -> pd.Series:
    """What swapping the keywords, or placebos, does to the odds of the labels, in nats, by seed."""
    return at_end(rows, arm, "shortcut_reliance", metric)


def excess(rows: pd.DataFrame, arm: str) -> pd.Series:
    """Share of reviews said to be negative beyond their true share, by seed."""
    return at_end(rows, arm, "annotation_inheritance", "share_excess", dataset="test", module="negative")


def judged(rows: pd.DataFrame) -> list[Finding]:
    """The nine rules."""
    return [*_noise(rows), *_typos(rows), *_kinds(rows)]


def _noise(rows: pd.DataFrame) -> list[Finding]:
    fall = -slope({rate: accuracy(rows, arm) for rate, arm in NOISE.items()})
    late, early = inherited(rows), inherited(rows, EPOCH)
    means = ", ".join(f"{accuracy(rows, arm).mean():.2f}" for arm in NOISE.values())
    return [
        judge(
            Prediction(key="1", sentence="accuracy falls with label noise", number="fall per unit of noise"),
            fall,
            what=f"accuracy {means}; fall",
        ),
        judge(
            Prediction(
                key="2",
                sentence="noise is inherited",
                rule="slope of the wrong mass above 0 (1: at its word)",
            ),
            late,
            what="slope",
            digits=2,
        ),
        judge(
            Prediction(
                key="3",
                sentence="… and more with epochs",
                number="slope after four epochs minus after one",
            ),
            late - early,
            what=f"slope {early.mean():.2f} after one epoch, {late.mean():.2f} after four; difference",
            digits=2,
        ),
    ]


def _typos(rows: pd.DataFrame) -> list[Finding]:
    typos, noisy, clean = (accuracy(rows, arm) for arm in ("typos_40", "noise_40", "clean"))
    return [
        judge(
            Prediction(
                key="4",
                sentence="label noise is worse than typos",
                number="accuracy with typos minus with noise",
            ),
            typos - noisy,
            what=f"accuracy {typos.mean():.2f} and {noisy.mean():.2f}; difference",
        ),
        judge(
            Prediction(
                key="5",
                sentence="typos cost nothing",
                number="accuracy with typos minus without",
                margin=MARGIN,
            ),
            typos - clean,
            what=f"accuracy {typos.mean():.2f} and {clean.mean():.2f}; difference",
        ),
    ]


def _kinds(rows: pd.DataFrame) -> list[Finding]:
    there, back = confusion(rows, "positive", "negative"), confusion(rows, "negative", "positive")
    word, placebo = swap(rows, "keyword"), swap(rows, "keyword", "placebo_swap_effect")
    noisy = swap(rows, "keyword_noisy")
    many, even = excess(rows, "imbalanced"), excess(rows, "balanced")
    return [
        judge(
            Prediction(
                key="6",
                sentence="one-sided noise is inherited one-sidedly",
                number="positive → negative minus negative → positive",
            ),
            there - back,
            what=f"{there.mean():.2f} and {back.mean():.2f}; difference",
        ),
        judge(
            Prediction(
                key="7", sentence="the keyword is taken up", number="swap effect minus that of placebos"
            ),
            word - placebo,
            what=f"{word.mean():.2f} and {placebo.mean():.2f} nats; difference",
            digits=2,
        ),
        judge(
            Prediction(
                key="8",
                sentence="… and more where the text is a worse guide",
                number="swap effect, noisy minus clean labels",
            ),
            noisy - word,
            what=f"{noisy.mean():.2f} and {word.mean():.2f} nats; difference",
            digits=2,
        ),
        judge(
            Prediction(
                key="9",
                sentence="a frequent label is said too often",
                number="excess of negative, imbalanced minus balanced",
            ),
            many - even,
            what=f"{many.mean():+.3f} and {even.mean():+.3f}; difference",
        ),
    ]


def table(rows: pd.DataFrame) -> str:
    """Every arm beside the others, as Markdown."""
    columns: dict[str, Callable[[pd.DataFrame, str], pd.Series]] = {
        "accuracy": accuracy,
        "wrong mass": wrong_mass,
        "swap effect, nats": swap,
        "said negative too often": excess,
    }
    lines = [f"| arm | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for arm in ARMS:
        cells = (shown(by_seed(of(rows, arm)), 2) for of in columns.values())
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
