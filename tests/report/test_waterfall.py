from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from sft_probe.report.charts import Chart, Missing, svg
from sft_probe.report.figures_waterfall import waterfall_charts
from sft_probe.report.findings import find
from sft_probe.report.material import Material
from sft_probe.report.numbers import DASH
from sft_probe.report.waterfall import STRATA, estimate, take_apart
from sft_probe.report.words import Words

WORDS = Words()
RIGHT = {  # share of right answers per stratum
    "base": (0.0, 0.0, 0.0),
    "full.format": (0.1, 0.1, 0.1),
    "full.known": (0.5, 0.5, 0.5),
    "full.sham": (0.0, 0.0, 0.0),
    "full.unknown": (0.1, 0.6, 0.7),
    "full": (0.5, 0.8, 1.0),
}
N = 40


def rows(arm: str, seed: int, step: int, metric: str, shares: tuple[float, ...]) -> list[dict[str, object]]:
    """Items of one run at one step; seeds differ in which items are right and by one item in how many."""
    made: list[dict[str, object]] = []
    for stratum, share in zip(STRATA, shares, strict=True):
        right = round(share * N) - (seed if 0 < share < 1 else 0)
        for i in range(N):
            made.append(
                {
                    "run": f"{arm}-seed{seed}",
                    "arm": arm,
                    "seed": seed,
                    "step": step,
                    "probe": "gain_waterfall",
                    "metric": metric,
                    "item": f"{stratum}-{i}",
                    "value": float((i + 7 * seed) % N < right),
                    "dataset": "decompose",
                    "stratum": stratum,
                    "cluster": f"{stratum}-{i // 2}",
                    "prediction": "",
                    "target": "",
                    "prompt": "",
                }
            )
    return made


@pytest.fixture(scope="module")
def apart(material: Material) -> Material:
    """The synthetic study, taken apart: two seeds of every arm."""
    made: list[dict[str, object]] = []
    for arm, seed in product((arm for arm in RIGHT if arm != "base"), (0, 1)):
        made += rows(arm, seed, 30, "strict_accuracy", RIGHT[arm])
        for metric, share in (
            ("strict_accuracy", 0.0),
            ("lenient_accuracy", 0.05),
            ("shuffled_shots_accuracy", 0.0),
            ("shots_accuracy", 0.2),
        ):
            made += rows(arm, 0, 0, metric, (share,) * 3) if not seed else []
            made += [{**row, "seed": seed} for row in rows(arm, 0, 0, metric, (share,) * 3)] if seed else []
    items = pd.concat([material.items, pd.DataFrame(made)], ignore_index=True)
    return replace(
        material, items=items, reference="full", study={**material.study, "decompose": {"items": N}}
    )


def test_steps_add_up_and_have_the_planted_sizes(apart: Material) -> None:
    taken = take_apart(find(apart))
    assert taken is not None
    held_out, paraphrased, verbatim = taken.strata
    assert [stratum.name for stratum in taken.strata] == list(STRATA)
    for stratum in taken.strata:
        assert sum(v.value for v in stratum.steps.values()) == pytest.approx(stratum.total.value, abs=1e-12)
        for step in stratum.steps.values():
            assert step.low < step.value < step.high
    sizes = {name: value.value for name, value in verbatim.steps.items()}
    planted = {"format": 0.1, "elicited": 0.4, "generalised": 0.0, "injected": 0.3, "verbatim": 0.2}
    assert sizes == pytest.approx(planted, abs=0.03)
    assert verbatim.steps["injected"] == paraphrased.steps["injected"]
    assert held_out.scorer.value == pytest.approx(0.05)
    assert held_out.context["elicited"].value == pytest.approx(0.2)
    assert held_out.sham.value == 0
    assert (held_out.items, held_out.clusters, taken.seeds) == (40, 20, 2)
    assert len(verbatim.per_seed["injected"]) == 2


def test_items_come_as_categories_and_may_be_many(apart: Material) -> None:
    """As the store reads them; codes of more than 127 items are wider than those of one stratum."""
    more = [f"other-{i}" for i in range(300)]
    items = apart.items["item"].astype("category").cat.add_categories(more)
    coded = replace(apart, items=apart.items.assign(item=items))
    assert take_apart(find(coded)) == take_apart(find(apart))


def test_the_figure_says_which_step_is_largest_and_shows_every_number(apart: Material) -> None:
    (chart,) = waterfall_charts(find(apart), WORDS)
    assert isinstance(chart, Chart)
    assert chart.title.startswith("On trained facts the largest part of the gain is elicited: +40.0 (")
    assert len(chart.panels) == 3
    assert len(chart.table.rows) == (3 + 4) + (4 + 4) + (5 + 4)
    for place, panel in enumerate(chart.panels):
        assert svg(panel, f"w{place}").startswith("<svg")
        assert "Format" in panel.alt


def test_arms_that_are_not_there_are_named(apart: Material) -> None:
    without = apart.items[apart.items["arm"] != "full.known"]
    (missing,) = waterfall_charts(find(replace(apart, items=without)), WORDS)
    assert isinstance(missing, Missing)
    assert "full.known" in missing.reason


def test_arms_beside_the_steps_may_be_wanting(apart: Material) -> None:
    few = apart.items[~apart.items["arm"].isin(["full.sham", "full.unknown"])]
    (chart,) = waterfall_charts(find(replace(apart, items=few)), WORDS)
    assert isinstance(chart, Chart)
    assert svg(chart.panels[0], "w").startswith("<svg")
    wanting = [row[2] for row in chart.table.rows if row[1].text in ("Sham arm", "Unknown-only arm")]
    assert [cell.text for cell in wanting] == [DASH] * 6
    assert all("no finished run" in cell.why for cell in wanting)


def test_a_study_that_is_not_taken_apart_has_no_such_figure(material: Material) -> None:
    assert waterfall_charts(find(material), WORDS) == []


def test_intervals_cover_the_truth_over_seeds_and_entities() -> None:
    """A difference of two strata with entity and seed effects; nominal 95 %, 60 studies."""
    rng, hit = np.random.default_rng(0), 0
    for _ in range(60):
        clusters = {"a": np.repeat(np.arange(20), 2), "b": np.repeat(np.arange(20), 2)}
        entity = {name: np.repeat(rng.normal(0, 0.3, 20), 2) for name in clusters}
        parts = {
            name: 0.2 + entity[name] + rng.normal(0, 0.05, (4, 1)) + rng.normal(0, 0.3, (4, 40))
            for name in clusters
        }
        found = estimate(parts, clusters)
        hit += found.low <= 0.4 <= found.high
    assert hit >= 54
