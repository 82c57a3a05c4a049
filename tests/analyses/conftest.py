"""Hand-made tables as a store would hold them, and analyses run at their smallest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Tidy = Callable[..., pd.DataFrame]
BLANK = {"dataset": "", "stratum": "", "module": "", "layer": -1, "null_value": nan}


@pytest.fixture
def tidy() -> Tidy:
    """A number of one arm: values by step, each a list with one value per seed; other columns by name."""

    def made(
        arm: str, probe: str, metric: str, by_step: Mapping[int, list[float]], **place: Any
    ) -> pd.DataFrame:
        key = {"arm": arm, "probe": probe, "metric": metric}
        return pd.DataFrame(
            [
                {**BLANK, **place, **key, "seed": seed, "step": step, "value": value}
                for step, values in by_step.items()
                for seed, value in enumerate(values)
            ]
        )

    return made


@pytest.fixture
def smallest(tmp_path: Path) -> Callable[..., str]:
    """Run the `main` of an analysis with one seed and these settings; gives the text of its page."""

    def run(main: Callable[[Sequence[str]], int], *settings: str, report: bool = True) -> str:
        argv = ["-o", str(tmp_path / "run"), "--reports", str(tmp_path / "page"), "--seeds", "1"]
        argv += [word for key in settings for word in ("--set", key)]
        assert main(argv if report else [*argv, "--no-report"]) == 0
        return (tmp_path / "page" / "README.md").read_text("utf-8")

    return run
