from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sft_probe.errors import ModelError
from sft_probe.execute.local import run_study
from sft_probe.execute.pairs import Pairs, probe_checkpoints
from sft_probe.schema import TRAINING
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import ModelSpec, ProbeSpec, StudySpec

Make = Callable[..., StudySpec]


def pairs(study: StudySpec, tuned: tuple[str, ...], output_dir: Path) -> Pairs:
    return Pairs(
        base=study.base,
        tuned=tuned,
        data=str(study.data.test),
        output_dir=output_dir,
        probes=(
            ProbeSpec(name="task_alignment", options={"max_new_tokens": 6}),
            ProbeSpec(name="weight_change"),
        ),
    )


def test_saved_checkpoints_measure_as_they_did_in_training(study: Make, tmp_path: Path) -> None:
    data = study().data
    spec = study(
        seeds=[0],
        save_model=True,
        data={"train": data.train, "test": data.test},
        probes=[{"task_alignment": {"max_new_tokens": 6}}, "weight_change"],
    )
    run_study(spec)
    saved = tmp_path / "saved"
    saved.mkdir()
    for arm in ("full", "lora"):
        (spec.output_dir / f"runs/{arm}-seed0/model").rename(saved / arm)
    output_dir = tmp_path / "compared"
    probe_checkpoints(pairs(spec, (str(saved / "full"), str(saved / "lora")), output_dir))
    compared, watched = RunStore(output_dir).measurements(), RunStore(spec.output_dir).measurements()
    watched = watched[watched.probe != TRAINING]
    keys = ["arm", "probe", "metric", "layer", "module", "stratum"]
    for arm in ("full", "lora"):
        after = compared[(compared.arm == arm) & (compared.step == 1)].sort_values(keys)
        last = watched[(watched.arm == arm) & (watched.step == 3)].sort_values(keys)
        last = last[last.probe != TRAINING]  # finished checkpoints were not trained here
        pd.testing.assert_series_equal(
            after.value.reset_index(drop=True), last.value.reset_index(drop=True), rtol=1e-4, atol=1e-5
        )


def test_names_must_differ(study: Make, tmp_path: Path) -> None:
    spec = study()
    same = (str(tmp_path / "a/model"), str(tmp_path / "b/model"))
    with pytest.raises(ModelError, match="taken by another"):
        probe_checkpoints(pairs(spec, same, tmp_path / "out"))


def test_a_checkpoint_of_another_shape_is_refused(study: Make, tmp_path: Path) -> None:
    spec = study()
    with pytest.raises(ModelError, match="no such model folder"):
        probe_checkpoints(pairs(spec, (str(tmp_path / "missing"),), tmp_path / "out"))


def test_the_base_may_be_named_by_folder(study: Make) -> None:
    assert isinstance(study().base, ModelSpec)
