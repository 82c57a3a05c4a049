"""A study launched in two processes measures what one process measures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from sft_probe.errors import SpecError
from sft_probe.execute.local import run_study
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec, TrainingSpec
from sft_probe.study.yaml import dump_study
from sft_probe.testing.tiny import tiny_model, tiny_tokenizer
from sft_probe.train.sft import batch_of_each

Make = Callable[..., StudySpec]
TOLERANCE = 1e-4
KEYS = ["run", "step", "probe", "metric", "dataset", "stratum", "layer", "module"]


@pytest.mark.parametrize(
    ("size", "passes", "count", "expected"),
    [(16, 1, 2, (8, 1)), (16, 4, 2, (16, 2)), (6, 2, 4, (3, 1)), (5, 3, 3, (5, 1)), (5, 1, 1, (5, 1))],
)
def test_a_step_takes_the_same_rows(size: int, passes: int, count: int, expected: tuple[int, int]) -> None:
    training = TrainingSpec(per_device_train_batch_size=size, gradient_accumulation_steps=passes)
    each = batch_of_each(training, count)
    assert tuple(each.values()) == expected
    assert expected[0] * expected[1] * count == size * passes


def test_rows_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(SpecError, match=r"the 5 rows of .* 2 processes\. Take a multiple of 2"):
        batch_of_each(TrainingSpec(per_device_train_batch_size=5), 2)


@pytest.mark.slow
def test_two_processes_measure_what_one_measures(study: Make, tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny_model(dropout=0.0).save_pretrained(model)  # two processes draw other dropout than one
    tiny_tokenizer().save_pretrained(model)
    lora = {"method": "lora", "method_options": {"r": 2}, "gradient_accumulation_steps": 2}
    changes = {
        "model_name_or_path": str(model),
        "seeds": [0],
        "arms": {"full": {}, "lora": lora},
        "probes": [
            {"task_alignment": {"max_new_tokens": 6}},
            {"token_shift": {"dataset": "test"}},
            {"representation_drift": {"dataset": "test"}},
            "weight_change",
        ],
    }
    one, two = study(**changes), study(**changes, output_dir=str(tmp_path / "two"))
    run_study(one)
    file = tmp_path / "study.yaml"
    file.write_text(dump_study(two), encoding="utf-8")
    assert yaml.safe_load(file.read_text("utf-8"))["output_dir"] == str(two.output_dir)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", "sft_probe", "run", str(file)],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == str(two.output_dir / "report.html")  # one process reports
    ours, theirs = (RunStore(spec.output_dir).measurements().set_index(KEYS) for spec in (one, two))
    pd.testing.assert_index_equal(ours.index, theirs.index)
    for column in ("value", "se", "ci_low", "ci_high", "null_value"):
        pd.testing.assert_series_equal(ours[column], theirs[column], rtol=TOLERANCE, atol=TOLERANCE)
    pd.testing.assert_series_equal(ours.n, theirs.n)
    ours, theirs = (RunStore(spec.output_dir).items().drop(columns="by_token") for spec in (one, two))
    pd.testing.assert_frame_equal(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)
