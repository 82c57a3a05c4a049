"""The tokenizer: byte-level BPE trained on the corpus, with chat tokens the corpus never holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Tokenizer = Any
"""A `PreTrainedTokenizerFast`; its own annotations allow too many types to be of use."""

VOCABULARY = 2048
CONTEXT = 256
BOUNDARY, PAD, SYSTEM, USER, ASSISTANT, END = (
    "<|endoftext|>",
    "<|pad|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
)
SPECIAL = (BOUNDARY, PAD, SYSTEM, USER, ASSISTANT, END)
CHAT_ONLY = (SYSTEM, USER, ASSISTANT, END)
"""Tokens the base has never read: SFT has to teach them."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{%- elif message['role'] in ['system', 'user'] -%}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{%- else -%}"
    "{{ raise_exception('unknown role: ' + message['role']) }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
"""An answer starts right after `<|assistant|>` and ends with `<|end|>`, which is part of it."""


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Learn the merges from texts and return the tokenizer in its HF form.

    A text is read as if a space stood before it, so that a value has the same tokens at the start
    of an answer as inside a sentence; decoding takes that space away again.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    create: Any = PreTrainedTokenizerFast
    tokenizer = create(
        tokenizer_object=backend,
        bos_token=BOUNDARY,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=CONTEXT,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read a saved tokenizer, without the network."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer without the traces of how it was loaded."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    for trace in ("is_local", "local_files_only"):
        config.pop(trace, None)
    path.write_text(json.dumps(config, indent=2) + "\n")
