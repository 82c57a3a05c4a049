"""What came back from a look: plain numpy arrays in the order of the examples. No torch here, so that
probes can be tested on hand-made arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from sft_probe.data.examples import Example
from sft_probe.observe.needs import (
    Attention,
    Benchmark,
    Contexts,
    Generations,
    Grafts,
    Need,
    Scores,
    StateLikeness,
    States,
    TokenDivergence,
    TokenLogprobs,
    Unembedding,
    Weights,
)

if TYPE_CHECKING:
    from sft_probe.measures.lens import Translator

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresSeen:
    """`Scores`: n examples. Log-likelihoods are sums over tokens, in nats."""

    examples: tuple[Example, ...]
    target_logprob: Floats  # (n,)
    target_tokens: Ints  # (n,) tokens of the target, end-of-turn token included for chat examples
    target_greedy: Bools  # (n,) every target token is the argmax
    choice_logprob: tuple[Floats, ...]  # n arrays (n_choices,), end-of-turn token not included
    choice_tokens: tuple[Ints, ...]  # n arrays (n_choices,)
    n_truncated: int = 0  # examples cut to fit the model's context


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobsSeen:
    """`TokenLogprobs`: one entry per answer token, t tokens over n examples. In nats, fp32 softmax."""

    examples: tuple[Example, ...]
    example: Ints  # (t,) index into examples
    position: Ints  # (t,) 0 is the first answer token
    token: tuple[str, ...]  # (t,) as text; special tokens by their name
    logprob: Floats  # (t,)
    rank: Ints  # (t,) 1 + number of tokens that are more likely
    entropy: Floats  # (t,) of the distribution from which the token is predicted
    contexts: Contexts = "gold"  # whose answers were forced, as in `TokenDivergence`
    n_truncated: int = 0  # examples cut to fit the model's context


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationsSeen:
    """`Generations`: m = n answers to each example, example by example."""

    examples: tuple[Example, ...]
    texts: tuple[str, ...]  # (m,) begun as prefilled, cut before a stop text; no special tokens; not stripped
    n_tokens: Ints  # (m,) generated tokens, the stop token included
    stopped: Bools  # (m,) a stop token or text was generated before the limit
    n_truncated: int = 0  # prompts cut on the left to leave room for the answer
    n: int = 1  # answers per example


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDivergenceSeen:
    """`TokenDivergence`: one entry per scored token, t tokens over n examples. All in nats, fp32 softmax."""

    examples: tuple[Example, ...]
    example: Ints  # (t,) index into examples
    position: Ints  # (t,) 0 is the first scored (answer) token
    token: tuple[str, ...]  # (t,) forced token as text; special tokens by their name
    kl_tuned_base: Floats  # (t,) KL(tuned || base)
    kl_base_tuned: Floats  # (t,) KL(base || tuned)
    base_rank: Ints  # (t,) 1 + number of tokens the base likes better than the tuned model's argmax
    base_ties: Ints  # (t,) other tokens with exactly the base probability of that argmax
    entropy_tuned: Floats  # (t,)
    entropy_base: Floats  # (t,)
    logprob_tuned: Floats  # (t,) of the forced token
    logprob_base: Floats  # (t,)
    logprob_tuned_top: Floats = field(default_factory=lambda: np.empty(0))  # (t,) of the base's argmax
    contexts: Contexts = "gold"  # whose answers were forced, as in `TokenDivergence`


@dataclass(frozen=True, slots=True, kw_only=True)
class StatesSeen:
    """`States`: m sampled token positions."""

    examples: tuple[Example, ...]
    example: Ints  # (m,)
    position: Ints  # (m,) token index within the sequence
    layers: tuple[int, ...]  # 0 = embedding, 1..L = blocks
    states: NDArray[np.float32]  # (len(layers), m, hidden)
    following: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(m,) id of the token behind each, which the state predicts; may be left out in arrays made by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLikenessSeen:
    """`StateLikeness`: statistics of n positions; column 0 of all of them, column 1 + g without group g.

    Groups are whole clusters of examples, for a jackknife (`stats/resampling.py`).
    """

    examples: tuple[Example, ...]
    n: int
    n_clusters: int
    layers: tuple[int, ...]
    cka: Floats  # (layers, 1 + groups) debiased linear CKA
    cka_zscored: Floats  # (layers, 1 + groups) the same, every dimension z-scored
    drift: Floats  # (layers, 1 + groups) unaligned, relative to the spread of the base's states


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSeen:
    """`Attention`: per head of each layer, averaged over the tokens from which the answer of an example is
    predicted. Layers without attention, or with a kernel that hides its weights, are left out.
    """

    examples: tuple[Example, ...]
    layers: tuple[int, ...]  # blocks, from 1
    kinds: tuple[str, ...]  # "first", those that the rows name, "answer", "other"; each token is of one kind
    present: Bools  # (kinds, n) whether an example has such tokens
    entropy: Floats  # (layers, heads, n) in nats
    distance: Floats  # (layers, heads, n) total variation to the base's head, from 0 to 1
    mass: Floats  # (layers, heads, kinds, n) share of the attention


@dataclass(frozen=True, slots=True, kw_only=True)
class UnembeddingSeen:
    """`Unembedding`: read takes (n, hidden) states behind the last block to (n, vocab) logits; None where the
    model's logits cannot be made apart, and then `why` says so. fit: from (n, hidden) states of a layer and
    those behind the last block, and a number of steps, the affine map of a tuned lens. text_of: a token as
    text.
    """

    read: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None
    fit: Callable[[NDArray[np.float32], NDArray[np.float32], int], Translator]
    text_of: Callable[[int], str]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDelta:
    """One weight tensor: base values and what training added, both fp32 on the CPU.

    For LoRA `delta` is (alpha / r) B A, and `factors` holds (alpha / r * B, A), so that spectra need
    no dense decomposition.
    """

    name: str  # full parameter name of the base model
    layer: int  # 0 embedding, 1..L block, L + 1 final norm and unembedding
    module: str  # "attention", "mlp", "norm", "embedding", "unembedding", "other"
    base: NDArray[np.float32]
    delta: NDArray[np.float32]
    factors: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSeen:
    """`Weights`: deltas are made one at a time by `iterate`, so memory holds one tensor."""

    iterate: Callable[[], Iterator[WeightDelta]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkItem:
    """One document of one lm-eval task."""

    task: str
    item: str
    cluster: str
    metric: str  # lm-eval's name, e.g. "acc", "exact_match"
    value: float
    margin: float  # log-likelihood of the right choice minus the best wrong one; NaN if not a choice
    prompt: str
    prediction: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSeen:
    """`Benchmark`: per-document rows and lm-eval's own aggregates."""

    items: tuple[BenchmarkItem, ...]
    aggregates: dict[str, dict[str, float]]  # task -> metric -> value
    n_truncated: int = 0  # requests cut on the left to fit the model's context


