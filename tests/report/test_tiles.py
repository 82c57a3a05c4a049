from __future__ import annotations

from dataclasses import replace

from sft_probe.report.findings import Findings
from sft_probe.report.tiles import HEIGHT, WIDTH, tiles
from sft_probe.report.words import Words


def test_five_tiles_in_order_with_number_and_interval(found: Findings) -> None:
    made = tiles(found, Words())
    assert [tile.axis for tile in made] == ["what", "when", "where", "cost", "sure"]
    assert made[0].headline.startswith("+")
    assert "to" in made[0].limits
    assert made[3].headline.startswith("\u2212")
    assert made[4].limits == "300 items, means of 2 seeds"


def test_curves_stay_in_their_box_and_have_a_line_per_arm(found: Findings) -> None:
    for tile in tiles(found, Words())[:4]:
        assert len(tile.curves) == 3
        for curve in tile.curves:
            for point in curve.points.split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT


def test_a_watched_study_without_gain_says_so(found: Findings) -> None:
    flat = found.summary.assign(ci_low=-9.0, ci_high=9.0)
    tile = tiles(replace(found, summary=flat), Words())[1]
    assert "no gain was shown" in tile.caption


def test_arms_keep_the_order_of_the_study(found: Findings) -> None:
    order = [arm.name for arm in found.arms]
    for metric in ("exact_match", "relative_drift", "accuracy"):
        assert list(dict.fromkeys(found.rows(metric)["arm"])) == order
