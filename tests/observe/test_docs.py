"""The page about observing: its examples run, and it names everything that can be asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

from sft_probe.observe import interventions
from sft_probe.observe.needs import Need
from sft_probe.testing.conformance import check_probe
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

PAGE = (Path(__file__).parents[2] / "docs" / "observing.md").read_text(encoding="utf-8")


def test_the_examples_run() -> None:
    page: dict[str, Any] = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(code, "observing.md", "exec", dont_inherit=True), page)
    measured = check_probe(page["Elicited"](), tiny_tuned(tiny_base()), tiny_base(), tiny_data())
    assert measured.rows == page["measured"].rows


def test_every_need_and_every_intervention_is_named() -> None:
    kinds = [kind.__name__ for kind in get_args(Need)]
    kinds += [kind.__name__ for kind in get_args(interventions.Intervention)]
    kinds += ["Direction", "MeanShift", "Contrast"]
    missing = [kind for kind in kinds if not re.search(rf"`{kind}\b", PAGE)]
    assert not missing
