"""Commands and code of the pages run as they stand, or say why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .pages import FENCE, RUNNABLE, Block, blocks_of, commands_in, pages, run_page, text_of

BLOCKS = [block for page in pages() for block in blocks_of(page) if block.language in RUNNABLE]
ELSEWHERE = ("docs/in_your_code.md", "docs/observing.md")  # run by tests that look at what comes out
RUN = sorted({b.page for b in BLOCKS if not b.reason} - {*ELSEWHERE})
NOT_RUN = 16


def test_there_are_pages_to_run() -> None:
    assert {"docs/tutorial.md", "docs/how-to/own_data.md", "docs/how-to/own_model.md"} <= {*RUN}
    assert {"docs/how-to/own_probe.md"} <= {*RUN}


def test_blocks_that_are_not_run_are_counted() -> None:
    found = [f"{b.page}:{b.line} {b.reason}" for b in BLOCKS if b.reason]
    assert len(found) == NOT_RUN, "\n".join(found)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_only_our_own_command_is_run(block: Block) -> None:
    if not block.reason and block.language != "python":
        assert {words[0] for words, _ in commands_in(block.code)} == {"sft-probe"}


@pytest.mark.parametrize("page", pages())
def test_no_command_hides_in_an_indented_block(page: str) -> None:
    """A fence says what it is; four spaces say nothing and would escape these tests."""
    outside = FENCE.sub("", text_of(page)).splitlines()
    assert not [line for line in outside if re.match(r" {4,}(sft-probe|python|pip|import|from) ", line)]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_page_runs(page: str, place: Path) -> None:
    run_page(page)
