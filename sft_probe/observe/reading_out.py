"""A model's final norm and unembedding as a function of states."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.errors import ModelError
from sft_probe.measures.lens import States, Translator, fit_translator
from sft_probe.models.anatomy import anatomy, without_adapter
from sft_probe.models.unembedding import unembedding
from sft_probe.observe.forward import device_of
from sft_probe.observe.observations import UnembeddingSeen
from sft_probe.observe.tokens import text_of


def unembedding_seen(model: nn.Module, tokenizer: Any) -> UnembeddingSeen:
    """What turns states of the residual stream into logits. The model is lent already."""
    halves, names = unembedding(model), partial(text_of, tokenizer)
    if halves is None:
        why = f"the logits of a {type(without_adapter(model)).__name__} cannot be made of its states alone"
        return UnembeddingSeen(read=None, fit=_unfit, text_of=names, why=why)
    norm = without_adapter(model).get_submodule(anatomy(model).family.final_norm)
    dtype = next((weight.dtype for weight in norm.parameters()), torch.float32)

    def logits(states: Tensor) -> Tensor:
        return halves.logits(norm(states.to(dtype))).float()

    def here(states: States) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(states)).to(device_of(model))

    def read(states: States) -> States:
        with torch.no_grad():
            found: States = logits(here(states)).cpu().numpy()
        return found

    def fit(states: States, last: States, steps: int) -> Translator:
        found = fit_translator(here(states), here(last), logits, steps)
        return Translator(*(part.double().cpu().numpy() for part in found))

    return UnembeddingSeen(read=read, fit=fit, text_of=names)


def _unfit(states: States, last: States, steps: int) -> Translator:
    raise ModelError("this model's logits cannot be made of its states alone.")
