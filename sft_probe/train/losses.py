"""The training loss token by token, read off the forward passes that the trainer makes anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sft_probe.data.chat import IGNORED, stop_token_ids
from sft_probe.errors import ModelError
from sft_probe.schema import Measurement
from sft_probe.stats.intervals import mean_interval

Ints = NDArray[np.int64]

FORMAT, CONTENT, END = KINDS = ("format", "content", "end")
COMMON = 0.8  # of the training answers; what most of them contain is form, not content
SAMPLED = 512  # training answers that decide what is common
ROWS = 256  # of logits whose loss is computed at once
MOST = 4_000_000  # numbers of token losses kept between two records; beyond, the oldest are left out


class _Batch(NamedTuple):
    """What one forward pass leaves behind, on the device: token ids, labels, mask, loss per next token."""

    ids: Tensor
    labels: Tensor
    mask: Tensor | None
    losses: Tensor  # (batch, seq - 1)


class TokenLosses:
    """Collects the loss of every trained token between two records, and sorts it by kind and by stratum.

    A token is the *end* if it stops an answer, *format* if it has no letter or digit or stands in 80 % of the
    training answers, else *content*. Strata are those of the column `stratum` of the training rows.
    """

    def __init__(self, tokenizer: Any, rows: Any) -> None:
        self._tokenizer = tokenizer
        self._batches: list[_Batch] = []
        self._kinds: dict[int, str] = dict.fromkeys(_ends(tokenizer), END)
        self._common = _common_tokens(rows, self._kinds)
        self._strata = _strata(rows)

    def attach(self, model: nn.Module) -> Any:
        """Listen to a model's training passes. Returns the handle whose `remove` ends it."""
        return model.register_forward_hook(self._heard, with_kwargs=True)

    def _heard(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        """Keep what a pass with gradients says of its labels. Changes and draws nothing."""
        ids, labels = kwargs.get("input_ids"), kwargs.get("labels")
        if not (module.training and torch.is_grad_enabled() and ids is not None and labels is not None):
            return
        losses = _losses(output, labels)
        if losses is not None and losses.shape == labels[:, 1:].shape == ids[:, 1:].shape:
            self._batches.append(_Batch(ids, labels, kwargs.get("attention_mask"), losses))
            while sum(batch.losses.numel() for batch in self._batches) > MOST and len(self._batches) > 1:
                del self._batches[0]

    def rows(self) -> Iterator[Measurement]:
        """Mean loss since the last record: of all tokens, by kind of token, and by stratum of the example."""
        batches, self._batches = self._batches, []
        if not batches:
            return
        losses, kinds, examples, strata = self._sorted(batches)
        yield _row("token_loss", losses, examples)
        for kind in KINDS if self._tokenizer is not None else ():
            if (own := kinds == kind).any():
                yield _row("token_loss", losses[own], examples[own], kind)
        for stratum in sorted(set(self._strata.values())) if self._strata else ():
            if (own := strata == stratum).any():
                yield _row("stratum_loss", losses[own], examples[own], stratum)

    def _sorted(self, batches: Sequence[_Batch]) -> tuple[NDArray[Any], ...]:
        """Per trained token: its loss, its kind, the number of its row, and the row's stratum."""
        losses: list[NDArray[np.float64]] = []
        tokens: list[Ints] = []
        lengths: list[Ints] = []
        strata: list[str] = []
        for batch in batches:
            ids, labels = batch.ids.cpu().numpy(), batch.labels.cpu().numpy()
            trained = labels[:, 1:] != IGNORED
            losses.append(batch.losses.double().cpu().numpy()[trained])
            tokens.append(labels[:, 1:][trained])
            lengths.append(trained.sum(axis=1))
            strata += self._names(ids, labels, batch.mask)
        distinct, which = np.unique(np.concatenate(tokens), return_inverse=True)
        kinds = np.array([self._kind(int(token)) for token in distinct], dtype=np.str_)[which]
        counts = np.concatenate(lengths)
        return (
            np.concatenate(losses),
            kinds,
            np.repeat(np.arange(len(counts)), counts),
            np.repeat(strata, counts),
        )

    def _names(self, ids: Ints, labels: Ints, mask: Tensor | None) -> list[str]:
        """The stratum of each row of a batch, "" where it is not known."""
        if not self._strata:
            return [""] * len(ids)
        rows = zip(ids, labels, _plain(mask, ids), strict=True)
        return [self._strata.get(_key(*row), "") for row in rows]

    def _kind(self, token: int) -> str:
        if token not in self._kinds:
            text = self._tokenizer.decode([token]) if self._tokenizer is not None else "a"
            said = any(letter.isalnum() for letter in text)
            self._kinds[token] = CONTENT if said and token not in self._common else FORMAT
        return self._kinds[token]


def _losses(output: Any, labels: Tensor) -> Tensor | None:
    """Loss of every next token, 0 where there is none. TRL's trainers have it; else it is made of logits."""
    known: Tensor | None = getattr(output, "log_probs", None)
    if known is not None:
        return -known.detach()
    logits: Tensor | None = getattr(output, "logits", None)
    if logits is None:
        return None
    with torch.no_grad():
        targets = labels[:, 1:]
        losses = torch.zeros(targets.shape, dtype=torch.float32, device=targets.device)
        for places in torch.split((targets != IGNORED).nonzero(), ROWS):
            row, column = places.unbind(1)
            losses[row, column] = functional.cross_entropy(
                logits[row, column].float(), targets[row, column], reduction="none"
            )
    return losses


def _row(metric: str, losses: NDArray[np.float64], examples: Ints, stratum: str = "") -> Measurement:
    found = mean_interval(losses, examples)
    return Measurement(
        metric=metric,
        value=found.value,
        unit="nats/token",
        dataset="train",
        stratum=stratum,
        se=found.se,
        ci_low=found.low,
        ci_high=found.high,
        n=found.n,
        n_clusters=found.n_clusters,
        better="lower",
        why=found.why,
    )


def _plain(mask: Tensor | None, ids: Ints) -> Ints:
    """1 where a token is read; everywhere if the mask is of another form."""
    if mask is None or tuple(mask.shape) != ids.shape:
        return np.ones_like(ids)
    return np.asarray(mask.cpu().numpy(), dtype=np.int64)


def _key(ids: Ints, labels: Ints, mask: Ints) -> bytes:
    """What a row is known by: its tokens from the first that is read to the last that is trained on."""
    trained = np.flatnonzero(labels != IGNORED)
    last = int(trained[-1]) + 1 if trained.size else 0
    read: Ints = ids[:last][mask[:last] != 0].astype(np.int64)
    return read.tobytes()


def _strata(rows: Any) -> dict[bytes, str]:
    """Stratum of every training row, if the rows name at least two."""
    if not {"input_ids", "labels", "stratum"} <= {*(getattr(rows, "column_names", None) or ())}:
        return {}
    names = rows["stratum"][:]
    if len(set(names)) < 2:
        return {}
    pairs = zip(rows["input_ids"][:], rows["labels"][:], names, strict=True)
    return {
        _key(np.array(ids), np.array(labels), np.ones(len(ids), np.int64)): name
        for ids, labels, name in pairs
        if name
    }


def _common_tokens(rows: Any, ends: Mapping[int, str]) -> frozenset[int]:
    """Tokens that stand in most training answers."""
    if "labels" not in (getattr(rows, "column_names", None) or ()):
        return frozenset()
    answers = rows["labels"][:SAMPLED]
    counts = Counter(token for answer in answers for token in {*answer} - {IGNORED, *ends})
    least = COMMON * len(answers)
    return frozenset(token for token, count in counts.items() if len(answers) > 1 and count >= least)


def _ends(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that stop an answer, as far as a tokenizer or processor tells."""
    try:
        return stop_token_ids(tokenizer)
    except (AttributeError, ModelError, TypeError):
        return ()
