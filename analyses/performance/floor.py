"""The floor of a look: what must go through a model at least once, and how long that takes alone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from sft_probe.observe import forward, generating, scoring, trees
from sft_probe.observe.answering import Answerer
from sft_probe.observe.divergence import DivergenceReader
from sft_probe.observe.drafting import DraftReader
from sft_probe.observe.lending import lend
from sft_probe.observe.passages import Budget, Passage, plan

Taken = list[tuple[tuple[int, ...], int]]


@dataclass
class Sequences:
    """What a look asks to be read: sequences of tokens, each with the place from which it is predicted.

    taken: by the model. by_base: by the base as well, because the text is the model's own and new to it.
    computed: positions that went through the model, padding included.
    """

    taken: Taken = field(default_factory=list)
    by_base: Taken = field(default_factory=list)
    computed: int = 0

    @contextlib.contextmanager
    def recording(self, model: Any) -> Iterator[None]:
        """Watch the doors of the engine: passages, questions, answers, and comparisons with the base."""
        functions = (scoring.read_passages, trees.score_together, generating.generate)
        methods = ((Answerer, "answer"), (DivergenceReader, "take"))
        handle = model.get_input_embeddings().register_forward_pre_hook(self._count)
        with contextlib.ExitStack() as stack:
            stack.callback(handle.remove)
            for original, watched in zip(functions, self._functions(*functions), strict=True):
                for name, module in list(sys.modules.items()):
                    if name.startswith("sft_probe.observe") and original.__name__ in vars(module):
                        stack.enter_context(patch.object(module, original.__name__, watched))
            originals = (getattr(kind, name) for kind, name in methods)
            for (kind, name), watched in zip(methods, self._methods(model, *originals), strict=True):
                stack.enter_context(patch.object(kind, name, watched))
            yield

    def _functions(self, read: Any, score: Any, generate: Any) -> tuple[Any, Any, Any]:
        def reading(model: Any, wanted: Any, *rest: Any) -> Any:
            for reader, passages in wanted:
                if not isinstance(reader, DraftReader):  # a guess need not be read, only the answer
                    self.taken += map(_read, passages)
                self._questions(getattr(reader, "questions", ()))
            return read(model, wanted, *rest)

        def scoring_together(model: Any, questions: Any, *rest: Any) -> Any:
            self._questions(questions)
            return score(model, questions, *rest)

        def generating(model: Any, prompts: Any, **rest: Any) -> Any:
            answers = generate(model, prompts, **rest)
            self._answers(prompts, ((answer,) for answer in answers))
            return answers

        return reading, scoring_together, generating

    def _methods(self, model: Any, answer: Any, take: Any) -> tuple[Any, Any]:
        def answering(answerer: Any, *rest: Any) -> Any:
            found = answer(answerer, *rest)
            if answerer.model is model:
                self._answers(found.prompts, found.ids)
            return found

        def comparing(reader: Any, taken_of: Any, batch: Any, *rest: Any) -> Any:
            if reader.contexts == "tuned":
                self.by_base += map(_read, batch.passages)
            return take(reader, taken_of, batch, *rest)

        return answering, comparing

    def _answers(self, prompts: Any, answers: Any) -> None:
        for prompt, own in zip(prompts, answers, strict=True):
            self.taken += [((*prompt, *answer[:-1]), len(prompt) - 1) for answer in own]

    def _questions(self, questions: Any) -> None:
        for context, continuations in questions:
            self.taken += [((*context, *rest[:-1]), len(context) - 1) for rest in continuations]

    def _count(self, module: Any, given: Any) -> None:
        self.computed += given[0].numel()


def _read(passage: Passage) -> tuple[tuple[int, ...], int]:
    return passage.ids[:-1], passage.start - 1


@dataclass(frozen=True)
class Floor:
    """The least that any tool must do: read each distinct token behind its context once, with its logits.

    Sequences that begin other sequences are left out; what the rest still share is counted once, by scaling.
    """

    passages: tuple[Passage, ...]
    tokens: int

    @staticmethod
    def of(taken: Taken) -> Floor:
        """Distinct tokens behind their context, and the longest sequences that hold them all."""
        starts: dict[tuple[int, ...], int] = {}
        for ids, start in taken:
            starts[ids] = min(start, starts.get(ids, start))
        prefixes = {ids[:end] for ids in starts for end in range(1, len(ids) + 1)}
        inner = {ids[:-1] for ids in prefixes}
        longest = [ids for ids in starts if ids not in inner]
        return Floor(tuple(Passage((*ids, 0), starts[ids] + 1) for ids in longest), len(prefixes))

    @property
    def share(self) -> float:
        """Distinct tokens among those of the longest sequences."""
        return self.tokens / sum(len(passage.ids) - 1 for passage in self.passages)

    def forward(self, model: Any) -> None:
        """Read as much as `tokens` tokens, logits included, in batches as the engine's."""
        budget, done = Budget(), 0
        with lend(model):
            for batch in plan(self.passages, budget, 0):
                if done >= self.tokens:
                    break
                done += sum(len(passage.ids) - 1 for passage in batch.passages)
                logits, _ = forward.read(model, batch)
                for at in range(0, len(logits), logits.step):
                    logits.at(slice(at, at + logits.step))
