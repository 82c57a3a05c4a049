"""What probes measure stands in the trackers under names that stay the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from transformers import Trainer, TrainingArguments

from sft_probe.errors import SpecError
from sft_probe.execute.watching import watch
from sft_probe.models.load import fresh_copy
from sft_probe.schema import NAN, Measurement, Measurements
from sft_probe.testing.tiny import tiny_base, tiny_data
from sft_probe.train.trackers import WRITERS, check_trackers, open_trackers, tracked_as, tracked_name


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({}, "probe/p/m"),
        ({"dataset": "test"}, "probe/p/m/test"),
        ({"dataset": "test", "stratum": "new facts"}, "probe/p/m/test/new_facts"),
        ({"module": "mlp.down_proj"}, "probe/p/m/mlp.down_proj"),
        ({"dataset": "org/name:split", "stratum": "真"}, "probe/p/m/org_name:split/_"),
    ],
)
def test_a_number_is_called_by_where_it_was_measured(row: dict[str, str], name: str) -> None:
    assert tracked_name("p", Measurement(metric="m", value=1.0, unit="1", **row)) == name  # type: ignore[arg-type]


def test_a_tracker_that_cannot_be_used_is_said() -> None:
    check_trackers(())
    with pytest.raises(SpecError, match=r"no tracker 'tensorbord'\. Did you mean 'tensorboard'"):
        check_trackers(["tensorbord"])
    absent = next((name for name in WRITERS if find_spec(name) is None), None)
    if absent is None:
        pytest.skip("every tracker is installed")
    with pytest.raises(SpecError, match=f"'{absent}' is not installed. pip install {absent}"):
        check_trackers([absent])


def test_no_tracker_is_opened_where_the_trainer_reports_to_none(tmp_path: Path) -> None:
    assert open_trackers(TrainingArguments(str(tmp_path), report_to="none")) is None


def test_rows_by_layer_and_undefined_numbers_stay_out(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    rows = (
        Measurement(metric="whole", value=2.0, unit="1"),
        Measurement(metric="by_layer", value=3.0, unit="1", layer=2),
        Measurement(metric="undefined", value=NAN, unit="1", why="no items"),
    )
    with tracked_as("a study", "full-seed0", tmp_path / "events"):
        trackers = open_trackers(TrainingArguments(str(tmp_path / "out"), report_to="tensorboard"))
        assert trackers is not None
        trackers.log(4, {"p": Measurements(rows)})
        trackers.close()
    events = accumulator.EventAccumulator(str(tmp_path / "events" / "full-seed0"))
    events.Reload()
    assert events.Tags()["scalars"] == ["probe/p/whole"]
    assert [(event.step, event.value) for event in events.Scalars("probe/p/whole")] == [(4, 2.0)]


def test_what_the_user_has_set_stays_and_each_run_gets_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    before = dict(os.environ)
    with tracked_as("a study", "full-seed0", tmp_path / "ours"):
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "mine" / "full-seed0")
        assert os.environ["WANDB_PROJECT"] == "mine"
        assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "a study"
    assert dict(os.environ) == before


def test_in_somebody_elses_trainer_both_write_to_one_folder(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    base = tiny_base()
    ids = base.tokenizer("The cat is on the sofa.")["input_ids"]
    host = watch(
        base.model, base.tokenizer, tiny_data(), tmp_path / "runs", probes=["weight_change"], steps=()
    )
    arguments = TrainingArguments(
        str(tmp_path / "out"),
        max_steps=2,
        logging_steps=1,
        report_to="tensorboard",
        save_strategy="no",
        disable_tqdm=True,
    )
    rows = [{"input_ids": ids, "labels": ids}] * 16
    Trainer(fresh_copy(base), args=arguments, train_dataset=rows, callbacks=[host]).train()
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2]
    moved = events.Scalars("probe/weight_change/relative_norm/all")
    assert [event.step for event in moved] == [0, 2]
    assert moved[0].value == 0 < moved[1].value
