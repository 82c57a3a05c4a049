from collections.abc import Callable

import pytest

from sft_probe.schema import Measurement, Measurements

Find = Callable[..., Measurement]


@pytest.fixture
def find() -> Find:
    """The one row of a metric at a place: `find(found, "cka", layer=2)`; strata and modules default to ""."""

    def find_row(found: Measurements, metric: str, **where: object) -> Measurement:
        place = {"stratum": "", "module": "", **where}
        (row,) = (
            row
            for row in found.rows
            if row.metric == metric and all(getattr(row, key) == value for key, value in place.items())
        )
        return row

    return find_row
