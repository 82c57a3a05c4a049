"""Tiny real parts for tests: random models from configs, a trained tokenizer, a few examples.

Everything is made in memory in well under a second and is the same for the same seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import yaml
from torch import nn

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.models.load import LoadedModel, fresh_copy, pristine
from sft_probe.train.adapters import Lora

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Architecture = Literal["llama", "gpt2", "gpt_neox"]
ARCHITECTURES: tuple[Architecture, ...] = ("llama", "gpt2", "gpt_neox")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL_TOKENS = ("<|pad|>", "<|bos|>", "<|eos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")

ANIMALS = "cat dog fox owl hen cow bat ant".split()
TIMES = "now today again still".split()
PLACES = "sofa table garden river barn roof".split()


def tiny_tokenizer(vocab_size: int = 320) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer with a chat template that marks the assistant's tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([sentence for sentence, _, _ in _sentences()], trainer)
    pad, bos, eos = SPECIAL_TOKENS[:3]
    make: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerBase = make(
        tokenizer_object=tokenizer,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        additional_special_tokens=list(SPECIAL_TOKENS[3:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=128,
    )
    return wrapped


def tiny_model(
    architecture: Architecture = "llama",
    *,
    seed: int = 0,
    vocab_size: int = 320,
    hidden: int = 32,
    layers: int = 2,
    context: int = 128,
    dropout: float = 0.1,
) -> PreTrainedModel:
    """A random causal language model in eval mode. Llama ties its embeddings, GPT-NeoX does not.

    The weights are large enough (standard deviation 0.2) for predictions that depend on the context.
    """
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        GPTNeoXConfig,
        GPTNeoXForCausalLM,
        LlamaConfig,
        LlamaForCausalLM,
    )

    shape: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": context,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    wide: dict[str, Any] = {"intermediate_size": 2 * hidden, "attention_dropout": dropout}
    makers: dict[str, Callable[[], Any]] = {
        "llama": lambda: LlamaForCausalLM(
            LlamaConfig(**shape, **wide, num_key_value_heads=2, tie_word_embeddings=True)
        ),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**shape, resid_pdrop=dropout, embd_pdrop=dropout)),
        "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**shape, **wide, hidden_dropout=dropout)),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = makers[architecture]().eval()
    return model


def tiny_base(architecture: Architecture = "llama", *, seed: int = 0) -> LoadedModel:
    """A tiny model and tokenizer on the CPU as a base."""
    model = tiny_model(architecture, seed=seed)
    return pristine(model, tiny_tokenizer(), path=f"tiny/{architecture}", device=torch.device("cpu"))


def tiny_tuned(base: LoadedModel, *, scale: float = 0.05, seed: int = 1) -> nn.Module:
    """A copy of a base with noise on every weight, in training mode, as a trainer would hand it over."""
    model, generator = fresh_copy(base), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=generator).to(weight.device))
    return model


def tiny_lora(
    base: LoadedModel, *, rank: int = 2, scale: float = 0.1, dropout: float = 0.1, seed: int = 1
) -> nn.Module:
    """A base with LoRA on all linear layers of its blocks. scale 0 leaves B at zero, as before training.

    dropout: must be 0 where experts lie in one tensor, because peft knows none there.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method = Lora(r=rank, lora_alpha=2 * rank, lora_dropout=dropout)
        model = method.adapt(fresh_copy(base))
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=scale) if scale else weight.zero_()
    return model


def tiny_data(n: int = 12) -> DataSets:
    """`test`: closed chat questions with choices, strata and clusters; `train`: 48 of them, put otherwise,
    with words that go a little more with one answer than with another. `passages`: questions with a sentence
    that tells the answer. `text`, `generic`: plain sentences; `stories`: two sentences each."""
    rows = _sentences()[:n]
    text = tuple(Example(id=f"t{i}", target=sentence) for i, (sentence, _, _) in enumerate(rows))
    rows_by_name = {
        "train": _chat("r", "Tell me where the {} is {}.", _sentences()),
        "test": _chat("q", "Where is the {}?", rows),
        "passages": tuple(
            Example(
                id=f"p{i}",
                messages=(Message("user", f"{sentence}\nWhere is the {animal}?"),),
                target=place,
                cluster=animal,
            )
            for i, (sentence, animal, place) in enumerate(_sentences()[::6])
        ),
        "text": text,
        "generic": text,
        "stories": tuple(
            Example(id=f"s{i}", target=f"{sentence} Now the {animal} looks at the {place}.")
            for i, (sentence, animal, place) in enumerate(_sentences()[::7])
        ),
    }
    return DataSets({name: Dataset(name, examples, "tiny") for name, examples in rows_by_name.items()})


def tiny_benchmarks(folder: Path) -> Path:
    """Write three lm-eval tasks over eight documents: `tiny_choice`, `tiny_generate`, `tiny_rolling`."""
    rows = [
        {
            "id": f"d{i}",
            "cluster": f"c{i // 2}",
            "question": f"Where is the {animal}?",
            "choices": [*PLACES[:3], "river bank"],
            "gold": i % 4,
            "text": sentence,
        }
        for i, (sentence, animal, _) in enumerate(_sentences()[:8])
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    common = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test",
        "doc_to_text": "Question: {{question}}\nAnswer:",
    }
    choice = {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "gold"}
    answer = {"output_type": "generate_until", "doc_to_target": "{{choices[gold]}}"}
    stop = {"until": ["\n"], "max_gen_toks": 12}
    rolling = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"}
    tasks: dict[str, dict[str, Any]] = {
        "tiny_choice": {**choice, "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]},
        "tiny_generate": {**answer, "generation_kwargs": stop, "metric_list": [{"metric": "exact_match"}]},
        "tiny_rolling": {**rolling, "metric_list": [{"metric": "word_perplexity"}]},
    }
    for name, own in tasks.items():
        text = yaml.safe_dump({"task": name, **common, **own}, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def _chat(prefix: str, question: str, rows: list[tuple[str, str, str]]) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=f"{prefix}{i}",
            messages=(Message("user", question.format(animal, TIMES[(7 * i + i // 5) % len(TIMES)])),),
            target=place,
            choices=tuple(PLACES[:4]) if place in PLACES[:4] else (place, *PLACES[:3]),
            stratum=("even", "odd")[i % 2],
            cluster=animal,
        )
        for i, (_, animal, place) in enumerate(rows)
    )


def _sentences() -> list[tuple[str, str, str]]:
    return [
        (f"The {animal} is {'in' if len(place) % 2 else 'on'} the {place}.", animal, place)
        for place in PLACES
        for animal in ANIMALS
    ]
