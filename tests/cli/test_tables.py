from __future__ import annotations

import math

import pytest

from sft_probe.cli.tables import print_table, shown


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (12345, "12,345"),
        (0.123456, "0.1235"),
        (3.0, "3"),
        (math.inf, "inf"),
        (1e-7, "1e-07"),
        (math.nan, "—"),
        (None, "—"),
        (True, "True"),
    ],
)
def test_cells(cell: object, text: str) -> None:
    assert shown(cell) == text


def test_undefined_is_a_dash_and_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("arm", "value"), [("[red]full", math.nan), ("lora", 0.5)])
    shown_lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert shown_lines[0] == ["arm", "value"]
    assert shown_lines[2:] == [["[red]full", "—"], ["lora", "0.5"]]
