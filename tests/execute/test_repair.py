from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from sft_probe.errors import GateNotMet, ModelError, StoreError
from sft_probe.execute.local import run_study
from sft_probe.execute.repair import repair_run, write_changed
from sft_probe.models.load import fresh_copy, load_tuned
from sft_probe.observe.interventions import Graft, Interpolate
from sft_probe.observe.interventions.changes import intervene
from sft_probe.observe.lending import lend
from sft_probe.store.atomic import write_json
from sft_probe.study.spec import StudySpec
from sft_probe.study.yaml import parse_study
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_lora, tiny_tuned

Make = Callable[..., StudySpec]
IDS = torch.arange(3, 30)[None]


@pytest.mark.parametrize("make", [tiny_tuned, tiny_lora])
@pytest.mark.parametrize(
    "change", [Graft(blocks=((1, "mlp"), (2, "attention")), direction="base_to_tuned"), Interpolate(0.4)]
)
def test_what_is_written_is_the_model_under_the_change(make: Any, change: Any, tmp_path: Path) -> None:
    base = tiny_base()
    model = make(base)
    write_changed(model, base, change, tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    loaded = load_tuned(tmp_path, base)
    with lend(model), intervene(model, base.model, [change]):
        expected = model(IDS).logits
    torch.testing.assert_close(loaded(IDS).logits, expected, atol=1e-5, rtol=0)


def test_embeddings_that_an_adapter_untied_are_refused(tmp_path: Path) -> None:
    import peft

    base = tiny_base()
    assert base.model.config.tie_word_embeddings
    config = peft.LoraConfig(target_modules="all-linear", modules_to_save=["lm_head"])
    plain: Any = fresh_copy(base)
    model = peft.get_peft_model(plain, config)
    model.base_model.model.lm_head.modules_to_save["default"].weight.data += 1
    with pytest.raises(ModelError, match="untied embeddings"):
        write_changed(model, base, Interpolate(0.5), tmp_path)


def test_a_run_that_cannot_be_repaired_is_refused_in_one_sentence(study: Make, tmp_path: Path) -> None:
    spec = study(seeds=[0], arms={"full": {}}, probes=["weight_change"])
    run_study(spec)
    run = spec.output_dir / "runs" / "full-seed0"
    with pytest.raises(StoreError, match=r"not kept\. Run the study again with save_model: true") as refusal:
        repair_run(run, tmp_path / "repaired")
    assert refusal.value.exit_code == 3
    with pytest.raises(StoreError, match="not the folder of a run"):
        repair_run(spec.output_dir, tmp_path / "repaired")
    (run / "model").mkdir()
    with pytest.raises(StoreError, match="would overwrite the run"):
        repair_run(run, run / "model")
    write_json(spec.output_dir / "environment.json", {"base": {"sha256": "another"}})
    with pytest.raises(ModelError, match="not the base that the run was trained from"):
        repair_run(run, tmp_path / "repaired")
    assert not (tmp_path / "repaired").exists()


def test_where_nothing_was_lost_there_is_nothing_to_repair(study: Make, tmp_path: Path) -> None:
    spec = study(
        seeds=[0],
        arms={"full": {}},
        probes=[{"forgetting": {"tasks": ["tiny_choice"]}}],
        learning_rate=1e-7,
        save_model=True,
        data={**study().data.model_dump(), "include_path": [str(tiny_benchmarks(tmp_path / "tasks"))]},
    )
    run_study(spec)
    with pytest.raises(GateNotMet, match="nothing to repair"):
        repair_run(spec.output_dir / "runs" / "full-seed0", tmp_path / "repaired", items=8, documents=8)
    assert not (tmp_path / "repaired").exists()


PLANTED = {
    "name": "planted",
    "model_name_or_path": "planted",
    "data": {
        "train": "planted:question_answering/train",
        "test": "planted:question_answering/test",
        "max_train_rows": 400,
    },
    "seeds": [0],
    "max_steps": 25,
    "per_device_train_batch_size": 8,
    "schedule": {"points": 0},
    "save_model": True,
    "probes": ["weight_change"],
}


def planted(folder: Path, **changes: Any) -> Path:
    """The run of a study on the planted base."""
    spec = parse_study(
        yaml.safe_dump({**PLANTED, "output_dir": str(folder), "arms": {"full": {}}, **changes})
    )
    run_study(spec)
    return folder / "runs" / "full-seed0"


@pytest.mark.slow
def test_a_repair_brings_back_more_than_it_costs(tmp_path: Path) -> None:
    """A learning rate that harms: on items the choice did not see, more is restored than given up."""
    run = planted(tmp_path / "study", learning_rate=2e-3)
    found = repair_run(run, tmp_path / "repaired", items=32, documents=12)
    assert found.lost
    base, tuned, best = (found.models[name] for name in ("base", "tuned", found.written))
    assert (base.restored.value, base.kept.value) == pytest.approx((1, 0), abs=1e-3)
    assert (tuned.restored.value, tuned.kept.value) == pytest.approx((0, 1), abs=1e-3)
    assert best.restored.low > 0
    assert best.restored.value + best.kept.value > 1
    assert best.right.value > tuned.right.value
    assert best.exact.n == best.kept.n
    other = replace(found, written="wise" if found.written == "blocks" else "blocks")
    assert other.change(other.written) != found.change(found.written)
    assert (tmp_path / "repaired" / "model.safetensors").is_file()
