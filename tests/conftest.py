"""Settings of all tests.

Nothing needs the network; these switches make a stray request fail at once. A law holds however slow the
machine is, so hypothesis sets no time limit per example. Workers that run side by side take one thread each.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("laws", deadline=None)
settings.load_profile("laws")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that train a planted study for minutes are marked `sweep` besides `slow`."""
    for item in items:
        if "planted_study" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.sweep)
