from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from analyses.bad_labels.rules import ARMS, inherited, judged, table
from analyses.outcomes import Outcome

Tidy = Callable[..., pd.DataFrame]
YES, NO, OPEN = Outcome.REPRODUCED, Outcome.NOT_REPRODUCED, Outcome.INCONCLUSIVE
PUBLISHED: dict[str, dict[str, float]] = {
    "clean": {"accuracy": 1.0, "early": 0.0, "late": 0.0},
    "noise_20": {"accuracy": 0.95, "early": 0.1, "late": 0.2},
    "noise_40": {"accuracy": 0.8, "early": 0.2, "late": 0.4},
    "typos_40": {"accuracy": 0.99},
    "imbalanced": {"excess": 0.1},
    "keyword": {"swap": 2.0},
    "keyword_noisy": {"swap": 3.0},
    "one_sided": {"there": 0.4, "back": 0.1},
}
OPPOSITE: dict[str, dict[str, float]] = {
    "clean": {"accuracy": 0.8, "early": 0.4, "late": 0.4},
    "noise_20": {"accuracy": 0.9, "early": 0.3, "late": 0.2},
    "noise_40": {"accuracy": 0.95, "early": 0.3, "late": 0.1},
    "typos_40": {"accuracy": 0.7},
    "imbalanced": {"excess": -0.1},
    "keyword": {"swap": -1.0},
    "keyword_noisy": {"swap": -2.0},
    "one_sided": {"there": 0.1, "back": 0.4},
}


def trained(tidy: Tidy, *seeds: dict[str, dict[str, float]]) -> pd.DataFrame:
    """All arms; what a seed does not say of one is 0."""
    parts = []
    for arm in ARMS:

        def of(name: str, arm: str = arm) -> list[float]:
            return [seed.get(arm, {}).get(name, 0.0) for seed in seeds]

        own, words, noise = "annotation_inheritance", "shortcut_reliance", {25: of("early"), 100: of("late")}
        parts += [
            tidy(arm, "task_alignment", "choice_accuracy", {100: of("accuracy")}, dataset="test"),
            tidy(arm, own, "wrong_mass", noise, dataset="test"),
            tidy(arm, own, "wrong_mass", noise, dataset="train", stratum="label kept"),
            tidy(arm, own, "share_excess", {100: of("excess")}, dataset="test", module="negative"),
            tidy(arm, words, "swap_effect", {100: of("swap")}, dataset="test"),
            tidy(arm, words, "placebo_swap_effect", {100: of("placebo")}, dataset="test"),
        ]
    for module, name in (("positive -> negative", "there"), ("negative -> positive", "back")):
        values = {100: [seed["one_sided"][name] for seed in seeds]}
        parts.append(
            tidy("one_sided", "annotation_inheritance", "noise_matrix", values, dataset="test", module=module)
        )
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("seeds", "outcome"),
    [
        ((PUBLISHED,) * 3, YES),
        ((OPPOSITE,) * 3, NO),
        ((PUBLISHED, OPPOSITE, PUBLISHED), OPEN),
        ((PUBLISHED,), OPEN),
    ],
)
def test_every_rule_can_end_in_each_way(
    tidy: Tidy, seeds: tuple[dict[str, dict[str, float]], ...], outcome: Outcome
) -> None:
    assert [finding.outcome for finding in judged(trained(tidy, *seeds))] == [outcome] * 9


def test_the_slope_is_one_where_labels_are_taken_at_their_word(tidy: Tidy) -> None:
    rows = trained(tidy, PUBLISHED)
    assert inherited(rows)[0] == pytest.approx(1.0)
    assert inherited(rows, 25)[0] == pytest.approx(0.5)


def test_every_arm_has_its_line(tidy: Tidy) -> None:
    text = table(trained(tidy, PUBLISHED, PUBLISHED))
    assert "| noise_40 | 0.80 (all seeds alike; 2 seeds) | 0.40 (all seeds alike; 2 seeds) |" in text
    assert all(f"| {arm} |" in text for arm in ARMS)


@pytest.mark.slow
def test_the_smallest_run_ends_with_a_page(smallest: Callable[..., str]) -> None:
    from analyses.bad_labels.run import main

    noise = {f"noise_{rate}": f"edits: [label_noise: {{rate: 0.{rate}}}], " for rate in (20, 40)}
    words = "keyword: {agreement: 0.9}"
    page = smallest(
        main,
        "max_steps=1",
        "per_device_train_batch_size=1",
        "data.max_test_rows=8",
        *(f"arms.{arm}={{{edits}max_steps: 25}}" for arm, edits in ({"clean": ""} | noise).items()),
        f"arms.keyword={{edits: [{words}]}}",
        f"arms.keyword_noisy={{edits: [label_noise: {{rate: 0.2}}, {words}]}}",
        "probes=[{task_alignment: {max_new_tokens: 2}}, {annotation_inheritance: {limit: 8}}, "
        "{shortcut_reliance: {words: [quartz, walnut], pairs: 0, limit: 4}}]",
    )
    assert page.count("**inconclusive**") == 9
    assert "![label noise](label_noise.svg)" in page
