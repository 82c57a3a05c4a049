"""What AdaLoRA needs in the loop: ranks are dealt out anew, and factors are kept orthogonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sft_probe.train.regularisers.base import Batch, Part, Setting


@dataclass(frozen=True, kw_only=True)
class AllocateRanks:
    """Part of the method `adalora`. tinit, tfinal: shares of the steps. weight: of the orthogonality term."""

    name: ClassVar[str] = "allocate_ranks"
    tinit: float
    tfinal: float
    weight: float

    def begin(self, setting: Setting) -> Part:
        """Tell peft's allocator how many steps there are."""
        adapted: Any = setting.model
        config = adapted.active_peft_config
        config.total_step = setting.steps
        config.tinit = int(self.tinit * setting.steps)
        config.tfinal = int(self.tfinal * setting.steps)
        return _Ranks(adapted, self.weight)


def off_orthogonal(model: Any) -> Tensor:
    """Mean Frobenius norm of A Aᵀ - I and Bᵀ B - I over all factors, as in peft's `AdaLoraModel.forward`."""
    norms = []
    for name, factor in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = factor @ factor.T if "lora_A" in name else factor.T @ factor
            norms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
    return torch.stack(norms).mean()


class _Ranks(Part):
    def __init__(self, model: Any, weight: float) -> None:
        self._model, self._weight = model, weight

    def loss(self, loss: Tensor, batch: Batch) -> Tensor:
        """Add how far the factors are from orthogonal."""
        return loss + self._weight * batch.share * off_orthogonal(self._model)

    def updated(self, step: int) -> None:
        """Deal out the rank by how much each direction mattered in this step."""
        self._model.base_model.update_and_allocate(step)
