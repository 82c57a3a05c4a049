from __future__ import annotations

import pandas as pd
import pytest

from analyses.regularisers.rules import HELD, above_curve, outcome


def arms(**places: tuple[float, float]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(places, orient="index", columns=["learned", "kept"])


def test_an_arm_is_compared_with_the_curve_at_what_it_learned() -> None:
    found = above_curve(
        arms(
            **{"rate_1e-4": (0.2, 0.8), "rate_2e-3": (0.6, 0.4)},
            held=(0.5, 0.6),  # the curve keeps 0.5 there
            weak=(0.1, 0.7),  # before its beginning, where it stays at 0.8
        )
    )
    assert found.above["held"] == pytest.approx(0.1)
    assert found.above["weak"] == pytest.approx(-0.1)
    assert found.above["rate_2e-3"] == pytest.approx(0.0)


def test_rules_are_met_and_not_met() -> None:
    places = dict.fromkeys((*HELD, "lora", "lora_merge"), (0.6, 0.5))
    free = {"rate_1e-4": (0.2, 0.8), "rate_2e-3": (0.6, 0.4), "label_smoothing": (0.6, 0.4)}
    said = outcome(above_curve(arms(**places, **free)))
    assert said.count("**met**") == 4
    assert "3. L2-SP and EWC lie on the curve | **not met**" in said
