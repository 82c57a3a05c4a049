"""Answers of a model to the prompts of a data set, and what is reported of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import nn

from sft_probe.data.examples import Example
from sft_probe.models.anatomy import context_length
from sft_probe.observe.generating import Sampling, generate
from sft_probe.observe.grouping import Asking, Decoding
from sft_probe.observe.observations import Floats, GenerationsSeen
from sft_probe.observe.passages import Budget, fit
from sft_probe.observe.rendering import Rendering
from sft_probe.observe.scoring import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Prompt = tuple[int, ...]


class Answers(NamedTuple):
    """Answers to the first prompts of a data set, in token ids."""

    prompts: list[Prompt]
    ids: list[list[list[int]]]  # per prompt, n answers
    truncated: list[bool]

    def questions(self, n: int) -> list[Question]:
        """The first answers to the first n prompts, to be forced."""
        pairs = zip(self.prompts[:n], self.ids[:n], strict=True)
        return [Question(prompt, (tuple(answers[0]),)) for prompt, answers in pairs]


@dataclass(frozen=True)
class Answerer:
    """Lets a base, and models tuned from it, answer the data sets of a study.

    known: answers of the base by prompt and decoding, kept from look to look.
    """

    base: nn.Module
    rendering: Rendering
    budget: Budget
    known: dict[tuple[Prompt, Decoding], list[list[int]]]

    def answer(self, model: nn.Module, asking: Asking, limit: int | None) -> Answers:
        """Answers to the first prompts. Equal prompts are asked once. The model is lent already."""
        prompts, truncated, decoding = fitted(self.rendering, asking, limit, context_length(model))
        known = self.known if model is self.base else {}
        missing = [prompt for prompt in dict.fromkeys(prompts) if (prompt, decoding) not in known]
        for prompt, answers in zip(missing, self._generate(model, missing, asking, decoding), strict=True):
            known[prompt, decoding] = answers
        return Answers(prompts, [known[prompt, decoding] for prompt in prompts], truncated)

    def seen(self, asking: Asking, answers: Answers, examples: Sequence[Example]) -> GenerationsSeen:
        """What is reported of the answers to some first examples."""
        ending, begun = self._ending(asking), self.rendering.prefill(asking.wording)
        ids = [answer for row in answers.ids[: len(examples)] for answer in row]
        texts = self.rendering.tokenizer.batch_decode(
            [[*begun, *answer] for answer in ids], skip_special_tokens=True
        )
        ends = [ending.place(text) for text in texts]
        stops = {*self.rendering.stops, *asking.decoding.stop_tokens}
        stopped = [end is not None or answer[-1] in stops for end, answer in zip(ends, ids, strict=True)]
        return GenerationsSeen(
            examples=tuple(examples),
            texts=tuple(text[:end] for text, end in zip(texts, ends, strict=True)),
            n_tokens=np.array([len(answer) for answer in ids], dtype=np.int64),
            stopped=np.array(stopped, dtype=np.bool_),
            n_truncated=sum(answers.truncated[: len(examples)]),
            n=asking.decoding.n,
        )

    def _generate(
        self, model: nn.Module, prompts: Sequence[Prompt], asking: Asking, decoding: Decoding
    ) -> list[list[list[int]]]:
        n, ending = decoding.n, self._ending(asking)
        ids = generate(
            model,
            [prompt for prompt in prompts for _ in range(n)],
            max_new_tokens=decoding.max_new_tokens,
            stops={*self.rendering.stops, *decoding.stop_tokens},
            budget=self.budget,
            done=ending.reached if decoding.stop else None,
            sampling=_sampling(prompts, decoding) if decoding.temperature else None,
        )
        return [ids[at : at + n] for at in range(0, len(ids), n)]

    def _ending(self, asking: Asking) -> Ending:
        tokenizer, begun = self.rendering.tokenizer, self.rendering.prefill(asking.wording)
        return Ending(tokenizer, begun, asking.decoding.stop)


def fitted(
    rendering: Rendering, asking: Asking, limit: int | None, context: int
) -> tuple[list[Prompt], list[bool], Decoding]:
    """The prompts with room for an answer within a context, whether each was cut, and the decoding for it."""
    rows = rendering.prepared(asking.dataset, limit, asking.wording)
    room = [0] * min(asking.decoding.max_new_tokens, context)
    found = [fit(row.prompt, room, context) for row in rows]
    decoding = asking.decoding._replace(max_new_tokens=len(room))
    return [tuple(prompt) for prompt, _, _ in found], [cut for _, _, cut in found], decoding


@dataclass(frozen=True)
class Ending:
    """Where texts end an answer. What the answer was made to begin with ends nothing."""

    tokenizer: PreTrainedTokenizerBase
    begun: Prompt
    stop: tuple[str, ...]

    def reached(self, answer: Sequence[int]) -> bool:
        """Whether an answer, in token ids, holds one of the texts."""
        return self.place(self._text((*self.begun, *answer))) is not None

    def place(self, text: str) -> int | None:
        """Where the first of the texts begins in an answer with its beginning."""
        first = len(self._text(self.begun))
        return min((at for stop in self.stop if (at := text.find(stop, first)) >= 0), default=None)

    def _text(self, ids: Prompt) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)) if ids else ""


def _sampling(prompts: Sequence[Prompt], decoding: Decoding) -> Sampling:
    """Draws that depend on seed, prompt and number of the answer only."""
    keys = (f"{decoding.seed}|{number}|{prompt}" for prompt in prompts for number in range(decoding.n))
    draws: list[Floats] = [
        np.random.default_rng(list(sha256(key.encode()).digest())).random(decoding.max_new_tokens)
        for key in keys
    ]
    shape = (len(draws), decoding.max_new_tokens)
    return Sampling(decoding.temperature, decoding.top_p, np.reshape(draws, shape))
