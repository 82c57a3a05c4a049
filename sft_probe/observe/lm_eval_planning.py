"""What lm-eval tasks would read: the adapter, counting where it reads. Imports lm-eval; import it late."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sft_probe.models.load import LoadedModel
from sft_probe.observe.lm_eval import LiveModel, run_benchmark
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.passages import Budget
from sft_probe.observe.scoring import Question, TokenScores
from sft_probe.observe.workload import Key, Ledger, Traits, answer_all, read_together


class _Counting(LiveModel):
    """Writes down what it is asked; every answer is empty and every choice as likely as any other."""

    def __init__(self, base: LoadedModel, budget: Budget, template: str | None, traits: Traits) -> None:
        super().__init__(base.model, base.tokenizer, budget, template)
        self.ledger, self.traits = Ledger(), traits

    def _scored(self, questions: Sequence[Question]) -> list[list[TokenScores]]:
        read_together(self.ledger, _KEY, questions, self.budget, self.traits)
        nothing = np.zeros(max(len(c) for q in questions for c in q.continuations))
        return [
            [TokenScores(nothing[: len(c)], nothing[: len(c)] > 0) for c in q.continuations]
            for q in questions
        ]

    def _generated(self, prompts: Sequence[list[int]], stops: Sequence[str], room: int) -> list[list[int]]:
        answer_all(self.ledger, _KEY, prompts, room, self.budget, self.traits)
        self.ledger.ask(_KEY, sum(len(prompt) + room - 1 for prompt in prompts))
        return [[] for _ in prompts]


_KEY = Key("model", (), "")


def plan_benchmark(
    base: LoadedModel,
    need: Benchmark,
    paths: tuple[Path, ...],
    budget: Budget,
    *,
    template: str | None,
    traits: Traits,
) -> tuple[Ledger, int]:
    """The passes of one run of the tasks of a need, under one key, and the number of its documents.

    Raises: DataError as `run_benchmark`.
    """
    live = _Counting(base, budget, template, traits)
    seen = run_benchmark(live, need, paths)
    return live.ledger, len({(item.task, item.item) for item in seen.items})
