from __future__ import annotations

import math

import pytest

from sft_probe.errors import StoreError
from sft_probe.schema import ITEM_COLUMNS, MEASUREMENT_COLUMNS, Measurements
from sft_probe.store.failures import Failure
from sft_probe.store.runs import RunStore

from .conftest import ENVIRONMENT, a_config, some_measurements, write_run


def test_rows_come_back_with_their_key(store: RunStore) -> None:
    write_run(store, "lora-seed3", value=0.75)
    frame = store.measurements()
    assert tuple(frame.columns) == MEASUREMENT_COLUMNS
    row = frame[(frame.step == 4) & (frame.metric == "exact_match")].iloc[0]
    assert (row.run, row.arm, row.seed, row.probe, row.value, row.n) == (
        "lora-seed3",
        "lora",
        3,
        "task_alignment",
        0.75,
        4,
    )
    undefined = frame[frame.metric == "token_f1"].iloc[0]
    assert math.isnan(undefined.value)
    assert undefined.why == "no targets"
    items = store.items()
    assert tuple(items.columns) == ITEM_COLUMNS
    assert list(items.prediction) == ["Paris", "Paris"]
    assert store.train_log().to_dict("records") == [
        {"run": "lora-seed3", "arm": "lora", "seed": 3, "step": 4, "metric": "loss", "value": 1.25}
    ]


def test_manifest_says_what_the_run_was_and_cost(store: RunStore) -> None:
    write_run(store)
    (manifest,) = store.runs()
    assert (manifest.arm, manifest.seed, manifest.label, manifest.device) == (
        "full",
        0,
        "full fine-tuning",
        "cpu",
    )
    assert (manifest.trainable_parameters, manifest.total_parameters, manifest.steps) == (10, 20, (0, 4))
    assert manifest.seconds == {"training": 2.0}
    assert manifest.rows == {"measurements": 4, "items": 2, "train_log": 1}
    assert set(manifest.files) == {
        "config.yaml",
        "environment.json",
        "measurements.parquet",
        "items.parquet",
        "train_log.parquet",
    }


def test_a_run_is_finished_only_under_its_digest(store: RunStore) -> None:
    assert not store.finished("full-seed0", "d1")
    write_run(store, digest="d1")
    assert store.finished("full-seed0", "d1")
    assert not store.finished("full-seed0", "d2")


def test_an_interrupted_run_is_unfinished_keeps_its_parts_and_is_replaced(store: RunStore) -> None:
    def run_until_stopped() -> None:
        with store.open_run("full-seed0", config=a_config(), environment=ENVIRONMENT) as run:
            run.append(0, "task_alignment", some_measurements())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_until_stopped()
    assert store.runs() == ()
    assert store.unfinished() == ("full-seed0",)
    assert len(list((store.folder / "full-seed0" / "parts").rglob("*.parquet"))) == 2
    assert store.measurements().empty
    write_run(store)
    assert store.unfinished() == ()
    assert len(store.measurements()) == 4


def test_a_failure_takes_the_place_of_its_run_and_a_new_run_that_of_the_failure(store: RunStore) -> None:
    failure = Failure(run="full-seed0", arm="full", seed=0, digest="d", kind="error", reason="No.")
    write_run(store)
    store.fail(failure)
    assert store.failures() == (failure,)
    assert store.failure("full-seed0") == failure
    assert [path.name for path in (store.folder / "full-seed0").iterdir()] == ["failure.json"]
    assert store.unfinished() == store.runs() == ()
    write_run(store)
    assert store.failures() == ()
    assert store.failure("full-seed0") is None
    assert len(store.runs()) == 1


def test_appending_a_pair_again_replaces_it(store: RunStore) -> None:
    with store.open_run("full-seed0", config=a_config(), environment=ENVIRONMENT) as run:
        run.append(0, "task_alignment", some_measurements(0.1))
        run.append(0, "task_alignment", some_measurements(0.2))
        run.finish()
    frame = store.measurements()
    assert list(frame.value[frame.metric == "exact_match"]) == [0.2]


@pytest.mark.parametrize(
    "name", ["measurements.parquet", "items.parquet", "train_log.parquet", "config.yaml"]
)
def test_a_torn_file_is_named_and_its_run_is_not_done(store: RunStore, name: str) -> None:
    write_run(store)
    path = store.folder / "full-seed0" / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StoreError, match=name):
        store.measurements()
    said: list[str] = []
    assert not store.finished("full-seed0", "d1", said.append)
    assert len(said) == 1
    assert name in said[0]
    assert "sha256" in said[0]


def test_a_missing_file_and_a_broken_manifest_are_named(store: RunStore) -> None:
    write_run(store)
    (store.folder / "full-seed0" / "items.parquet").unlink()
    with pytest.raises(StoreError, match=r"items\.parquet.*missing"):
        store.items()
    (store.folder / "full-seed0" / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest\.json"):
        store.runs()
    assert not store.finished("full-seed0", "d1")


def test_a_newer_schema_is_refused(store: RunStore) -> None:
    write_run(store)
    path = store.folder / "full-seed0" / "manifest.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 99'))
    with pytest.raises(StoreError, match="Update sft-probe"):
        store.runs()
    with pytest.raises(StoreError, match="Update sft-probe"):
        store.finished("full-seed0", "d1")


def test_hostile_text_survives(store: RunStore) -> None:
    text = "a\x00b </script> \u202eright to left 😀 \ud800"
    with store.open_run("full-seed0", config=a_config(), environment=ENVIRONMENT) as run:
        run.append(0, "task_alignment", some_measurements(text=text))
        run.finish()
    assert store.items().prediction[0] == text.replace("\ud800", "?")


def test_a_run_without_rows_and_an_empty_store_have_columns(store: RunStore) -> None:
    assert tuple(store.measurements().columns) == MEASUREMENT_COLUMNS
    with store.open_run("full-seed0", config=a_config(), environment=ENVIRONMENT) as run:
        run.append(0, "weight_change", Measurements())
        manifest = run.finish()
    assert manifest.rows == {"measurements": 0, "items": 0, "train_log": 0}
    assert tuple(store.items().columns) == ITEM_COLUMNS


def test_the_base_comes_first(store: RunStore) -> None:
    for run_id in ("adapter-seed0", "base"):
        write_run(store, run_id)
    assert [m.run for m in store.runs()] == ["base", "adapter-seed0"]


@pytest.mark.parametrize("run_id", ["", "../out", ".hidden", "a\\b"])
def test_a_run_id_must_be_a_folder_name(store: RunStore, run_id: str) -> None:
    with pytest.raises(StoreError, match="run id"):
        store.open_run(run_id, config=a_config(), environment=ENVIRONMENT)


def test_a_config_must_say_arm_seed_and_digest(store: RunStore) -> None:
    with pytest.raises(StoreError, match="seed, digest"):
        store.open_run("full-seed0", config={"arm": "full"}, environment=ENVIRONMENT)


def test_timing_adds_up(store: RunStore) -> None:
    with store.open_run("full-seed0", config=a_config(), environment=ENVIRONMENT) as run:
        run.spent("forgetting", 1.0)
        with run.timing("forgetting"):
            pass
        assert 1.0 <= run.seconds["forgetting"] < 2.0


def test_the_config_comes_back(store: RunStore) -> None:
    write_run(store)
    assert store.config("full-seed0") == a_config()
    with pytest.raises(StoreError, match="no run 'lora-seed0'"):
        store.config("lora-seed0")
