"""A look that several processes share is the look of one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from sft_probe.observe.interventions import Ablate, Contrast
from sft_probe.observe.needs import (
    Generations,
    Need,
    Scores,
    StateLikeness,
    States,
    TokenDivergence,
    TokenLogprobs,
    Unembedding,
    Weights,
)
from sft_probe.observe.observer import Observer
from sft_probe.observe.ranks import Ranks, divided, join, join_parts
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

DIVISIBLE = (
    Scores(dataset="test"),
    Scores(dataset="test", limit=7),
    TokenLogprobs(dataset="test", contexts="base", max_new_tokens=4),
    Generations(dataset="test", max_new_tokens=4),
    Generations(dataset="test", max_new_tokens=4, temperature=1.0, n=3),
    TokenDivergence(dataset="test", contexts="tuned", max_new_tokens=4),
    TokenDivergence(dataset="text"),
    States(dataset="test"),
)


def test_alone_one_is_the_first_and_gathers_its_own() -> None:
    assert Ranks.here() == join(cpu=True) == Ranks()
    assert Ranks().first
    assert Ranks().gather("a") == ["a"]


def test_every_need_is_seen_by_someone_and_parts_by_all() -> None:
    direction = Contrast(dataset="test", field="refused")
    ablated = Scores(dataset="test", under=(Ablate(direction),))
    whole: list[Need] = [StateLikeness(dataset="test"), ablated, Scores(dataset="test", limit=2)]
    needs = [*DIVISIBLE, *whole, Weights(), Unembedding()]
    found = [divided(needs, Ranks(rank, 3), lambda need: need.limit or 11) for rank in range(3)]
    assert all(parts == list(DIVISIBLE) for parts, _ in found)
    assert [own for _, own in found] == [[need, Weights(), Unembedding()] for need in whole]


@pytest.mark.parametrize("need", DIVISIBLE, ids=lambda need: type(need).__name__)
def test_parts_make_the_whole(need: Need) -> None:
    base = tiny_base()
    tuned, data = tiny_tuned(base), tiny_data(11)
    whole = Observer(base, data).look(tuned, [need])[need]
    parts = []
    for rank in range(3):
        observer = Observer(base, data)
        observer._rendering = observer._rendering.part(rank, 3)
        parts.append(observer.look(tuned, [need])[need])
    joined = join_parts(parts, whole.examples)
    for name in (f.name for f in fields(whole)):
        ours, theirs = getattr(joined, name), getattr(whole, name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)
        elif isinstance(theirs, tuple) and theirs and isinstance(theirs[0], np.ndarray):
            for own, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(own, other, atol=1e-4, rtol=1e-4)
        else:
            assert ours == theirs


@pytest.mark.slow
def test_a_model_in_shards_looks_like_one_that_is_whole() -> None:
    script = Path(__file__).with_name("shards.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, str(script)],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
