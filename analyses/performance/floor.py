"""The floor of a look: what must go through a model at least once, and how long that takes alone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from sft_probe.observe import forward, generating, scoring, trees
from sft_probe.observe.divergence import DivergenceReader
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
        """Watch the three doors of the engine: passages, questions and answers."""
        originals = (scoring.read_passages, trees.score_together, generating.generate)
        embedding = model.get_input_embeddings()
        handle = embedding.register_forward_pre_hook(self._count)
        with contextlib.ExitStack() as stack:
            stack.callback(handle.remove)
            for original, watched in zip(originals, self._watched(*originals), strict=True):
                for name, module in list(sys.modules.items()):
                    if name.startswith("sft_probe.observe") and original.__name__ in vars(module):
                        stack.enter_context(patch.object(module, original.__name__, watched))
            yield

    def _watched(self, read: Any, score: Any, generate: Any) -> tuple[Any, Any, Any]:
        def reading(model: Any, wanted: Any, *rest: Any) -> Any:
            for reader, passages in wanted:
                own = [(passage.ids[:-1], passage.start - 1) for passage in passages]
                self.taken += own
                if isinstance(reader, DivergenceReader) and reader.contexts == "tuned":
                    self.by_base += own
                self._questions(getattr(reader, "questions", ()))
            return read(model, wanted, *rest)

        def scoring_together(model: Any, questions: Any, *rest: Any) -> Any:
            self._questions(questions)
            return score(model, questions, *rest)

        def answering(model: Any, prompts: Any, **rest: Any) -> Any:
            answers = generate(model, prompts, **rest)
            for prompt, answer in zip(prompts, answers, strict=True):
                self.taken.append(((*prompt, *answer[:-1]), len(prompt) - 1))
            return answers

        return reading, scoring_together, answering

    def _questions(self, questions: Any) -> None:
        for context, continuations in questions:
            self.taken += [((*context, *rest[:-1]), len(context) - 1) for rest in continuations]

    def _count(self, module: Any, given: Any) -> None:
        self.computed += given[0].numel()


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
