from __future__ import annotations

import torch

from sft_probe.models.digest import weights_digest
from sft_probe.models.load import fresh_copy
from sft_probe.testing.tiny import tiny_base, tiny_model


def test_equal_weights_have_equal_digests_whatever_the_mode() -> None:
    base = tiny_base()
    assert weights_digest(fresh_copy(base)) == base.digest == weights_digest(tiny_model())


def test_the_smallest_change_of_one_weight_changes_the_digest() -> None:
    base = tiny_base()
    model = fresh_copy(base)
    weight = next(model.parameters())
    with torch.no_grad():
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert weights_digest(model) != base.digest


def test_dtype_is_part_of_the_weights() -> None:
    assert weights_digest(tiny_model().bfloat16()) != weights_digest(tiny_model())
