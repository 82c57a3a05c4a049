"""Causal families of transformers as tiny random models: one row of data each, nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from sft_probe.models.load import LoadedModel, pristine
from sft_probe.testing.tiny import tiny_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Small sliding windows and chunks (8 tokens), so that short test sentences reach beyond them.
SHAPE: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GATED = {"intermediate_size": 64, "num_key_value_heads": 2}
ROTARY = {**GATED, "max_position_embeddings": 128}
EIGHT = {**ROTARY, "head_dim": 8}
MAMBA = {"mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_chunk_size": 8}
LATENT = {
    **GATED,
    "max_position_embeddings": 128,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
LOCAL = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


@dataclass(frozen=True, kw_only=True)
class TinyFamily:
    """A family as people call it, transformers' name for it, and what makes its config small.

    note: what to know of it beyond what a survey finds out.
    """

    name: str
    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def _family(name: str, model_type: str, *shapes: dict[str, Any], note: str = "", **config: Any) -> TinyFamily:
    merged: dict[str, Any] = {}
    for shape in shapes:
        merged |= shape
    return TinyFamily(name=name, model_type=model_type, config=merged | config, note=note)


FAMILIES = (
    _family("Llama", "llama", ROTARY),
    _family("Mistral", "mistral", ROTARY, sliding_window=8),
    _family("Mixtral", "mixtral", ROTARY, num_local_experts=4),
    _family("Ministral 3", "ministral3", EIGHT),
    _family("Qwen2", "qwen2", ROTARY),
    _family("Qwen2-MoE", "qwen2_moe", ROTARY, EXPERTS, shared_expert_intermediate_size=32),
    _family("Qwen3", "qwen3", EIGHT),
    _family("Qwen3-MoE", "qwen3_moe", EIGHT, EXPERTS),
    _family(
        "Qwen3-Next",
        "qwen3_next",
        EIGHT,
        EXPERTS,
        shared_expert_intermediate_size=32,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"],
    ),
    _family("Gemma", "gemma", EIGHT),
    _family("Gemma 2", "gemma2", EIGHT, sliding_window=8),
    _family("Gemma 3 text", "gemma3_text", EIGHT, LOCAL),
    _family("Phi", "phi", ROTARY),
    _family("Phi-3", "phi3", ROTARY),
    _family("Phi-MoE", "phimoe", ROTARY, num_local_experts=4),
    _family("GPT-2", "gpt2", n_positions=128),
    _family(
        "GPT-Neo",
        "gpt_neo",
        attention_types=[[["global", "local"], 1]],
        window_size=8,
        max_position_embeddings=128,
    ),
    _family("GPT-NeoX, Pythia", "gpt_neox", intermediate_size=64, max_position_embeddings=128),
    _family("GPT-J", "gptj", n_positions=128, rotary_dim=4),
    _family("GPT-BigCode", "gpt_bigcode", n_positions=128),
    _family("GPT-OSS", "gpt_oss", EIGHT, num_local_experts=4, num_experts_per_tok=2, sliding_window=8),
    _family("CodeGen", "codegen", n_positions=128, rotary_dim=4),
    _family("OPT", "opt", ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=128),
    _family("BLOOM", "bloom"),
    _family("MPT", "mpt", max_seq_len=128),
    _family("Falcon", "falcon", max_position_embeddings=128),
    _family("StableLM", "stablelm", ROTARY),
    _family("Persimmon", "persimmon", intermediate_size=64, max_position_embeddings=128),
    _family("OLMo", "olmo", ROTARY),
    _family("OLMo 2", "olmo2", ROTARY),
    _family("OLMo 3", "olmo3", ROTARY, LOCAL),
    _family("OLMoE", "olmoe", ROTARY, num_experts=4, num_experts_per_tok=2),
    _family("Granite", "granite", ROTARY, logits_scaling=2.0, residual_multiplier=0.5),
    _family("Granite-MoE", "granitemoe", ROTARY, num_local_experts=4),
    _family(
        "Granite 4",
        "granitemoehybrid",
        ROTARY,
        MAMBA,
        num_local_experts=0,
        shared_intermediate_size=64,
        layer_types=["mamba", "attention"],
    ),
    _family("Cohere", "cohere", ROTARY),
    _family("Cohere 2", "cohere2", ROTARY, LOCAL),
    _family("SmolLM3", "smollm3", ROTARY, no_rope_layers=[1, 0]),
    _family("StarCoder2", "starcoder2", ROTARY, sliding_window=8),
    _family("Nemotron", "nemotron", ROTARY),
    _family("GLM", "glm", EIGHT),
    _family("GLM-4", "glm4", EIGHT),
    _family("Helium", "helium", EIGHT),
    _family("EXAONE 4", "exaone4", EIGHT, sliding_window=8),
    _family("Ernie 4.5", "ernie4_5", EIGHT),
    _family("Seed-OSS", "seed_oss", EIGHT),
    _family("DeepSeek-V2", "deepseek_v2", LATENT),
    _family("DeepSeek-V3", "deepseek_v3", LATENT),
    _family("XGLM", "xglm", ffn_dim=64, max_position_embeddings=128),
    _family("Mamba", "mamba", state_size=8),
    _family("Mamba 2", "mamba2", state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=8),
    _family("Falcon-Mamba", "falcon_mamba", state_size=8),
    _family("Falcon-H1", "falcon_h1", EIGHT, MAMBA, mamba_d_ssm=64),
    _family(
        "Jamba", "jamba", ROTARY, mamba_d_state=8, num_experts=4, attn_layer_period=2, attn_layer_offset=1
    ),
    _family("LFM2", "lfm2", ROTARY, layer_types=["conv", "full_attention"]),
    _family(
        "RecurrentGemma",
        "recurrent_gemma",
        intermediate_size=64,
        attention_window_size=8,
        block_types=["recurrent", "attention"],
    ),
    _family("RWKV", "rwkv", note="it changes its own weights when it goes to eval mode or back"),
)


def tiny_of_family(family: TinyFamily, *, seed: int = 0) -> PreTrainedModel:
    """A random model of a family in eval mode, with weights large enough to heed the context."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(family.model_type, **{**SHAPE, **family.config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make: Any = AutoModelForCausalLM.from_config
        model: PreTrainedModel = make(config).eval()
    return model


def family_base(family: TinyFamily, *, seed: int = 0) -> LoadedModel:
    """The same with a tokenizer, on the CPU, as a base."""
    model = tiny_of_family(family, seed=seed)
    return pristine(model, tiny_tokenizer(), path=f"tiny/{family.model_type}", device=torch.device("cpu"))
