"""A certificate made up for tests of its rule and its page; none of its numbers was measured."""

from __future__ import annotations

from typing import Any

from sft_probe.calibration.certificate import (
    Base,
    ClassCount,
    Confusion,
    Evidence,
    Made,
    Mutant,
    Null,
    Reaction,
    Recovery,
    Response,
)


def null(probe: str, n: int = 200, rejected: int = 8, **more: Any) -> Null:
    rate = rejected / n if n else None
    limits = {"low": rate and rate / 2, "high": rate and 2 * rate} | more
    return Null(probe=probe, kind="same_weights", level="item", n=n, rejected=rejected, rate=rate, **limits)


def response(probe: str, plant: str = "keyword", *, power: float | None = 0.95, **more: Any) -> Response:
    given: dict[str, Any] = {
        "unit": "agreement",
        "metric": "reliance_index",
        "sign": 1,
        "headline": True,
        "doses": (0.5, 0.7, 0.9),
        "values": ((0.0, 0.1, -0.1), (1.0, 1.2, 0.9), (2.0, 2.1, None)),
        "slope": 5.0,
        "slope_low": 4.0,
        "slope_high": 6.0,
        "trend_p": 0.001,
        "monotone": True,
        "power": (0.05, power, 1.0),
        "middle": 0.7,
        "power_middle": power,
        "lod": 0.7,
        "null_low": -0.2,
        "null_high": 0.2,
    }
    return Response(probe=probe, plant=plant, **(given | more))


def mutant(probe: str, *, caught: bool = True) -> Mutant:
    return Mutant(
        probe=probe,
        name="labels swapped",
        broken="The wrong answer is taken for the right one.",
        check="Seven of ten answers are right.",
        caught=caught,
        probe_value=0.7,
        twin_value=0.3 if caught else 0.7,
        wanted="accuracy from 0.7 to 0.7",
    )


def reaction(probe: str, plant: str, z: float | None, **more: Any) -> Reaction:
    given = {
        "metric": "cka",
        "place": "layer 4",
        "dose": 0.2,
        "limit": 2.5,
        "inside": z is not None and abs(z) <= 2.5,
        "target": False,
    }
    return Reaction(probe=probe, plant=plant, z=z, **(given | more))


def evidence(**parts: Any) -> Evidence:
    given: dict[str, Any] = {
        "base": Base(name="planted", parameters=2_900_000, digest="abc"),
        "made": Made(mode="quick", command="sft-probe calibrate --quick", date="2026-01-02", seeds=(0, 1, 2)),
        "probes": ("shortcut_reliance",),
        "nulls": (null("shortcut_reliance"),),
        "responses": (response("shortcut_reliance"),),
        "mutants": (mutant("shortcut_reliance"),),
    }
    return Evidence(**(given | parts))


def rich() -> Evidence:
    """One of everything, good and bad."""
    recovery = Recovery(
        estimates=((0.5, 0.5, 0.5), (0.6, 0.62, 0.61), (0.8, 0.79, None)),
        bias=-0.12,
        bias_low=-0.15,
        bias_high=-0.09,
        rmse=0.1,
        coverage=0.6,
        n=5,
    )
    rows = (
        ClassCount(
            truth="elicited",
            verdicts={"elicited": 18, "injected": 2},
            sensitivity=0.9,
            specificity=0.95,
            n=20,
        ),
        ClassCount(
            truth="injected",
            verdicts={"elicited": 1, "injected": 19},
            sensitivity=0.95,
            specificity=0.9,
            n=20,
        ),
    )
    return evidence(
        probes=("shortcut_reliance", "annotation_inheritance", "representation_drift", "coherence"),
        nulls=(
            null("shortcut_reliance"),
            null("annotation_inheritance", 30, 3),
            null("representation_drift", 100, 15, low=0.09, high=0.23),
        ),
        responses=(
            response("shortcut_reliance"),
            response("annotation_inheritance", "label_noise", power=0.4, lod=0.9, recovery=recovery),
            response("representation_drift", "drift", power=None, power_middle=None, lod=None),
        ),
        reactions=(
            reaction("shortcut_reliance", "keyword", 14.0, target=True),
            reaction("shortcut_reliance", "label_noise", 0.4),
            reaction("annotation_inheritance", "keyword", -3.2, explained="A keyword moves labels too."),
            reaction("annotation_inheritance", "label_noise", 9.0, target=True),
            reaction("representation_drift", "keyword", 6.1),
            reaction("representation_drift", "label_noise", None, inside=None, why="too few runs"),
        ),
        confusions=(Confusion(probe="gain_waterfall", side="gained", rows=rows, note="Forty facts."),),
        mutants=(
            mutant("shortcut_reliance"),
            mutant("annotation_inheritance"),
            mutant("representation_drift", caught=False),
        ),
        notes=("replay was not run.",),
    )
