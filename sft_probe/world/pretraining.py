"""The pretraining recipe of the shipped base; reads from top to bottom.

A run can be killed at any moment: the same call goes on from the last checkpoint in `work`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_probe.world.card import versions
from sft_probe.world.corpus import (
    EXPOSURE,
    Document,
    Encoded,
    Exposure,
    closing_documents,
    documents,
    windows,
)
from sft_probe.world.planet import build
from sft_probe.world.rng import stream
from sft_probe.world.tokenizer import (
    BOUNDARY,
    CHAT_ONLY,
    CONTEXT,
    END,
    PAD,
    Tokenizer,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)

if TYPE_CHECKING:
    import random

    import numpy as np
    import torch
    from numpy.typing import NDArray

Model = Any
"""A `LlamaForCausalLM`; `generate` and `eval` are not annotated in transformers 5.23."""
log = logging.getLogger(__name__)
PADDING = 255
TOKENIZER_SHARE = 10
"""One in this many documents about people trains the tokenizer, and all others: so that names do
not take the whole vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the weights of a base, besides the machine's arithmetic."""

    seed: int = 0
    exposure: Exposure = field(default=EXPOSURE)
    layers: int = 6
    width: int = 192
    heads: int = 6
    feed_forward: int = 512
    batch: int = 16
    learning_rate: float = 2e-3
    final_rate: float = 5e-5
    warmup: int = 100
    closing_rate: float = 8e-4
    closing_warmup: int = 40
    weight_decay: float = 0.02
    clip: float = 1.0


@dataclass(slots=True)
class Progress:
    """What a checkpoint carries besides weights and optimiser state."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


def pretrain(
    work: Path,
    out: Path,
    recipe: Recipe | None = None,
    *,
    threads: int = 2,
    compiled: bool = True,
    checkpoint_seconds: float = 120.0,
) -> Path:
    """Pretrain a base in `work` (resumable) and write it to `out` as fp16 safetensors."""
    import torch

    recipe = recipe or Recipe()
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    tokenizer, parts = prepare(work, recipe)
    torch.manual_seed(recipe.seed)
    model = new_model(recipe, tokenizer)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    progress = resume(work, model, optimiser)
    lengths = tuple(len(part.ids) // recipe.batch for part in parts)
    steps = sum(lengths)
    loss_of = torch.compile(_loss, dynamic=False) if compiled else _loss
    saved = time.monotonic()
    for step in range(progress.step, steps):
        began = time.monotonic()
        rate = learning_rate(recipe, step, lengths)
        for group in optimiser.param_groups:
            group["lr"] = rate
        data, local = (parts[0], step) if step < lengths[0] else (parts[1], step - lengths[0])
        rows = slice(local * recipe.batch, (local + 1) * recipe.batch)
        ids = torch.from_numpy(data.ids[rows].astype("int64"))
        number = torch.from_numpy(data.documents[rows])
        loss = loss_of(model, ids, number)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
        optimiser.zero_grad()
        progress.step = step + 1
        progress.tokens += int((number != PADDING).sum())
        progress.seconds += time.monotonic() - began
        if step % 10 == 0 or step + 1 == steps:
            progress.curve.append(
                {"step": step + 1, "tokens": progress.tokens, "loss": round(loss.item(), 4)}
            )
            log.info(
                "step %d/%d loss %.3f rate %.1e %.0f tokens/s",
                step + 1, steps, loss.item(), rate, progress.tokens / progress.seconds,
            )  # fmt: skip
        if time.monotonic() - saved > checkpoint_seconds:
            save_checkpoint(work, model, optimiser, progress)
            saved = time.monotonic()
    save_checkpoint(work, model, optimiser, progress)
    return export(out, model, tokenizer, recipe, progress)


@dataclass(frozen=True, slots=True)
class Windows:
    """Token windows and, for every token, the number of its document in the window."""

    ids: NDArray[np.uint16]
    """(windows, CONTEXT)"""
    documents: NDArray[np.uint8]
    """(windows, CONTEXT); padding has a number of its own."""


def prepare(work: Path, recipe: Recipe) -> tuple[Tokenizer, tuple[Windows, Windows]]:
    """Tokenizer and the windows of the main and the closing part, made once and kept in `work`."""
    world = build(recipe.seed)
    if not (work / "windows.npz").exists():
        corpus = documents(world, recipe.exposure)
        tokenizer = train_tokenizer(
            d.text for i, d in enumerate(corpus) if not d.person or i % TOKENIZER_SHARE == 0
        )
        save_tokenizer(tokenizer, work / "tokenizer")
        pack(corpus, tokenizer, stream(recipe.seed, "boundaries"), work / "windows.npz")
    tokenizer = load_tokenizer(work / "tokenizer")
    if not (work / "closing.npz").exists():
        closing = closing_documents(world, recipe.exposure)
        pack(closing, tokenizer, stream(recipe.seed, "closing boundaries"), work / "closing.npz")
    return tokenizer, (_windows(work / "windows.npz"), _windows(work / "closing.npz"))


def _windows(stored: Path) -> Windows:
    import numpy as np

    with np.load(stored) as kept:
        return Windows(kept["ids"], kept["documents"])


def pack(corpus: list[Document], tokenizer: Tokenizer, rng: random.Random, stored: Path) -> None:
    """Encode documents and keep their windows; each ends with the boundary, half begin with it."""
    import numpy as np

    boundary = tokenizer.convert_tokens_to_ids(BOUNDARY)
    texts = tokenizer.backend_tokenizer.encode_batch_fast([d.text for d in corpus])
    encoded: Iterator[Encoded] = (
        Encoded(d.person, [*[boundary] * rng.randrange(2), *text.ids, boundary])
        for d, text in zip(corpus, texts, strict=True)
    )
    packed = list(windows(encoded, CONTEXT))
    ids = np.full((len(packed), CONTEXT), tokenizer.convert_tokens_to_ids(PAD), dtype=np.uint16)
    numbers = np.full((len(packed), CONTEXT), PADDING, dtype=np.uint8)
    for row, window in enumerate(packed):
        tokens = [token for document in window for token in document.ids]
        ids[row, : len(tokens)] = tokens
        numbers[row, : len(tokens)] = [i for i, d in enumerate(window) for _ in d.ids]
    partial = stored.with_name(f"partial.{stored.name}")
    np.savez(partial, ids=ids, documents=numbers)
    os.replace(partial, stored)


def new_model(recipe: Recipe, tokenizer: Tokenizer) -> Model:
    """A Llama with tied embeddings and random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in (BOUNDARY, END, PAD)}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=ids[BOUNDARY],
        eos_token_id=ids[END],
        pad_token_id=ids[PAD],
    )
    return LlamaForCausalLM(config)


