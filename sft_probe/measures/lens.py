"""What the residual stream already says of the next token, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sft_probe.measures.divergence import log_probs
from sft_probe.measures.geometry import Floats, Ints

States = NDArray[np.float32]
Read = Callable[[States], States]
"""(n, hidden) states behind the last block -> (n, vocab) logits, through final norm and unembedding."""

AT_ONCE = 2**24  # logits in memory
DECAY = 1e-3  # nats per squared distance of the matrix from the identity


class Told(NamedTuple):
    """What each layer says at each token: (layers, t) arrays.

    logprob: of the token that follows, in nats. rank: 1 + number of tokens that are likelier. first: the
    likeliest token. kl: KL(last layer || this layer) in nats.
    """

    logprob: Floats
    rank: Ints
    first: Ints
    kl: Floats


class Translator(NamedTuple):
    """An affine map from the states of a layer to those behind the last block: (p, p) and (p,)."""

    matrix: Floats
    offset: Floats

    def __call__(self, states: States) -> States:
        """(n, p) -> (n, p)."""
        return (states @ self.matrix + self.offset).astype(np.float32)


def fit_translator(
    states: Tensor, last: Tensor, logits: Callable[[Tensor], Tensor], steps: int
) -> tuple[Tensor, Tensor]:
    """The affine map of the tuned lens: the least KL(last layer || lens), with a little decay to the
    identity.

    states, last: (n, p) of the same tokens.  logits: (n, p) -> (n, vocab), differentiable; its own parameters
    get no gradient.  steps: of L-BFGS, from the identity. Nothing random is drawn.  Returns: matrix, offset.
    Source: Belrose et al. 2023, Eliciting Latent Predictions from Transformers with the Tuned Lens; there by
    stochastic gradient descent on far more text.
    """
    identity = torch.eye(states.shape[1], device=states.device)
    matrix, offset = identity.clone().requires_grad_(), torch.zeros_like(identity[0]).requires_grad_()
    with torch.no_grad():
        target = log_probs(logits(last))
    descent = torch.optim.LBFGS([matrix, offset], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        said = log_probs(logits(states @ matrix + offset))
        value = (target.exp() * (target - said)).sum(-1).mean() + DECAY * (matrix - identity).square().sum()
        matrix.grad, offset.grad = torch.autograd.grad(value, [matrix, offset])
        return value.detach()

    with torch.enable_grad():
        descent.step(loss)  # type: ignore[no-untyped-call]
    return matrix.detach(), offset.detach()


def tell(states: States, read: Read, following: Ints, translators: tuple[Translator, ...] = ()) -> Told:
    """What every layer says.  states: (layers, t, p), the last ones behind the last block.  following: (t,)
    ids.

    translators: one for each layer but the last; without them this is the logit lens (nostalgebraist 2020).
    """
    n_layers, tokens = states.shape[:2]
    numbers, codes = np.empty((2, n_layers, tokens)), np.empty((2, n_layers, tokens), dtype=np.int64)
    for part in _parts(tokens, int(read(states[-1, :1]).shape[1])):
        last = _log_softmax(read(states[-1, part]))
        certain = np.exp(last)
        for layer in range(n_layers):
            h = states[layer, part]
            at_last = layer == n_layers - 1
            said = last if at_last else _log_softmax(read(translators[layer](h) if translators else h))
            own = said[np.arange(len(said)), following[part]]
            numbers[:, layer, part] = own, (certain * (last - said)).sum(axis=1)
            codes[:, layer, part] = 1 + (said > own[:, None]).sum(axis=1), said.argmax(axis=1)
    return Told(numbers[0], codes[0], codes[1], numbers[1])


def decision_depth(first: Ints) -> Ints:
    """The first layer from which the likeliest token never changes. (layers, t) -> (t,) rows of `first`."""
    settled = first == first[-1]
    found: Ints = len(first) - np.logical_and.accumulate(settled[::-1], axis=0).sum(axis=0)
    return found.astype(np.int64)


def _parts(tokens: int, vocabulary: int) -> Iterator[slice]:
    step = max(1, AT_ONCE // vocabulary)
    yield from (slice(at, min(at + step, tokens)) for at in range(0, tokens, step))


def _log_softmax(logits: States) -> Floats:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide
