from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sft_probe.world.corpus import EXPOSURE
from sft_probe.world.pretraining import (
    PADDING,
    Progress,
    Recipe,
    Windows,
    _loss,
    export,
    learning_rate,
    new_model,
    prepare,
    pretrain,
    resume,
    save_checkpoint,
)
from sft_probe.world.speaking import Speaker
from sft_probe.world.tokenizer import Tokenizer

TINY = Recipe(exposure=EXPOSURE.shrunk(0.001), layers=1, width=32, heads=2, feed_forward=64, batch=4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tokenizer, Windows]:
    work = tmp_path_factory.mktemp("work")
    tokenizer, parts = prepare(work, TINY)
    return work, tokenizer, parts[0]


def test_windows_hold_whole_documents(prepared: tuple[Path, Tokenizer, Windows]) -> None:
    _, tokenizer, data = prepared
    assert data.ids.shape == data.documents.shape
    for ids, numbers in zip(data.ids[:50], data.documents[:50], strict=True):
        last = [i for i in range(len(ids) - 1) if numbers[i] != numbers[i + 1] and numbers[i] != PADDING]
        assert {int(ids[i]) for i in last} == {tokenizer.bos_token_id}
        assert (ids[numbers == PADDING] == tokenizer.pad_token_id).all()
    assert (data.documents != PADDING).mean() > 0.9


def test_loss_sees_one_document_at_a_time(prepared: tuple[Path, Tokenizer, Windows]) -> None:
    """Changing one document of a window leaves the loss of the others as it was."""
    _, tokenizer, data = prepared
    torch.manual_seed(0)
    model = new_model(TINY, tokenizer)
    ids = torch.from_numpy(data.ids[:1].astype("int64"))
    number = torch.from_numpy(data.documents[:1]).clone()
    first = number == 0
    only_second = torch.where(number == 1, number, torch.tensor(PADDING, dtype=torch.uint8))
    before = _loss(model, ids, only_second)
    after = _loss(model, ids.masked_fill(first, 7), only_second)
    assert torch.equal(before, after)
    assert not torch.equal(_loss(model, ids, number), _loss(model, ids.masked_fill(first, 7), number))


@pytest.mark.parametrize("part", [0, 1])
def test_learning_rate_rises_and_falls_once_per_part(part: int) -> None:
    recipe, lengths = Recipe(), (1000, 300)
    every = [learning_rate(recipe, step, lengths) for step in range(sum(lengths))]
    rates = every[:1000] if part == 0 else every[1000:]
    peak = rates.index(max(rates))
    highest, warmup = (
        (recipe.learning_rate, recipe.warmup) if part == 0 else (recipe.closing_rate, recipe.closing_warmup)
    )
    assert abs(peak - warmup) <= 1
    assert max(rates) == pytest.approx(highest)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(recipe.final_rate, rel=0.1)


def test_a_checkpoint_comes_back_whole(prepared: tuple[Path, Tokenizer, Windows], tmp_path: Path) -> None:
    _, tokenizer, _ = prepared
    torch.manual_seed(0)
    model = new_model(TINY, tokenizer)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    optimiser.step()
    save_checkpoint(tmp_path, model, optimiser, Progress(step=7, tokens=99, curve=[{"step": 1}]))
    other = new_model(TINY, tokenizer)
    found = resume(tmp_path, other, torch.optim.AdamW(other.parameters()))
    assert (found.step, found.tokens, found.curve) == (7, 99, [{"step": 1}])
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name]), name
    assert not (tmp_path / "checkpoint.partial").exists()


def test_export_is_half_precision_and_loads(
    prepared: tuple[Path, Tokenizer, Windows], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    _, tokenizer, _ = prepared
    model = new_model(TINY, tokenizer)
    export(tmp_path, model, tokenizer, TINY, Progress(step=1, tokens=10, seconds=1.0, curve=[]))
    stored = load_file(tmp_path / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    assert len(Speaker.load(tmp_path).continuations(["The cat is on the"])) == 1


@pytest.mark.slow
def test_a_killed_run_ends_like_one_that_was_not(
    prepared: tuple[Path, Tokenizer, Windows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after three steps and called again, the run ends with the same bytes."""
    import shutil

    from safetensors.torch import load_file

    work, _, _ = prepared
    for name in ("whole", "killed"):
        shutil.copytree(work, tmp_path / name)
    kind = {"threads": 1, "compiled": False, "checkpoint_seconds": 0.0}
    whole = pretrain(tmp_path / "whole", tmp_path / "out", TINY, **kind)

    class Killed(Exception):
        pass

    def rate_then_kill(recipe: Recipe, step: int, lengths: tuple[int, ...]) -> float:
        if step == 3:
            raise Killed
        return learning_rate(recipe, step, lengths)

    import importlib

    module = importlib.import_module("sft_probe.world.pretraining")
    with monkeypatch.context() as patched:
        patched.setattr(module, "learning_rate", rate_then_kill)
        with pytest.raises(Killed):
            pretrain(tmp_path / "killed", tmp_path / "again", TINY, **kind)
    again = pretrain(tmp_path / "killed", tmp_path / "again", TINY, **kind)
    left, right = (load_file(out / "model.safetensors") for out in (whole, again))
    assert all(torch.equal(left[name], right[name]) for name in left)
