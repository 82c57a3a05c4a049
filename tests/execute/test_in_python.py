"""`probe` and `watch` with what somebody has at hand in Python."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from sft_probe.errors import DataError, ModelError, SpecError, StoreError, UnknownComponent
from sft_probe.execute.in_python import probe, run, validate
from sft_probe.execute.pairs import Pairs, probe_checkpoints
from sft_probe.execute.watching import watch
from sft_probe.models.load import fresh_copy
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import ModelSpec, ProbeSpec
from sft_probe.study.yaml import parse_study
from sft_probe.testing.conformance import fingerprint
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_lora, tiny_tuned

PROBES = [{"task_alignment": {"max_new_tokens": 4}}, "weight_change"]
ROWS = [{"prompt": f"Where is cat {i}?", "completion": f"on sofa {i}"} for i in range(6)]


def sorted_rows(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["arm", "step", "probe", "metric", "dataset", "stratum", "layer", "module"]
    return rows.sort_values(keys).reset_index(drop=True)


def test_models_in_memory_show_what_their_folders_show(tmp_path: Path, model_folder: Path) -> None:
    base = tiny_base()
    tuned: Any = tiny_tuned(base)
    before = fingerprint(base.model), fingerprint(tuned)
    runs = probe(base.model, {"mine": tuned}, ROWS, probes=PROBES, tokenizer=base.tokenizer)
    assert before == (fingerprint(base.model), fingerprint(tuned))
    tuned.save_pretrained(tmp_path / "mine")
    base.tokenizer.save_pretrained(tmp_path / "mine")
    (tmp_path / "rows.csv").write_text(
        "prompt,completion\n" + "".join(f"{row['prompt']},{row['completion']}\n" for row in ROWS), "utf-8"
    )
    probe_checkpoints(
        Pairs(
            base=ModelSpec(model_name_or_path=str(model_folder)),
            tuned=(str(tmp_path / "mine"),),
            data=str(tmp_path / "rows.csv"),
            output_dir=tmp_path / "out",
            probes=(
                ProbeSpec(name="task_alignment", options={"max_new_tokens": 4}),
                ProbeSpec(name="weight_change"),
            ),
        )
    )
    read = RunStore(tmp_path / "out").measurements()
    pd.testing.assert_frame_equal(sorted_rows(runs.measurements), sorted_rows(read), rtol=1e-4, atol=1e-5)


def test_without_an_output_folder_the_runs_live_as_long_as_the_result() -> None:
    base = tiny_base()
    runs = probe(base.model, tiny_tuned(base), ROWS, probes=["weight_change"], tokenizer=base.tokenizer)
    folder = runs.folder
    assert set(runs.runs.run) == {"base", "tuned"}
    assert folder.is_dir()
    del runs
    assert not folder.exists()


def test_the_base_inside_a_peft_model_is_its_base() -> None:
    base = tiny_base()
    lora = tiny_lora(base)
    runs = probe(None, lora, {"test": pd.DataFrame(ROWS)}, probes=["weight_change"], tokenizer=base.tokenizer)
    moved = runs.measurements.query("metric == 'relative_norm' and module == 'all' and layer == -1")
    assert moved.query("step == 0").value.eq(0).all()
    assert moved.query("step == 1").value.item() > 0


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"base": None}, ModelError, "exactly one peft model"),
        ({"tokenizer": None}, ModelError, "Give `tokenizer=`"),
        ({"data": []}, DataError, "the data set is empty"),
        ({"data": ["a"]}, DataError, r"test, row 1: expected a mapping"),
        ({"probes": ["weight_chang"]}, UnknownComponent, "Did you mean 'weight_change'"),
        ({"probes": [3]}, SpecError, "expected a name"),
        ({"tuned": ["a/one", "b/one"]}, ModelError, "taken by another"),
    ],
)
def test_what_cannot_be_used_is_said(change: dict[str, Any], error: type[Exception], sentence: str) -> None:
    base = tiny_base()
    base.model.config._name_or_path = ""
    given: dict[str, Any] = {"base": base.model, "tuned": tiny_tuned(base), "data": ROWS}
    given |= {"tokenizer": base.tokenizer, "probes": ["weight_change"]}
    with pytest.raises(error, match=sentence):
        probe(**(given | change))


@pytest.fixture
def study(model_folder: Path, data_files: dict[str, Path]) -> dict[str, Any]:
    return {
        "name": "tiny",
        "model_name_or_path": str(model_folder),
        "data": {name: str(path) for name, path in data_files.items()},
        "seeds": [0],
        "max_steps": 2,
        "schedule": {"points": 0},
        "probes": PROBES,
        "arms": {"full": {"learning_rate": 0.01}},
    }


def test_a_study_of_keys_and_values_runs_as_its_text_does(study: dict[str, Any], tmp_path: Path) -> None:
    before = copy.deepcopy(study)
    runs = run(study)
    assert study == before
    assert set(runs.runs.run) == {"base", "full-seed0"}
    text = yaml.safe_dump(study)
    kept = run(text, output_dir=tmp_path / "kept")
    assert kept.folder == tmp_path / "kept"
    pd.testing.assert_frame_equal(kept.measurements, runs.measurements)
    resumed = run(
        parse_study(text, overrides={"output_dir": str(tmp_path / "other")}), output_dir=kept.folder
    )
    assert list(resumed.runs.started) == list(kept.runs.started)
    folder = runs.folder
    del runs
    assert not folder.exists()


def test_a_study_is_checked_before_it_runs(study: dict[str, Any], tmp_path: Path) -> None:
    assert {finding.severity for finding in validate(study).findings} == {"warning", "info"}
    rows = Path(study["data"]["train"]).read_text("utf-8").splitlines()
    (tmp_path / "test.jsonl").write_text("\n".join([rows[3], *rows[:2]]), "utf-8")
    study["data"]["test"] = str(tmp_path / "test.jsonl")
    found = validate(study)
    assert [finding.code for finding in found.findings if finding.severity == "error"] == ["overlap_exact"]
    assert repr(found).startswith("✗ overlap_exact: 3 of 3 test rows")
    with pytest.raises(SpecError, match="Did you mean 'max_steps'"):
        validate(study | {"max_step": 3})
    with pytest.raises(SpecError, match="expected keys and values"):
        validate("just words")


def test_adapters_inside_the_base_are_refused() -> None:
    base = tiny_base()
    lora: Any = tiny_lora(base)
    with pytest.raises(ModelError, match="adapters lie in the base"):
        probe(lora.get_base_model(), lora, ROWS, probes=["weight_change"], tokenizer=base.tokenizer)


def loop(host: Callable[..., None] | None) -> dict[str, torch.Tensor]:
    """Three steps of a training loop by hand, with dropout drawn from the global generator."""
    torch.manual_seed(0)
    model: Any = fresh_copy(tiny_base())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.arange(20, 36)[None]
    if host:
        host(model, 0)
    for step in range(1, 4):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if host:
            host(model, step, last=step == 3)
    weights: dict[str, torch.Tensor] = model.state_dict()
    return weights


def test_a_loop_by_hand_is_watched_and_not_changed(tmp_path: Path) -> None:
    base = tiny_base()
    host = watch(base.model, base.tokenizer, tiny_data(), tmp_path, probes=PROBES, steps=(2,), run="loop")
    with pytest.raises(StoreError, match="no run"):
        RunStore(tmp_path).config("loop-seed0")
    watched, blind = loop(host.step), loop(None)
    assert all(torch.equal(watched[name], blind[name]) for name in blind)
    rows = host.runs.measurements.query("arm == 'loop'")
    assert sorted(rows.step.unique()) == [0, 2, 3]
    moved = (
        rows.query("metric == 'relative_norm' and module == 'all' and layer == -1").set_index("step").value
    )
    assert moved[0] == 0 < moved[2] < moved[3]
    manifest = next(run for run in RunStore(tmp_path).runs() if run.run == "loop-seed0")
    assert manifest.trainable_parameters == sum(p.numel() for p in tiny_base().model.parameters())
    with pytest.raises(SpecError, match="Call `watch` again"):
        host.step(base.model, 4, last=True)


def test_a_tokenizer_without_template_and_pad_token_stays_so(tmp_path: Path) -> None:
    base = tiny_base()
    base.tokenizer.chat_template = None
    base.tokenizer.pad_token = None
    host = watch(base.model, base.tokenizer, ROWS, tmp_path, probes=PROBES)
    host.step(base.model, 0, last=True)
    assert base.tokenizer.chat_template is None
    assert base.tokenizer.pad_token is None
    assert not host.runs.measurements.query("metric == 'answer_logprob'").value.isna().any()


def test_a_run_needs_a_name_of_its_own(tmp_path: Path) -> None:
    base = tiny_base()
    with pytest.raises(SpecError, match="a run cannot be called 'base'"):
        watch(base.model, base.tokenizer, ROWS, tmp_path, run="base")
