"""What the gates need of a model: greedy text, chat answers, likelihoods and a short SFT.

The gates judge a base before the rest of the package may use it, so they stand on plain torch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_probe.world.rng import stream
from sft_probe.world.tasks import Message, Row
from sft_probe.world.tokenizer import BOUNDARY, END, PAD, Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

Model = Any
"""A `LlamaForCausalLM`; `generate` and `eval` are not annotated in transformers 5.23."""
BATCH = 128
LONGEST_VALUE = 14
"""New tokens per answer; the longest value of the world has fewer (tested)."""
IGNORED = -100


@dataclass(frozen=True, slots=True)
class Answer:
    """A generated answer and whether the model ended it by itself."""

    text: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class Speaker:
    """A model with its tokenizer, in fp32 on the CPU."""

    model: Model
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> Speaker:
        """Read a saved base."""
        import torch
        from transformers import LlamaForCausalLM

        model: Model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        return cls(model.eval(), load_tokenizer(folder))

    def id_of(self, token: str) -> int:
        """The id of a special token."""
        return int(self.tokenizer.convert_tokens_to_ids(token))

    def continuations(self, prompts: Sequence[str]) -> list[str]:
        """Greedy continuations of plain text."""
        generated = self._greedy([self.tokenizer(p)["input_ids"] for p in prompts])
        return [self.tokenizer.decode(ids, skip_special_tokens=True) for ids in generated]

    def chat_answers(self, chats: Sequence[Sequence[Message]]) -> list[Answer]:
        """Greedy answers to chats that end with a user's turn."""
        prompts = [
            self.tokenizer.apply_chat_template(
                [dict(m) for m in chat], add_generation_prompt=True, return_dict=False
            )
            for chat in chats
        ]
        end = self.id_of(END)
        answers = []
        for ids in self._greedy(prompts):
            stopped = end in ids
            kept = ids[: ids.index(end)] if stopped else ids
            answers.append(Answer(self.tokenizer.decode(kept, skip_special_tokens=True), stopped))
        return answers

    def _greedy(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        import torch

        found: list[list[int]] = []
        for start in range(0, len(prompts), BATCH):
            batch = prompts[start : start + BATCH]
            width = max(map(len, batch))
            ids = torch.full((len(batch), width), self.id_of(PAD))
            mask = torch.zeros_like(ids)
            for i, prompt in enumerate(batch):
                ids[i, width - len(prompt) :] = torch.tensor(prompt)
                mask[i, width - len(prompt) :] = 1
            with torch.no_grad():
                out = self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=LONGEST_VALUE,
                    do_sample=False,
                )
            found += out[:, width:].tolist()
        return found

    def log_likelihoods(self, texts: Sequence[str]) -> list[float]:
        """Log-probability of whole texts after the document boundary, in nats."""
        import torch

        boundary, pad = self.id_of(BOUNDARY), self.id_of(PAD)
        found: list[float] = []
        for start in range(0, len(texts), BATCH):
            rows = [[boundary, *self.tokenizer(t)["input_ids"]] for t in texts[start : start + BATCH]]
            ids = _padded(rows, pad)
            labels = _padded(rows, IGNORED)
            with torch.no_grad():
                losses = _losses(self.model, ids, labels)
            found += (-losses.sum(1)).tolist()
        return found


def short_sft(
    base: Speaker, rows: Sequence[Row], *, steps: int, batch: int, learning_rate: float, seed: int
) -> Speaker:
    """Fine-tune a copy of the base on answers only: AdamW, constant rate, no decay."""
    import torch

    model: Model = copy.deepcopy(base.model).train()
    encoded = [_answer_only(base.tokenizer, row) for row in rows]
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
    rng = stream(seed, "gate sft")
    for _ in range(steps):
        drawn = rng.sample(encoded, batch)
        ids = _padded([row for row, _ in drawn], base.id_of(PAD))
        labels = _padded([targets for _, targets in drawn], IGNORED)
        losses = _losses(model, ids, labels)
        loss = losses.sum() / (labels[:, 1:] != IGNORED).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return Speaker(model.eval(), base.tokenizer)


def _answer_only(tokenizer: Tokenizer, row: Row) -> tuple[list[int], list[int]]:
    """Token ids of a chat and the same ids with everything but the answer ignored."""
    encoded = tokenizer.apply_chat_template(
        [dict(m) for m in row["messages"]],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, mask = encoded["input_ids"], encoded["assistant_masks"]
    return ids, [token if scored else IGNORED for token, scored in zip(ids, mask, strict=True)]


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """(batch, longest) with rows padded on the right; causal attention never looks there."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


def _losses(model: Model, ids: Tensor, labels: Tensor) -> Tensor:
    """Next-token cross-entropy in nats, (batch, seq - 1), zero where the label is ignored."""
    from torch.nn.functional import cross_entropy

    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return cross_entropy(
        logits.transpose(1, 2).float(), labels[:, 1:], ignore_index=IGNORED, reduction="none"
    )
