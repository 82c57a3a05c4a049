"""What a probe may ask to see. A need is a frozen value: equal needs are looked at once.

Every need names data sets of the study by name; `limit` takes the first rows (data sets are shuffled
once, by seed, when they are loaded). `under` names interventions that hold while it is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sft_probe.errors import SpecError
from sft_probe.observe.interventions import Intervention, PromptIntervention

Contexts = Literal["gold", "tuned", "base", "sampled"]
StatePlace = Literal["residual", "attention", "mlp"]
Positions = Literal["spread", "prompt_end", "answer", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Log-likelihood of each example's target and of each of its choices, given its messages."""

    dataset: str
    limit: int | None = None
    under: tuple[Intervention, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """Log-probability, rank and entropy at every token of an answer to each example, given its messages.

    contexts, seed: whose answer, as in `TokenDivergence`.
    """

    dataset: str
    contexts: Contexts = "gold"
    max_new_tokens: int = 48
    seed: int = 0
    limit: int | None = None
    under: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        _at_least_one(max_new_tokens=self.max_new_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """Answers, cut at the end-of-turn token, at a stop rule or at `max_new_tokens`.

    temperature: 0 is greedy. top_p: sampling keeps the smallest set of most likely tokens that holds this
    probability. n: answers per prompt, for sampling. seed: the draws of an answer depend on it, on the
    prompt and on the answer's number, not on what else is asked. stop: texts that end an answer and are cut
    off. stop_tokens: token ids that end an answer besides those of tokenizer and template.
    """

    dataset: str
    max_new_tokens: int = 48
    temperature: float = 0.0
    top_p: float = 1.0
    n: int = 1
    seed: int = 0
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    limit: int | None = None
    under: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        _at_least_one(max_new_tokens=self.max_new_tokens, n=self.n)
        if not (self.temperature >= 0 and 0 < self.top_p <= 1):
            raise SpecError("sampling needs temperature >= 0 and 0 < top_p <= 1.", field="temperature, top_p")
        if self.n > 1 and self.temperature == 0:
            raise SpecError(f"{self.n} greedy answers per prompt would be the same.", field="temperature")
        if "" in self.stop:
            raise SpecError("an empty text would stop every answer.", field="stop")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDivergence:
    """Next-token distributions of the model and of its base on the same teacher-forced tokens.

    contexts: "gold" forces the example's own target, "tuned" the model's own greedy answer, "base" that of
    the base, "sampled" an answer drawn from the base at temperature 1. seed: of that draw. Interventions on
    the model leave the base it is compared with alone; those of the prompt change what both read.
    """

    dataset: str
    contexts: Contexts = "gold"
    max_new_tokens: int = 48
    seed: int = 0
    limit: int | None = None
    under: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        _at_least_one(max_new_tokens=self.max_new_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """States inside the model at chosen tokens of each example.

    place: the residual stream after the embedding (layer 0) and after every block, or what attention or MLP
    add to it in each block. layers: all of them by default. at: "spread" takes `positions` tokens spread
    evenly over the example (first token excluded unless `with_first`), so that tokens of one sequence do
    not pose as independent samples; "prompt_end" takes the last token of the prompt, "answer" all tokens
    from there on, "all" every token that is read.
    """

    dataset: str
    place: StatePlace = "residual"
    layers: tuple[int, ...] | None = None
    at: Positions = "spread"
    positions: int = 4
    with_first: bool = False
    limit: int | None = None
    under: tuple[Intervention, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLikeness:
    """How alike the states of a model and of its base are at the same tokens, layer by layer.

    Streamed: for probes that need only these statistics of the states, memory does not grow with their
    number. Fields as in `States`.
    """

    dataset: str
    place: StatePlace = "residual"
    layers: tuple[int, ...] | None = None
    at: Positions = "spread"
    positions: int = 4
    with_first: bool = False
    limit: int | None = None
    under: tuple[Intervention, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights of the base and what training added to them, matrix by matrix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unembedding:
    """The model's final norm and unembedding, as a function from states to logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Where every head looks at the tokens from which the answer is predicted, beside the base's heads.

    field: `Example.meta[field]` maps kinds of text to pieces of the prompt, word for word, so that attention
    is counted by kind. Takes passes of its own, in which attention is computed by the kernel that shows it.
    """

    dataset: str
    field: str = ""
    limit: int | None = None
    under: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        if any(isinstance(intervention, PromptIntervention) for intervention in self.under):
            raise SpecError("pieces of a prompt are not looked for in another wording of it.", field="under")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """lm-eval tasks on the live model, with one row per document.

    In chat form few-shot examples are turns of their own unless `fewshot_as_multiturn` is off;
    `system_instruction` stands before the task's own description. With `drawn`, a limit takes the first
    documents in an order drawn once and for all, instead of the task's own.
    """

    tasks: tuple[str, ...]
    limit: int | None = None
    num_fewshot: int | None = None
    apply_chat_template: bool = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool = True
    drawn: bool = False
    under: tuple[Intervention, ...] = ()

    def __post_init__(self) -> None:
        if any(isinstance(intervention, PromptIntervention) for intervention in self.under):
            raise SpecError(
                "lm-eval writes its own prompts, which interventions on the prompt do not reach.",
                field="under",
                remedy="Use `num_fewshot` and `apply_chat_template`.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grafts:
    """Scores of models with blocks of one in the other: each block both ways, and sets that a search takes.

    score: the log-likelihood of targets ("answer"), or how far the right choice leads ("choices"). tasks,
    task_limit: lm-eval tasks, of which those with choices are looked at too, by the same lead. share, width,
    most: the search adds blocks to the base until they carry this share of the gain, as in
    `measures.grafting.greedy`. seed: of the random changes of the same size.
    """

    dataset: str
    limit: int
    score: Literal["answer", "choices"] = "answer"
    tasks: tuple[str, ...] = ()
    task_limit: int = 5
    share: float = 0.9
    width: int = 3
    most: int = 8
    seed: int = 1


def data_of(need: Need) -> frozenset[str]:
    """Names of the data sets that decide what a need sees, those of its interventions included."""
    under = getattr(need, "under", ())
    places = (need, *under, *(getattr(change, "direction", None) for change in under))
    return frozenset(name for place in places if isinstance(name := getattr(place, "dataset", None), str))


Standing = Weights | Unembedding | Grafts
"""Needs that are seen of the model as it is, whatever else is done to it."""

Need = (
    Scores
    | TokenLogprobs
    | Generations
    | TokenDivergence
    | States
    | StateLikeness
    | Attention
    | Standing
    | Benchmark
)


def _at_least_one(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise SpecError(f"{name} must be at least 1, not {value}.", field=name)
