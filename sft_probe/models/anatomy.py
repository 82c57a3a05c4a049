"""Where the parts of a model live. What differs between architectures is data in this file, nothing else.

An unknown architecture is refused by name; supporting it is one line in `FAMILIES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from sft_probe.errors import UnknownArchitecture


class Family(NamedTuple):
    """Paths below a causal language model. The unembedding is asked of the model itself."""

    blocks: str
    embedding: str
    final_norm: str


FAMILIES = (
    Family("model.layers", "model.embed_tokens", "model.norm"),  # Llama, Mistral, Qwen, Gemma, OLMo, SmolLM
    Family("model.layers", "model.embed_tokens", "model.final_layernorm"),  # Phi
    Family("transformer.h", "transformer.wte", "transformer.ln_f"),  # GPT-2, GPT-J, GPT-BigCode
    Family("transformer.h", "transformer.word_embeddings", "transformer.ln_f"),  # BLOOM, Falcon
    Family("gpt_neox.layers", "gpt_neox.embed_in", "gpt_neox.final_layer_norm"),  # GPT-NeoX, Pythia
    Family("model.decoder.layers", "model.decoder.embed_tokens", "model.decoder.final_layer_norm"),  # OPT
)

# The first pattern found in the last parts of a parameter's name decides, so norms come before attention.
KINDS = (
    ("norm", re.compile(r"norm|(^|\.)ln_")),
    ("attention", re.compile(r"attn|attention")),
    ("mlp", re.compile(r"mlp|feed_forward|ffn|moe|(^|\.)fc\d|expert")),
    ("embedding", re.compile(r"emb|(^|\.)w[tp]e(\.|$)")),
)


class Place(NamedTuple):
    """Where a parameter lives. layer: 0 embedding, 1..L block, L + 1 after the blocks, -1 unknown."""

    layer: int
    module: str


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of one model: module objects for hooks, paths for parameter names."""

    blocks: tuple[nn.Module, ...]
    family: Family
    unembedding_path: str

    def place(self, name: str) -> Place:
        """Layer and kind of module of a parameter, by its full name in the base model."""
        after = len(self.blocks) + 1
        if name.startswith(self.family.blocks + "."):
            index, _, rest = name.removeprefix(self.family.blocks + ".").partition(".")
            return Place(int(index) + 1, _kind(rest))
        if name.startswith(self.family.final_norm + "."):
            return Place(after, "norm")
        if self.unembedding_path and name.startswith(self.unembedding_path + "."):
            return Place(after, "unembedding")
        kind = _kind(name)
        return Place(0 if kind == "embedding" else -1, kind)


def anatomy(model: nn.Module) -> Anatomy:
    """Find the parts of a causal language model, with or without a peft adapter around it.

    Raises: UnknownArchitecture, naming the class of the model.
    """
    inner = without_adapter(model)
    for family in FAMILIES:
        parts = tuple(_find(inner, path) for path in family)
        if all(part is not None for part in parts):
            blocks = tuple(parts[0].children()) if parts[0] is not None else ()
            return Anatomy(blocks, family, _unembedding_path(inner))
    raise UnknownArchitecture(
        f"it is not known where the blocks of a {type(inner).__name__} are.",
        remedy="Add its paths to FAMILIES in sft_probe/models/anatomy.py.",
    )


def without_adapter(model: nn.Module) -> Any:
    """The causal language model inside a peft wrapper (its layers may hold adapters), or the model itself."""
    inner: Any = getattr(model, "_orig_mod", model)  # torch.compile
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def residual(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """(batch, seq, hidden) out of a block, which returns a tensor or a tuple by architecture."""
    return output if isinstance(output, Tensor) else output[0]


def context_length(model: nn.Module) -> int:
    """The number of tokens a model can read at once. Raises: UnknownArchitecture if its config is silent."""
    config: Any = without_adapter(model).config
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"):
        if isinstance(length := getattr(config, key, None), int):
            return length
    raise UnknownArchitecture(f"the config of {type(model).__name__} does not say how long its context is.")


def _find(model: nn.Module, path: str) -> nn.Module | None:
    part: Any = model
    for name in path.split("."):
        part = getattr(part, name, None)
    return part if isinstance(part, nn.Module) else None


def _unembedding_path(model: Any) -> str:
    head = model.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), "")


def _kind(name: str) -> str:
    return next((kind for kind, pattern in KINDS if pattern.search(name)), "other")