def _no_rows() -> Floats:
    return np.zeros((0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftItem:
    """An example or a document of a task. cluster: a name that no other data set has."""

    dataset: str
    item: str
    cluster: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftsSeen:
    """`Grafts`: one number per item in nats, larger for better; c blocks were changed by training.

    blocks: all of them, as layer and part. random_*: with a change of the same size that means nothing in
    place of that of training. path: blocks that the search took, in order; row i of `together` has the
    first i + 1 of them. held_back: items that the search did not go by. why: nothing could be grafted.
    """

    items: tuple[GraftItem, ...]
    base: Floats  # (n,)
    tuned: Floats  # (n,)
    blocks: tuple[tuple[int, str], ...] = ()
    changed: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))  # (blocks,)
    sufficient: Floats = field(default_factory=_no_rows)  # (c, n) base with the tuned block
    necessary: Floats = field(default_factory=_no_rows)  # (c, n) tuned with the base's block
    random_sufficient: Floats = field(default_factory=_no_rows)  # (c, n)
    random_necessary: Floats = field(default_factory=_no_rows)  # (c, n)
    path: tuple[tuple[int, str], ...] = ()
    together: Floats = field(default_factory=_no_rows)  # (len(path), n)
    held_back: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))  # (n,)
    why: str = ""


Observation = (
    ScoresSeen
    | TokenLogprobsSeen
    | GenerationsSeen
    | TokenDivergenceSeen
    | StatesSeen
    | StateLikenessSeen
    | AttentionSeen
    | UnembeddingSeen
    | WeightsSeen
    | BenchmarkSeen
    | GraftsSeen
)


class Observed:
    """Observations of one model by need. Asking for what was not declared is a KeyError."""

    def __init__(self, observations: Mapping[Need, Observation]) -> None:
        self._observations = dict(observations)

    @overload
    def __getitem__(self, need: Scores) -> ScoresSeen: ...
    @overload
    def __getitem__(self, need: TokenLogprobs) -> TokenLogprobsSeen: ...
    @overload
    def __getitem__(self, need: Generations) -> GenerationsSeen: ...
    @overload
    def __getitem__(self, need: TokenDivergence) -> TokenDivergenceSeen: ...
    @overload
    def __getitem__(self, need: States) -> StatesSeen: ...
    @overload
    def __getitem__(self, need: StateLikeness) -> StateLikenessSeen: ...
    @overload
    def __getitem__(self, need: Attention) -> AttentionSeen: ...
    @overload
    def __getitem__(self, need: Unembedding) -> UnembeddingSeen: ...
    @overload
    def __getitem__(self, need: Weights) -> WeightsSeen: ...
    @overload
    def __getitem__(self, need: Benchmark) -> BenchmarkSeen: ...
    @overload
    def __getitem__(self, need: Grafts) -> GraftsSeen: ...
    def __getitem__(self, need: Need) -> Observation:
        return self._observations[need]

    def __contains__(self, need: Need) -> bool:
        return need in self._observations
