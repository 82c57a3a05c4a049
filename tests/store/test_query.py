from __future__ import annotations

import pytest

from sft_probe.errors import StoreError
from sft_probe.store.query import query
from sft_probe.store.runs import RunStore

from .conftest import ENVIRONMENT, a_config, write_run


def test_views_cover_all_finished_runs(store: RunStore) -> None:
    for run_id in ("full-seed0", "full-seed1"):
        write_run(store, run_id)
    store.open_run("lora-seed0", config=a_config("lora"), environment=ENVIRONMENT)
    counted = query(store.output_dir, "select run, count(*) n from measurements group by run order by run")
    assert counted.to_dict("records") == [{"run": "full-seed0", "n": 4}, {"run": "full-seed1", "n": 4}]
    joined = query(store.output_dir, "select i.item from items i join runs r using (run) where r.seed = 1")
    assert list(joined["item"]) == ["q1", "q1"]
    assert list(query(store.output_dir, "select seconds from runs")["seconds"]) == [2.0, 2.0]
    assert query(store.output_dir, "select max(value) v from train_log")["v"][0] == 1.25


def test_an_undefined_value_is_null_and_not_a_number(store: RunStore) -> None:
    write_run(store)
    found = query(store.output_dir, "select why from measurements where value is null")
    assert list(found["why"]) == ["no targets"] * 2
    assert query(store.output_dir, "select avg(value) v from measurements")["v"][0] == 0.25


def test_a_store_without_finished_runs_has_empty_views(store: RunStore) -> None:
    store.open_run("full-seed0", config=a_config(), environment=ENVIRONMENT)
    for view in ("measurements", "items", "train_log", "runs"):
        assert query(store.output_dir, f"select count(*) n from {view}")["n"][0] == 0


def test_mistakes_are_one_sentence(store: RunStore) -> None:
    with pytest.raises(StoreError, match="no runs in this folder"):
        query(store.output_dir, "select 1")
    write_run(store)
    with pytest.raises(StoreError, match="Views: measurements"):
        query(store.output_dir, "select * from mesurements")
