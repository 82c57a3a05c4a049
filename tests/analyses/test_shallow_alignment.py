from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from analyses.outcomes import Outcome
from analyses.shallow_alignment.rules import after, depths, judged, rates, success

Tidy = Callable[..., pd.DataFrame]
YES, NO, OPEN = Outcome.REPRODUCED, Outcome.NOT_REPRODUCED, Outcome.INCONCLUSIVE
PUBLISHED = {
    "shallow_news": {"rate": (0.9, 0.3), "half": 2.0, "attacks": (0.2, 0.9)},
    "shallow_questions": {"rate": (0.9, 0.5), "half": 2.0, "attacks": (0.2, 0.9)},
    "deep_news": {"rate": (0.9, 0.7), "half": 2.0, "attacks": (0.1, 0.2)},
}
OPPOSITE = {
    "shallow_news": {"rate": (0.2, 0.2), "half": 9.0, "attacks": (0.3, 0.3)},
    "shallow_questions": {"rate": (0.2, 0.4), "half": 9.0, "attacks": (0.3, 0.3)},
    "deep_news": {"rate": (0.4, 0.1), "half": 9.0, "attacks": (0.5, 0.6)},
}


def looked_at(tidy: Tidy, *seeds: dict[str, dict[str, tuple[float, ...] | float]]) -> pd.DataFrame:
    """Three looks at each arm: before, after the first stage (100), after the second (130)."""
    parts = []
    for arm in PUBLISHED:
        found = [seed[arm] for seed in seeds]
        rate = {100: [one["rate"][0] for one in found], 130: [one["rate"][1] for one in found]}
        parts.append(tidy(arm, "refusal", "refusal_rate", {0: [0.0] * len(seeds), **rate}))
        parts.append(
            tidy(arm, "refusal", "over_refusal_rate", {s: [0.1] * len(seeds) for s in (0, 100, 130)})
        )
        half = [one["half"] for one in found]
        parts.append(tidy(arm, "refusal", "refusal_kl_half_depth", {0: half, 100: half, 130: half}))
        for depth, place in ((1, 0), (4, 1)):
            attacks = [one["attacks"][place] for one in found]
            parts.append(
                tidy(
                    arm,
                    "refusal",
                    "attack_success_rate",
                    {0: [1.0] * len(seeds), 100: attacks, 130: [1.0] * len(seeds)},
                    module=f"{depth}",
                )
            )
    return pd.concat(parts)


def outcomes(rows: pd.DataFrame) -> list[Outcome]:
    return [finding.outcome for finding in judged(rows)]


def test_published_findings_pass_their_rules(tidy: Tidy) -> None:
    rows = looked_at(tidy, PUBLISHED, PUBLISHED, PUBLISHED)
    assert outcomes(rows) == [YES] * 6
    assert depths(rows) == [1, 4]
    assert list(success(rows, "shallow_news", 0)) == pytest.approx([0.1] * 3)
    assert list(success(rows, "shallow_news", 4, stage=2)) == [1.0] * 3


def test_the_opposite_fails_and_no_erosion_at_all_stays_open(tidy: Tidy) -> None:
    # four tokens make attacks no likelier than none (0.3 against 0.8); news takes no refusal away in any seed
    found = outcomes(looked_at(tidy, OPPOSITE, OPPOSITE, OPPOSITE))
    assert found == [NO, NO, NO, OPEN, NO, NO]


def test_seeds_that_disagree_leave_all_open(tidy: Tidy) -> None:
    assert outcomes(looked_at(tidy, PUBLISHED, OPPOSITE, PUBLISHED)) == [OPEN] * 6


def test_the_second_look_is_the_end_of_the_first_stage(tidy: Tidy) -> None:
    rows = looked_at(tidy, PUBLISHED)
    assert after(rows, "deep_news", 1, "refusal_rate")[0] == 0.9
    with pytest.raises(ValueError, match="has 2 looks"):
        after(rows[rows["step"] > 0], "deep_news", 1, "refusal_rate")
    assert rates(rows).count("| deep_news |") == 3


@pytest.mark.slow
def test_the_smallest_run_ends_with_a_page(smallest: Callable[..., str]) -> None:
    from analyses.shallow_alignment.run import main

    stages = "[sft, {sft: {data: news, max_steps: 1}}]"
    page = smallest(
        main,
        "max_steps=1",
        "data.max_test_rows=24",
        f"arms.shallow_news={{stages: {stages}}}",
        f"arms.shallow_questions={{stages: {stages}}}",
        f"arms.deep_news={{edits: [recovery: {{words: 2}}], stages: {stages}}}",
        "probes=[{refusal: {limit: 4, max_new_tokens: 4, depths: [1, 4], draws: 2}}]",
    )
    assert page.count("**inconclusive**") == 6
    assert "![attacks by depth](attacks_by_depth.svg)" in page
