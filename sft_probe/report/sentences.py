"""The findings in plain sentences, never more certain than the intervals."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from sft_probe.report.findings import LENIENT, STRICT
from sft_probe.report.numbers import Value, interval, number, rate, with_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sft_probe.report.findings import Findings, Growth
    from sft_probe.report.material import Arm
    from sft_probe.report.summaries import Change
    from sft_probe.report.words import Words


def verdict(found: Findings, words: Words) -> list[str]:
    """Two to four plain sentences, never more certain than the intervals."""
    sentences = [_learned_sentence(found, words), _form_sentence(found, words)]
    sentences += [_kept_sentence(found, words), _growth_sentence(found, words)]
    return [sentence for sentence in sentences if sentence]


def points(value: Change, words: Words) -> str:
    """ "+94.6 points (92.1 to 97.0)"; if only these seeds show it, with the interval for new seeds too."""
    limits = interval(value.estimate, "points", words.interval_word())
    if value.direction and value.anew.low <= 0 <= value.anew.high:
        limits += words("new_seeds", limits=interval(value.anew, "points", words.interval_word()))
    shown = words("points", value=number(value.estimate.value, "points"))
    return f"{shown} ({limits})" if limits else shown


def detectable(changes: Iterable[Change]) -> str:
    """The largest of the smallest detectable changes, in points without sign."""
    sizes = [c.detectable for c in changes if isfinite(c.detectable)]
    return number(max(sizes), "size") if sizes else "?"


def base_share(found: Findings, metric: str) -> Value:
    """The base model's share on the task, NaN if it was not measured."""
    rows = found.of_main_data(found.rows(metric, end=False))
    rows = rows[rows["step"] == 0]
    if rows.empty:
        return Value(float("nan"))
    first = rows.iloc[0]
    return Value(float(first["value"]), float(first["ci_low"]), float(first["ci_high"]))


def _learned_sentence(found: Findings, words: Words) -> str:
    best = found.best()
    if best is None:
        return words("verdict.no_task")
    gain = found.learned[best.name]
    learners = [arm for arm in found.arms if found.shown_learned[arm.name] > 0]
    others = [arm for arm in found.arms if found.shown_learned[arm.name] <= 0]
    mde = detectable(found.learned[arm.name] for arm in others)
    if not learners:
        return " ".join(
            part
            for part in (words("verdict.learned_none", mde=mde), _likelihood_sentence(found, words))
            if part
        )
    values = {"before": number(base_share(found, STRICT).value, "share", 0), "best": best.label}
    values["change"] = points(gain, words)
    if others:
        names = words.listed(arm.label for arm in learners)
        rest = words.listed(arm.label for arm in others)
        return words("verdict.learned_some", names=names, others=rest, mde=mde, **values)
    return words("verdict.learned_one" if len(learners) == 1 else "verdict.learned_all", **values)


def _likelihood_sentence(found: Findings, words: Words) -> str:
    """What a strict score of zero hides: the expected answers may have become likelier all the same."""
    likelier = [arm for arm in found.arms if found.shown_likelihood[arm.name] > 0]
    if not likelier:
        return ""
    best = max(likelier, key=lambda arm: found.likelihood[arm.name].estimate.value)
    gain = with_interval(found.likelihood[best.name].estimate, "signed", words.interval_word())
    if len(likelier) == len(found.arms) > 1:
        return words("verdict.likelier_all", best=best.label, change=gain)
    if len(likelier) == 1:
        return words("verdict.likelier_one", best=best.label, change=gain)
    names = words.listed(arm.label for arm in likelier)
    return words("verdict.likelier", names=names, best=best.label, change=gain)


def _form_sentence(found: Findings, words: Words) -> str:
    best = found.best()
    if best is None or found.shown_learned[best.name] <= 0 or found.shown_form.get(best.name, 0) <= 0:
        return ""
    return words(
        "verdict.form",
        base=number(base_share(found, LENIENT).value, "share", 0),
        lenient=points(found.lenient[best.name], words),
        best=best.label,
    )


def _kept_sentence(found: Findings, words: Words) -> str:
    if found.worst() is None:
        return words("verdict.no_benchmarks")
    losers = [arm for arm in found.arms if found.shown_kept[arm.name] < 0]
    losers.sort(key=lambda arm: found.kept[arm.name].estimate.value)
    partly = [arm for arm in found.arms if found.shown_kept[arm.name] >= 0 and found.lost_on[arm.name]]
    open_ones = [arm for arm in found.arms if found.shown_kept[arm.name] == 0 and arm not in partly]
    shaken = [arm for arm in open_ones if found.less_sure_on.get(arm.name)]
    unharmed = [arm for arm in open_ones if arm not in shaken and found.unharmed.get(arm.name)]
    unclear = [arm for arm in open_ones if arm not in shaken and arm not in unharmed]
    if not losers and not partly and not open_ones:
        return words("verdict.all_gained")
    lost = words.listed_apart(f"{arm.label} {points(found.kept[arm.name], words)}" for arm in losers)
    single = words.listed_apart(
        words("on_benchmark", arm=arm.label, task=task, change=points(found.kept_by[arm.name, task], words))
        for arm in partly
        for task in found.lost_on[arm.name]
    )
    parts = (
        words("verdict.lost", list=lost) if losers else "",
        words("verdict.lost_single", list=single) if partly else "",
        _shaken_sentence(found, shaken, words) if shaken else "",
        _unharmed_sentence(found, unharmed, words) if unharmed else "",
        words("verdict.no_loss", **_undecided(found, unclear, words)) if unclear else "",
    )
    return " ".join(part for part in parts if part)


def _shaken_sentence(found: Findings, shaken: Sequence[Arm], words: Words) -> str:
    margins = words.listed_apart(
        words(
            "on_benchmark",
            arm=arm.label,
            task=task,
            change=with_interval(margin, "signed", words.interval_word()),
        )
        for arm in shaken
        for task, margin in found.less_sure_on[arm.name].items()
    )
    return words("verdict.less_sure", list=margins, **_undecided(found, shaken, words))


def _unharmed_sentence(found: Findings, arms: Sequence[Arm], words: Words) -> str:
    changes = words.listed_apart(f"{arm.label} {points(found.kept[arm.name], words)}" for arm in arms)
    return words("verdict.unharmed", margin=number(found.margin, "size"), list=changes)


def _undecided(found: Findings, arms: Sequence[Arm], words: Words) -> dict[str, str]:
    return {
        "names": words.listed(arm.label for arm in arms),
        "mde": detectable(found.kept[arm.name] for arm in arms),
    }


def _growth_sentence(found: Findings, words: Words) -> str:
    shown = [growth for growth in found.growth if growth.shown < 0]
    return words("verdict.growth", list=growth_list(found, shown[0], words)) if shown else ""


def growth_list(found: Findings, growth: Growth, words: Words) -> str:
    """The pooled change of each arm with its learning rate, slowest first."""
    return words.listed(
        words(
            "at_rate",
            change=words("points", value=number(found.kept[arm.name].estimate.value, "points")),
            rate=rate(arm.learning_rate or 0.0),
        )
        for arm in growth.arms
    )
