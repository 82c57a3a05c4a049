"""A method: only the weights of normalisation layers are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn


@dataclass(frozen=True, kw_only=True)
class NormsOnly:
    """Every vector of weights is trained, every matrix stays as it is."""

    name: ClassVar[str] = "norms_only"
    but_last: bool = False  # leave the norm before the unembedding out, too

    def adapt(self, model: nn.Module) -> nn.Module:
        """Parameters with one axis require gradients."""
        vectors = [weight for weight in model.parameters() if weight.ndim == 1]
        model.requires_grad_(False)
        for weight in vectors[: -1 if self.but_last else None]:
            weight.requires_grad_(True)
        return model
