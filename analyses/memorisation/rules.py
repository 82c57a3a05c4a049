"""Exposure of planted secrets, by repeats and at equal learning: the pass rules of README.md."""

from __future__ import annotations

from math import nan

import pandas as pd

from analyses.outcomes import Finding, Prediction, by_seed, judge, shown
from analyses.readings import at_end, course
from sft_probe.measures.frontier import first_at

FULL, LORA, HEAD = "full", "lora", "head"
PROBE = "memorisation"


def learned(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Rise of the log-likelihood per token of held-out answers: steps down, seeds across."""
    found = course(rows, arm, "task_alignment", "answer_logprob")
    return found - found.iloc[0]


def exposed(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Mean exposure of all planted secrets in bits: steps down, seeds across."""
    return course(rows, arm, PROBE, "exposure", dataset="canaries")


def of_repeats(rows: pd.DataFrame, arm: str, repeats: int) -> pd.Series:
    """Mean exposure of the secrets planted so often, at the end, by seed."""
    return at_end(rows, arm, PROBE, "exposure", dataset="canaries", stratum=f"{repeats} times")


def doses(rows: pd.DataFrame) -> list[int]:
    """How often secrets were planted, ascending; 0 for those set aside."""
    strata = rows.loc[(rows["probe"] == PROBE) & (rows["metric"] == "exposure"), "stratum"]
    return sorted({int(name.removesuffix(" times")) for name in strata if name})


def at_level(learned: pd.Series, exposed: pd.Series, level: float) -> float:
    """Exposure where a path first learned so much, linear between looks; NaN if it never did."""
    place = first_at(learned.to_numpy(float), level)
    return nan if place is None else float(place.of(exposed.to_numpy(float)))


def at_equal_learning(rows: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """Exposure of two arms where both have learned what the less able one learned at most: by seed, the
    `level`, and each arm. NaN where an arm learned nothing.
    """
    paths = {arm: (learned(rows, arm), exposed(rows, arm)) for arm in (one, other)}
    found = {}
    for seed in sorted(set.intersection(*(set(path[0].columns) for path in paths.values()))):
        level = min(float(path[0][seed].max()) for path in paths.values())
        level = level if level > 0 else nan
        found[seed] = {"level": level} | {
            arm: at_level(gain[seed], secret[seed], level) for arm, (gain, secret) in paths.items()
        }
    return pd.DataFrame.from_dict(found, orient="index")


def judged(rows: pd.DataFrame) -> list[Finding]:
    """The five rules."""
    once, aside = of_repeats(rows, FULL, 1), of_repeats(rows, FULL, 0)
    return [
        *(_doubling(rows, key, arm) for key, arm in (("1", FULL), ("2", LORA))),
        judge(
            Prediction(
                key="3",
                sentence="to stand once among the rows is enough",
                number="exposure once minus set aside",
            ),
            once - aside,
            what=f"{once.mean():.1f} and {aside.mean():.1f} bits; difference",
            digits=2,
        ),
        _equal(rows, "4", "LoRA memorises less at equal learning", FULL, LORA),
        _equal(rows, "5", "the head memorises more than full fine-tuning at equal learning", HEAD, FULL),
    ]


def _doubling(rows: pd.DataFrame, key: str, arm: str) -> Finding:
    return judge(
        Prediction(key=key, sentence=f"exposure grows with repeats, {arm}", number="bits per doubling"),
        at_end(rows, arm, PROBE, "exposure_per_doubling"),
        what="bits per doubling",
        digits=2,
    )


def _equal(rows: pd.DataFrame, key: str, sentence: str, more: str, less: str) -> Finding:
    found = at_equal_learning(rows, more, less)
    return judge(
        Prediction(key=key, sentence=sentence, number=f"exposure, {more} minus {less}"),
        found[more] - found[less],
        what=f"{found[more].mean():.1f} and {found[less].mean():.1f} bits at a rise of "
        f"{found['level'].mean():.2f} nats/token; difference",
        digits=2,
    )


def table(rows: pd.DataFrame) -> str:
    """Exposure by repeats and arm at the end, as Markdown."""
    counts = doses(rows)
    lines = [f"| arm | {' | '.join(f'{n} times' for n in counts)} |", "|---" * (len(counts) + 1) + "|"]
    for arm in (FULL, LORA, HEAD):
        cells = (shown(by_seed(of_repeats(rows, arm, n)), 1) for n in counts)
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "Exposure in bits at the end, by repeats:\n\n" + "\n".join(lines) + "\n"
