"""Where the parts of a model live. What differs between architectures is data in this file, nothing else.

An unknown architecture is refused by name; supporting it is one line in `FAMILIES`, or, from another package,
an entry point in the group `sft_probe.architectures`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from sft_probe.errors import UnknownArchitecture
from sft_probe.registry import available


class Sublayers(NamedTuple):
    """Paths below a block: the modules whose outputs are added to the residual stream, or "" for none.

    Where a norm, a dropout or a projection stands between a sublayer and the stream, the path is that of the
    last module with weights. A constant factor of the config (Granite) comes after it.
    """

    attention: str
    mlp: str


# The first row decides of which all parts exist in a block.
SUBLAYERS = (
    Sublayers("post_self_attn_layernorm", "post_mlp_layernorm"),  # GLM-4: normed before they are added
    Sublayers("post_attention_layernorm", "post_feedforward_layernorm"),  # Gemma 2 and 3, OLMo 2 and 3
    Sublayers("self_attention.dense", "mlp.dense_4h_to_h"),  # BLOOM adds the stream in its modules; Falcon
    Sublayers("attn.out_proj", "ffn.down_proj"),  # MPT adds the stream in its MLP
    Sublayers("self_attn", "mlp"),  # Llama and most others
    Sublayers("self_attn", "block_sparse_moe"),  # Granite-MoE
    Sublayers("self_attn", "feed_forward"),  # LFM2
    Sublayers("self_attn", "fc2"),  # OPT, XGLM, BioGPT: the MLP is no module of its own
    Sublayers("attn", "mlp"),  # GPT-2, GPT-Neo, GPT-J, CodeGen, GPT-BigCode
    Sublayers("attention", "mlp"),  # GPT-NeoX
    Sublayers("linear_attn", "mlp"),  # Qwen3-Next, OLMo-Hybrid
    Sublayers("temporal_block.o_proj", "mlp_block"),  # RecurrentGemma
    Sublayers("self_attn", "shared_mlp"),  # Granite 4
    Sublayers("", "mlp"),  # a convolution, a recurrence or a state space in place of attention
    Sublayers("", "feed_forward"),  # LFM2, Jamba
    Sublayers("", "mlp_block"),  # RecurrentGemma
    Sublayers("", "shared_mlp"),  # Granite 4
)


class Family(NamedTuple):
    """Paths below a causal language model. The unembedding is asked of the model itself.

    sublayers: rows as in `SUBLAYERS`, for blocks built like no other.
    """

    blocks: str
    embedding: str
    final_norm: str
    sublayers: tuple[Sublayers, ...] = SUBLAYERS


FAMILIES = (
    Family("model.layers", "model.embed_tokens", "model.norm"),  # Llama, Mistral, Qwen, Gemma, OLMo, SmolLM
    Family("model.layers", "model.embed_tokens", "model.final_layernorm"),  # Phi, Persimmon, Jamba
    Family("model.layers", "model.embed_tokens", "model.layer_norm"),  # XGLM
    Family("model.layers", "model.embed_tokens", "model.embedding_norm"),  # LFM2
    Family("model.layers", "model.embed_tokens", "model.final_norm"),  # RecurrentGemma
    Family("transformer.h", "transformer.wte", "transformer.ln_f"),  # GPT-2, GPT-J, GPT-BigCode
    Family("transformer.h", "transformer.word_embeddings", "transformer.ln_f"),  # BLOOM, Falcon
    Family("transformer.blocks", "transformer.wte", "transformer.norm_f"),  # MPT
    Family("gpt_neox.layers", "gpt_neox.embed_in", "gpt_neox.final_layer_norm"),  # GPT-NeoX, Pythia
    Family("model.decoder.layers", "model.decoder.embed_tokens", "model.decoder.final_layer_norm"),  # OPT
    Family("backbone.layers", "backbone.embeddings", "backbone.norm_f"),  # Mamba
    Family("biogpt.layers", "biogpt.embed_tokens", "biogpt.layer_norm"),  # BioGPT
)

EMBEDDING = re.compile(r"emb|(^|\.)w[tp]e(\.|$)")

# The first pattern found in the last parts of a parameter's name decides, so norms come before attention.
KINDS = (
    ("norm", re.compile(r"norm|(^|[._])ln[_.\d]")),
    ("attention", re.compile(r"attn|attention|temporal_block\.[qkvo]_")),
    ("mlp", re.compile(r"mlp|feed_forward|ffn|moe|(^|\.)fc\d|expert")),
    (
        "mixer",
        re.compile(r"mixer|mamba|temporal_block|(^|\.)conv"),
    ),  # a state space or convolution in place of attention
    ("embedding", EMBEDDING),
)


class Place(NamedTuple):
    """Where a parameter lives. layer: 0 embedding, 1..L block, L + 1 after the blocks, -1 unknown."""

    layer: int
    module: str


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The parts of one model: module objects for hooks, paths for parameter names.

    attention, mlp: per block, the module whose output is added to the residual stream (`Sublayers`), or None
    where a block has no such part. The output may be a tuple, like a block's: see `residual`. A hook must
    copy it at once, because some models add to it in place (Falcon).
    """

    blocks: tuple[nn.Module, ...]
    attention: tuple[nn.Module | None, ...]
    mlp: tuple[nn.Module | None, ...]
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
        return Place(0 if EMBEDDING.search(name) else -1, _kind(name))


