"""A study that is killed at any moment ends, when it is run again, with the tables of one that was not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sft_probe.study.spec import StudySpec

from .killing import run_and_kill, tables

Make = Callable[..., StudySpec]
ARMS = {
    "noisy": {"edits": [{"label_noise": {"rate": 0.5}}]},
    "lora": {"method": "lora", "method_options": {"r": 2}},
    "stops": {"stop": {"well_formed": 0.01, "every": 2, "limit": 4, "max_new_tokens": 4}},
}


def text_of(spec: StudySpec, output_dir: Path) -> str:
    return yaml.safe_dump(spec.model_dump(mode="json") | {"output_dir": str(output_dir)})


def assert_same_tables(one: Path, other: Path) -> None:
    whole = tables(other)
    for name, frame in tables(one).items():
        assert len(frame) > 0
        pd.testing.assert_frame_equal(frame, whole[name], check_exact=True, obj=name)
    assert not list(one.rglob("*.tmp"))


@pytest.mark.slow
def test_a_killed_study_ends_as_if_nothing_had_happened(study: Make, tmp_path: Path) -> None:
    """One folder, killed again and again: while the base is looked at and in either run."""
    spec = study(seeds=[0], arms={"noisy": ARMS["noisy"], "lora": ARMS["lora"]})
    moments = run_and_kill(text_of(spec, tmp_path / "whole"))
    assert moments is not None
    text = text_of(spec, tmp_path / "killed")
    for share in (0.05, 0.35, 0.6):
        assert run_and_kill(text, int(share * moments)) is None
    run_and_kill(text)
    assert_same_tables(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.sweep
def test_a_study_may_be_killed_at_any_moment(study: Make, tmp_path: Path) -> None:
    spec = study(
        seeds=[0],
        max_steps=6,
        schedule={"points": 2},
        arms=ARMS,
        save_model=True,
        probes=["task_alignment", "representation_drift", "token_shift", "forgetting_curve", "weight_change"],
    )
    moments = run_and_kill(text_of(spec, tmp_path / "whole"))
    assert moments is not None
    for kill_at in sorted(random.Random(0).sample(range(moments), 24)):
        text = text_of(spec, tmp_path / str(kill_at))
        assert run_and_kill(text, kill_at) is None
        run_and_kill(text)
        assert_same_tables(tmp_path / str(kill_at), tmp_path / "whole")
