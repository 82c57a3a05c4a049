"""What a probe may ask to see. A need is a frozen value: equal needs are looked at once.

Every need names data sets of the study by name; `limit` takes the first rows (data sets are shuffled
once, by seed, when they are loaded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Log-likelihood of each example's target and of each of its choices, given its messages."""

    dataset: str
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """Greedy answers, cut at the end-of-turn token or at `max_new_tokens`."""

    dataset: str
    max_new_tokens: int = 48
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDivergence:
    """Next-token distributions of the model and of its base on the same teacher-forced tokens.

    contexts: "gold" forces the example's own target; "tuned" forces the model's own greedy answer.
    """

    dataset: str
    contexts: Literal["gold", "tuned"] = "gold"
    max_new_tokens: int = 48
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Residual stream after the embedding and after every block, at chosen token positions.

    positions: tokens per example, spread evenly over the example (first token excluded unless
    `with_first`), so that tokens of one sequence do not pose as independent samples.
    """

    dataset: str
    positions: int = 4
    with_first: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights of the base and what training added to them, matrix by matrix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """lm-eval tasks on the live model, with one row per document."""

    tasks: tuple[str, ...]
    limit: int | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool = False


Need = Scores | Generations | TokenDivergence | States | Weights | Benchmark
