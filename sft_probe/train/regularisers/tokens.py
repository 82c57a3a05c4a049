"""Regularisers that speak token by token: divergence from the base, label smoothing, constrained tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from sft_probe.data.chat import IGNORED
from sft_probe.errors import SpecError
from sft_probe.train.regularisers.base import Batch, Part, Rows, Setting


@dataclass(frozen=True, kw_only=True)
class KlToBase:
    """weight · KL to the base per token, on the training batches or on other text.

    direction: "forward" is KL(base ‖ model), which keeps all that the base might say; "reverse" is
    KL(model ‖ base). dataset: "train" takes the trained tokens of each batch, any other name `rows` rows of
    that data set beside each batch, in an order drawn by the seed. The mean is over the tokens of a pass.
    """

    name: ClassVar[str] = "kl"
    weight: float = 0.1
    direction: Literal["forward", "reverse"] = "forward"
    dataset: str = "train"
    rows: int = 8

    def __post_init__(self) -> None:
        if self.direction not in ("forward", "reverse") or self.rows < 1:
            raise SpecError(
                "'kl' takes direction 'forward' or 'reverse' and at least one row.", field="regulariser.kl"
            )

    @property
    def of_answers(self) -> bool:
        """Whether it reads the trained tokens of each batch."""
        return self.dataset == "train"

    def begin(self, setting: Setting) -> Part:
        """Raises: SpecError for a data set without rows."""
        return _Divergence(self, setting)


@dataclass(frozen=True, kw_only=True)
class LabelSmoothing:
    """A share `epsilon` of each label is spread over the vocabulary (Szegedy 2016, arXiv 1512.00567)."""

    name: ClassVar[str] = "label_smoothing"
    of_answers: ClassVar[bool] = True
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < 1:
            raise SpecError("'label_smoothing' takes an epsilon in [0, 1).", field="regulariser")

    def begin(self, setting: Setting) -> Part:
        """Fits every model."""
        return _Smoothed(self.epsilon)


@dataclass(frozen=True, kw_only=True)
class Constrained:
    """Tokens are held near the base by their place in the answer (Qi et al. 2024, arXiv 2406.05946).

    Token-wise constrained fine-tuning stands in the place of the loss that comes before it.
    The loss of a token is -2/β · log sigmoid(β · (log p - log p_base)): the larger β, the sooner a token that
    became likelier than under the base is left alone; β → 0 has the gradient of the plain loss. first, early,
    later: β of the first token, of those up to `until`, and of the rest.
    """

    name: ClassVar[str] = "constrained"
    of_answers: ClassVar[bool] = True
    first: float = 0.5
    early: float = 2.0
    later: float = 0.1
    until: int = 5

    def __post_init__(self) -> None:
        if min(self.first, self.early, self.later) <= 0:
            raise SpecError("'constrained' takes betas above 0.", field="regulariser.constrained")

    def begin(self, setting: Setting) -> Part:
        """Fits every model."""
        return _Held(self)


class _Divergence(Part):
    def __init__(self, options: KlToBase, setting: Setting) -> None:
        self._options = options
        self._others: Iterator[dict[str, Tensor]] | None = None
        if options.dataset != "train":
            rows = setting.rows(options.dataset)
            if not rows:
                raise SpecError(f"'{options.dataset}' has no rows.", field="regulariser.kl")
            self._others = _batches(rows, options.rows, setting)

    def loss(self, loss: Tensor, batch: Batch) -> Tensor:
        """Add the mean divergence at the tokens of this pass."""
        if self._others is not None:
            inputs = next(self._others)
            batch = Batch(batch.model, batch.base, inputs, batch.tokens, batch.share)
        tuned, base = batch.logits.log_softmax(-1), batch.base_logits.log_softmax(-1)
        p, q = (base, tuned) if self._options.direction == "forward" else (tuned, base)
        divergence = (p.exp() * (p - q)).sum(-1)
        if not len(divergence):
            return loss
        return loss + self._options.weight * batch.share * divergence.mean()


class _Smoothed(Part):
    def __init__(self, epsilon: float) -> None:
        self._epsilon = epsilon

    def loss(self, loss: Tensor, batch: Batch) -> Tensor:
        """(1 - ε) of the loss and ε of the loss of a uniform label."""
        logprob = batch.logits.log_softmax(-1)
        return loss + self._epsilon * batch.mean(batch.logprob - logprob.mean(-1))


class _Held(Part):
    def __init__(self, options: Constrained) -> None:
        self._options = options

    def loss(self, loss: Tensor, batch: Batch) -> Tensor:
        """The constrained loss; what came before is left out."""
        own = self._options
        place = batch.place
        beta = torch.full_like(batch.logprob, own.later)
        beta = beta.masked_fill(place <= own.until, own.early).masked_fill(place == 1, own.first)
        margin = batch.logprob - batch.base_logprob
        return batch.mean(-2 / beta * functional.logsigmoid(beta * margin))


def _batches(rows: Rows, size: int, setting: Setting) -> Iterator[dict[str, Tensor]]:
    """Padded batches of the rows without end; every row comes once before one comes again."""
    pad: Any = setting.base.tokenizer.pad_token_id
    draw = random.Random(f"kl:{setting.seed}")
    waiting: Rows = []
    while True:
        while len(waiting) < size:
            waiting += draw.sample(rows, len(rows))
        group, waiting = waiting[:size], waiting[size:]
        ids, labels = ([torch.tensor(row[key]) for row in group] for key in ("input_ids", "labels"))
        yield {
            name: part.to(setting.base.device)
            for name, part in (
                ("input_ids", pad_sequence(ids, batch_first=True, padding_value=pad)),
                ("attention_mask", pad_sequence([torch.ones_like(i) for i in ids], batch_first=True)),
                ("labels", pad_sequence(labels, batch_first=True, padding_value=IGNORED)),
            )
        }
