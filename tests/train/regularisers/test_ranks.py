from __future__ import annotations

from typing import Any

import pytest
import torch

from sft_probe.models.load import fresh_copy
from sft_probe.testing.tiny import tiny_base
from sft_probe.train.adapters import Adalora
from sft_probe.train.regularisers.ranks import AllocateRanks, off_orthogonal

from .conftest import put_together


def test_the_term_is_the_one_that_peft_adds() -> None:
    model: Any = Adalora(init_r=3, target_r=2, orthogonal=0.5).adapt(fresh_copy(tiny_base())).eval()
    ids = torch.arange(5, 15)[None]
    plain = model.get_base_model()(input_ids=ids, labels=ids).loss
    with_term = model(input_ids=ids, labels=ids).loss
    assert float(with_term - plain) == pytest.approx(0.5 * float(off_orthogonal(model)), rel=1e-4)


def test_shares_of_the_steps_become_steps() -> None:
    base = tiny_base()
    model: Any = Adalora(init_r=3, target_r=2).adapt(fresh_copy(base))
    bench = put_together(base, model)
    AllocateRanks(tinit=0.2, tfinal=0.3, weight=0.0).begin(bench.setting)
    config = model.active_peft_config
    assert (config.tinit, config.tfinal, config.total_step) == (2, 3, 10)
