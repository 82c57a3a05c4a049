"""What training shows of itself, against what a plain loop over the same batches computes."""

from __future__ import annotations

from math import isfinite, sqrt
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from sft_probe.data.chat import stop_token_ids, to_trl_row
from sft_probe.models.load import fresh_copy, pristine
from sft_probe.schema import Measurement
from sft_probe.testing.tiny import tiny_data, tiny_lora, tiny_model, tiny_tokenizer
from sft_probe.train.dynamics import Dynamics

BASE = pristine(tiny_model("llama", dropout=0.0), tiny_tokenizer(), path="tiny", device=torch.device("cpu"))
ROWS = [
    {**to_trl_row(example, BASE.tokenizer), "stratum": example.stratum} for example in tiny_data(12)["test"]
]


class Table(list[Any]):
    """Rows with the two things that are asked of a `datasets.Dataset`."""

    column_names = ("input_ids", "labels", "stratum")

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def batch(rows: list[Any]) -> dict[str, torch.Tensor]:
    width = max(len(row["input_ids"]) for row in rows)

    def padded(key: str, fill: int) -> torch.Tensor:
        return torch.tensor([row[key] + [fill] * (width - len(row[key])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": padded("input_ids", 0),
        "labels": padded("labels", -100),
        "attention_mask": torch.tensor(mask),
    }


def step(
    model: nn.Module, optimizer: Any, dynamics: Dynamics, number: int, rows: list[Any]
) -> tuple[Measurement, ...]:
    model(**batch(rows)).loss.backward()
    dynamics.before_update(number)
    optimizer.step()
    found = dynamics.after_update(optimizer, SimpleNamespace(get_last_lr=lambda: [0.01])).rows
    optimizer.zero_grad()
    return found


def only(rows: tuple[Measurement, ...], metric: str, **where: object) -> Measurement:
    place = {"stratum": "", **where}
    (row,) = (r for r in rows if r.metric == metric and all(getattr(r, k) == v for k, v in place.items()))
    return row


def test_numbers_of_one_update_are_those_of_a_plain_loop() -> None:
    model = fresh_copy(BASE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    dynamics = Dynamics(model, Table(ROWS), BASE.tokenizer, 2, ())
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    loss = model(**batch(ROWS)).loss
    with torch.no_grad():
        model(**batch(ROWS))  # a look in between is not training
    dynamics._losses._batches.clear()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    first = step(model, optimizer, dynamics, 1, ROWS)
    total = sqrt(sum(float(g.double().square().sum()) for g in gradients))
    assert only(first, "gradient_norm", layer=-1, module="all").value == pytest.approx(total, rel=1e-5)
    moved = sum(float((w - before[n]).double().square().sum()) for n, w in model.named_parameters())
    there = sum(float(w.double().square().sum()) for w in before.values())
    ratio = only(first, "update_ratio", layer=-1, module="all").value
    assert ratio == pytest.approx(sqrt(moved / there), rel=0.05), "the embedding is sampled"
    assert only(first, "token_loss").value == pytest.approx(float(loss), rel=1e-5)
    assert only(first, "gradient_snr", layer=-1, module="all").why.startswith("the first update")
    assert only(first, "learning_rate").value == 0.01
    second = step(model, optimizer, dynamics, 2, ROWS)
    assert isfinite(only(second, "gradient_snr", layer=-1, module="all").value)
    share = only(second, "second_moment_top", layer=-1, module="all")
    assert share.null_value < share.value <= 1
    dynamics.close()
    model(**batch(ROWS))
    assert not dynamics._losses._batches
    assert not model._forward_hooks


def test_losses_are_split_by_kind_of_token_and_by_stratum() -> None:
    model = fresh_copy(BASE)
    dynamics = Dynamics(model, Table(ROWS), BASE.tokenizer, 1, ())
    inputs = batch(ROWS)
    logits = model(**inputs).logits.detach()[:, :-1]
    losses = nn.functional.cross_entropy(logits.transpose(1, 2), inputs["labels"][:, 1:], reduction="none")
    found = tuple(dynamics._losses.rows())
    trained = inputs["labels"][:, 1:] != -100
    ends = torch.isin(inputs["labels"][:, 1:], torch.tensor(stop_token_ids(BASE.tokenizer)))
    assert only(found, "token_loss", stratum="end").value == pytest.approx(
        float(losses[ends].mean()), rel=1e-5
    )
    counts = {kind: only(found, "token_loss", stratum=kind).n for kind in ("content", "end")}
    assert counts["end"] == int(ends.sum()) == len(ROWS)
    assert only(found, "token_loss").n == int(trained.sum())
    odd = torch.tensor([row["stratum"] == "odd" for row in ROWS])
    value = float((losses * trained)[odd].sum() / trained[odd].sum())
    assert only(found, "stratum_loss", stratum="odd").value == pytest.approx(value, rel=1e-5)
    dynamics.close()


def test_adapters_have_the_place_of_what_they_adapt() -> None:
    model = tiny_lora(BASE).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    dynamics = Dynamics(model, None, None, 1, ())
    found = step(model, optimizer, dynamics, 1, ROWS)
    places = {(row.layer, row.module) for row in found if row.metric == "gradient_norm"}
    modules = {(layer, module) for layer in (1, 2) for module in ("attention", "mlp", "all")}
    assert places == modules | {(-1, "all")}
    assert [row.stratum for row in found if row.metric == "token_loss"] == [""], "no tokenizer, no kinds"


def test_an_optimiser_without_moments_and_a_step_off_the_record() -> None:
    model = fresh_copy(BASE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    dynamics = Dynamics(model, None, None, 1000, ())
    found = step(model, optimizer, dynamics, 1, ROWS)
    assert "no moments of Adam" in only(found, "gradient_snr", layer=-1, module="all").why
    assert step(model, optimizer, dynamics, 5, ROWS) == ()