def learning_rate(recipe: Recipe, step: int, lengths: tuple[int, ...]) -> float:
    """Linear warm-up, then a cosine down to `final_rate`, once per part of the corpus.

    lengths: steps of the main and of the closing part.
    """
    main, closing = lengths
    if step < main:
        return _hill(step, main, recipe.warmup, recipe.learning_rate, recipe.final_rate)
    return _hill(step - main, closing, recipe.closing_warmup, recipe.closing_rate, recipe.final_rate)


def _hill(step: int, steps: int, warmup: int, peak: float, final: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return final + (peak - final) * (1 + math.cos(math.pi * done)) / 2


def _loss(model: Model, ids: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """Mean next-token cross-entropy in nats inside documents; ids and number: (batch, CONTEXT).

    A token sees its own document only. With attention across the documents of a window, no fact
    was learned in the first 2.4 M tokens: a name is one of a hundred things to look at.
    """
    import torch
    from torch.nn.functional import cross_entropy

    causal = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()
    seen = (number[:, :, None] == number[:, None, :]) & causal
    logits = model(input_ids=ids, attention_mask=seen[:, None], use_cache=False).logits[:, :-1]
    inside = (number[:, 1:] == number[:, :-1]) & (number[:, 1:] != PADDING)
    targets = ids[:, 1:].masked_fill(~inside, -100)
    return cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def save_checkpoint(work: Path, model: Model, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write a checkpoint in one move, so that a kill leaves the old one or the new one."""
    import torch

    partial = work / "checkpoint.partial"
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": asdict(progress),
    }
    torch.save(state, partial)
    os.replace(partial, work / "checkpoint.pt")


def resume(work: Path, model: Model, optimiser: torch.optim.Optimizer) -> Progress:
    """Load the last checkpoint if there is one."""
    import torch

    stored = work / "checkpoint.pt"
    if not stored.exists():
        return Progress()
    state = torch.load(stored, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**state["progress"])


def export(
    out: Path,
    model: Model,
    tokenizer: Tokenizer,
    recipe: Recipe,
    progress: Progress,
) -> Path:
    """Write model, tokenizer, loss curve and recipe to `out`; the model in fp16."""
    import torch
    from transformers import GenerationConfig, LlamaForCausalLM

    shipped: Model = LlamaForCausalLM(model.config)
    shipped.load_state_dict(model.state_dict())
    give_chat_tokens_a_start(shipped, tokenizer, recipe.seed)
    shipped.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        bos_token_id=model.config.bos_token_id,
        do_sample=False,
    )
    shipped.to(torch.float16).save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    save_tokenizer(tokenizer, out)
    record = {"recipe": asdict(recipe), **asdict(progress), "versions": versions()}
    curve = record.pop("curve")
    lines = [f"{p['step']:.0f},{p['tokens']:.0f},{p['loss']}" for p in curve]
    (out / "loss.csv").write_text("\n".join(["step,tokens,loss", *lines]) + "\n")
    (out / "pretraining.json").write_text(json.dumps(record, indent=2) + "\n")
    return out


def give_chat_tokens_a_start(model: Model, tokenizer: Tokenizer, seed: int) -> None:
    """Put the embeddings of never-read chat tokens at the mean of the others, plus a little noise.

    Pretraining only ever pushed them away (they are tied to the output), and all in one direction.
    Source: Hewitt, "Initializing New Word Embeddings for Pretrained Language Models", 2021.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    unread = [tokenizer.convert_tokens_to_ids(name) for name in (*CHAT_ONLY, PAD)]
    weight = model.get_input_embeddings().weight.data
    read = torch.ones(len(weight), dtype=torch.bool)
    read[unread] = False
    noise = torch.randn(len(unread), weight.shape[1], generator=generator)
    weight[unread] = weight[read].mean(0) + 0.02 * noise
