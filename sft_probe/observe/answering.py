"""Answers of a model to the prompts of a data set, and what is reported of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor, nn

from sft_probe.data.examples import Example
from sft_probe.models.anatomy import context_length
from sft_probe.observe.drafting import DraftReader
from sft_probe.observe.forward import can_branch
from sft_probe.observe.generating import Rules, Sampling, generate
from sft_probe.observe.grouping import Asking, Decoding
from sft_probe.observe.observations import Floats, GenerationsSeen
from sft_probe.observe.passages import Budget, Passage, fit
from sft_probe.observe.rendering import Prepared, Rendering
from sft_probe.observe.scoring import Question, read_passages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Prompt = tuple[int, ...]
NO_GUESS = (0,)  # is predicted, but not read


class Answers(NamedTuple):
    """Answers to the first prompts of a data set, in token ids."""

    prompts: list[Prompt]
    ids: list[list[list[int]]]  # per prompt, n answers
    truncated: list[bool]
    states: list[Tensor] | None = None  # per prompt, behind which its first answer was predicted, if kept

    def questions(self, n: int) -> list[Question]:
        """The first answers to the first n prompts, to be forced."""
        pairs = zip(self.prompts[:n], self.ids[:n], strict=True)
        return [Question(prompt, (tuple(answers[0]),)) for prompt, answers in pairs]


class Draft(NamedTuple):
    """Answers that can begin in a pass over known text: who makes them, of which prompts, n for each."""

    reader: DraftReader
    prompts: list[Prompt]
    decoding: Decoding
    passages: list[Passage]


@dataclass(frozen=True)
class Answerer:
    """Lets a model answer the data sets of a study.

    known: its answers by prompt and decoding; those of a base are kept from look to look.
    """

    model: nn.Module
    rendering: Rendering
    budget: Budget
    known: dict[tuple[Prompt, Decoding], list[list[int]]]
    _begun: set[tuple[Prompt, Decoding]] = field(init=False, default_factory=set)
    _states: dict[tuple[Prompt, Decoding], Tensor] = field(init=False, default_factory=dict)

    def draft(self, asking: Asking, limit: int | None, *, keep_states: bool = False) -> Draft | None:
        """How to answer while other text is read, or None if nothing is left to do or the model cannot."""
        rows = self.rendering.prepared(asking.dataset, limit, asking.wording)
        prompts, _, decoding = fitted(self.rendering, asking, limit, context_length(self.model))
        missing = guesses(rows, prompts, asking, decoding, self.known.keys() | self._begun)
        if not missing or not can_branch(self.model):
            return None
        self._begun.update((prompt, decoding) for prompt in missing)
        rules = self._rules(list(missing), asking, decoding)
        reader = DraftReader(rules, self.budget, keep_states)
        return Draft(
            reader, list(missing), decoding, [p for p in missing.values() for _ in range(decoding.n)]
        )

    def learn(self, draft: Draft) -> None:
        """Take over answers once they are made."""
        said, n = draft.reader.said, draft.decoding.n
        for at, prompt in enumerate(draft.prompts):
            own = [said[at * n + number] for number in range(n)]
            self.known[prompt, draft.decoding] = [answer.ids for answer in own]
            if own[0].states is not None:
                self._states[prompt, draft.decoding] = own[0].states

    def answer(self, asking: Asking, limit: int | None) -> Answers:
        """Answers to the first prompts. Equal prompts are asked once. The model is lent already."""
        prompts, truncated, decoding = fitted(self.rendering, asking, limit, context_length(self.model))
        if draft := self.draft(asking, limit):
            read_passages(self.model, [(draft.reader, draft.passages)], self.budget)
            self.learn(draft)
        missing = [prompt for prompt in dict.fromkeys(prompts) if (prompt, decoding) not in self.known]
        for prompt, answers in zip(missing, self._generate(missing, asking, decoding), strict=True):
            self.known[prompt, decoding] = answers
        states = [self._states[p, decoding] for p in prompts if (p, decoding) in self._states]
        kept = states if len(states) == len(prompts) else None
        return Answers(prompts, [self.known[prompt, decoding] for prompt in prompts], truncated, kept)

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
        self, prompts: Sequence[Prompt], asking: Asking, decoding: Decoding
    ) -> list[list[list[int]]]:
        n, rules = decoding.n, self._rules(prompts, asking, decoding)
        ids = generate(
            self.model,
            [prompt for prompt in prompts for _ in range(n)],
            budget=self.budget,
            **rules._asdict(),
        )
        return [ids[at : at + n] for at in range(0, len(ids), n)]

    def _rules(self, prompts: Sequence[Prompt], asking: Asking, decoding: Decoding) -> Rules:
        return Rules(
            decoding.max_new_tokens,
            {*self.rendering.stops, *decoding.stop_tokens},
            self._ending(asking).reached if decoding.stop else None,
            _sampling(prompts, decoding) if decoding.temperature else None,
        )

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


def guesses(
    rows: Sequence[Prepared],
    prompts: Sequence[Prompt],
    asking: Asking,
    decoding: Decoding,
    known: Collection[tuple[Prompt, Decoding]],
) -> dict[Prompt, Passage]:
    """Prompts without known answers, each with the expected one as a guess, unless an answer is prefilled."""
    found: dict[Prompt, Passage] = {}
    for row, prompt in zip(rows, prompts, strict=True):
        if (prompt, decoding) not in known and prompt not in found:
            guess = row.target[: decoding.max_new_tokens] if asking.wording.prefill is None else ()
            found[prompt] = Passage(prompt + (guess or NO_GUESS), len(prompt))
    return found


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