def anatomy(model: nn.Module) -> Anatomy:
    """Find the parts of a causal language model, with or without a peft adapter around it.

    Raises: UnknownArchitecture, naming the class of the model.
    """
    inner = without_adapter(model)
    for family in _families():
        stack, *others = (_find(inner, path) for path in family[:3])
        if stack is None or None in others:
            continue
        blocks = tuple(stack.children())
        attention, mlp = zip(*(_sublayers(block, family) for block in blocks), strict=True)
        return Anatomy(blocks, attention, mlp, family, _unembedding_path(inner))
    raise UnknownArchitecture(
        f"it is not known where the blocks of a {type(inner).__name__} are.",
        remedy="Register its paths: a Family as an entry point in the group 'sft_probe.architectures' of "
        "your package, or a line of FAMILIES in sft_probe/models/anatomy.py.",
    )


def without_adapter(model: nn.Module) -> Any:
    """The causal language model inside a peft wrapper (its layers may hold adapters), or the model itself."""
    inner: Any = getattr(model, "_orig_mod", model)  # torch.compile
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def learns_prompt(model: nn.Module) -> bool:
    """Whether an adapter puts something of its own before every text: tokens, or keys and values."""
    return any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values())


def tokens_in_front(model: nn.Module) -> int:
    """How many positions an adapter adds before those of the input, in states and logits.

    A prefix of keys and values adds none there.
    """
    config: Any = getattr(model, "active_peft_config", None)
    if config is None or not config.is_prompt_learning or config.peft_type == "PREFIX_TUNING":
        return 0
    return int(config.num_virtual_tokens)


def residual(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """(batch, seq, hidden) out of a block, which returns a tensor or a tuple by architecture."""
    return output if isinstance(output, Tensor) else output[0]


def context_length(model: nn.Module) -> int:
    """The number of tokens a model can read at once.

    A config is silent where no table of positions can run out (BLOOM, Mamba); then it is 2048, as in lm-eval.
    A learned prompt takes its part.
    """
    adapted: Any = model
    taken = int(adapted.active_peft_config.num_virtual_tokens) if learns_prompt(model) else 0
    config: Any = without_adapter(model).config
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_seq_len"):
        if isinstance(length := getattr(config, key, None), int):
            return length - taken
    return 2048 - taken


def _families() -> Iterator[Family]:
    """Ours first; other packages are imported only for a model that we do not know."""
    yield from FAMILIES
    for entry in available("architectures").values():
        yield entry.load()


def _sublayers(block: nn.Module, family: Family) -> tuple[nn.Module | None, nn.Module | None]:
    for row in family.sublayers:
        attention, mlp = (_find(block, path) if path else None for path in row)
        if (attention is not None) == bool(row.attention) and (mlp is not None) == bool(row.mlp):
            return attention, mlp
    return None, None


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
