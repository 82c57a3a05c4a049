"""Run in two processes by `torch.distributed.run`: looks at a model in shards (FSDP 2) beside a plain one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from sft_probe.errors import ModelError
from sft_probe.models.load import fresh_copy
from sft_probe.observe.gathering import gathered, whole
from sft_probe.observe.observer import Observer
from sft_probe.observe.ranks import Ranks, apart, together
from sft_probe.probes.battery import Battery, make_probe
from sft_probe.testing.tiny import tiny_base, tiny_data

PROBES = {"task_alignment": {"max_new_tokens": 6}, "token_shift": {"dataset": "test"}, "weight_change": {}}
STEPS = 2


def train(model: nn.Module, rows: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    model.train()
    model(input_ids=rows, labels=rows).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def main() -> None:
    distributed.init_process_group("gloo")
    ranks, base = Ranks.here(), tiny_base()
    for module in base.model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
    mesh = init_device_mesh("cpu", (ranks.count,))
    plain = fresh_copy(base)
    sharded = copy.deepcopy(plain)
    for block in sharded.model.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    battery = Battery(
        tuple(make_probe(name, options) for name, options in PROBES.items()), Observer(base, tiny_data(11))
    )
    rows = torch.randint(7, 300, (4, 12), generator=torch.Generator().manual_seed(0))
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05) for model in (sharded, plain)]
    for _ in range(STEPS):
        train(sharded, rows[2 * ranks.rank : 2 * ranks.rank + 2], optimizers[0])
        train(plain, rows, optimizers[1])
        seen = battery.measure(sharded)
        assert all(isinstance(weight, DTensor) for weight in sharded.parameters())
        assert sharded.training
        with apart():
            alone = battery.measure(plain)
        if ranks.first:
            compare(seen, alone)
        else:
            assert seen == {}
    for ours, theirs in zip(sharded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(whole(ours), theirs, atol=1e-5, rtol=1e-4)
    with gathered(sharded):
        assert not any(isinstance(weight, DTensor) for weight in sharded.parameters())
    an_error_of_one_is_one_of_all(ranks)
    distributed.destroy_process_group()


def compare(seen: dict, alone: dict) -> None:
    assert seen.keys() == alone.keys() == PROBES.keys()
    for probe, found in seen.items():
        assert len(found.rows) == len(alone[probe].rows) > 0
        for ours, theirs in zip(found.rows, alone[probe].rows, strict=True):
            assert (ours.metric, ours.stratum, ours.n) == (theirs.metric, theirs.stratum, theirs.n)
            value = torch.tensor([ours.value, theirs.value], dtype=torch.float64)
            torch.testing.assert_close(value[0], value[1], atol=1e-4, rtol=1e-4, equal_nan=True)


def an_error_of_one_is_one_of_all(ranks: Ranks) -> None:
    def look() -> int:
        if ranks.rank == 1:
            raise ValueError("no memory")
        return 1

    expected = ModelError if ranks.first else ValueError
    with pytest.raises(expected, match="no memory"):
        together(ranks, look)


if __name__ == "__main__":
    main()
