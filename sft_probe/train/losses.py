"""The training loss token by token, read off the forward passes that the trainer makes anyway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sft_probe.data.chat import IGNORED, stop_token_ids
from sft_probe.errors import ModelError
from sft_probe.observe.ranks import Ranks
from sft_probe.schema import Measurement
from sft_probe.stats.intervals import mean_interval

Ints = NDArray[np.int64]

FORMAT, CONTENT, END = KINDS = ("format", "content", "end")
CHOSEN, REJECTED = "chosen", "rejected"
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
    positions: Tensor | None = None  # of packed examples, each from 0

    def spans(self) -> Iterator[tuple[int, slice]]:
        """Where each example stands: its row, and its tokens."""
        rows, width = self.ids.shape
        if self.positions is None:
            yield from ((row, slice(0, width)) for row in range(rows))
            return
        for row in range(rows):
            firsts = [*(self.positions[row] == 0).nonzero().flatten().tolist(), width]
            yield from ((row, slice(*pair)) for pair in pairwise(firsts))


class TokenLosses:
    """Collects the loss of every trained token between two records, and sorts it by kind and by stratum.

    A token is the *end* if it stops an answer, *format* if it has no letter or digit or stands in 80 % of the
    training answers, else *content*. Strata are those of the column `stratum` of the training rows; of rows
    for preference optimisation they are `chosen` and `rejected`, and only chosen answers are sorted by kind.
    """

    def __init__(self, tokenizer: Any, rows: Any) -> None:
        self._tokenizer = tokenizer
        self._batches: list[_Batch] = []
        self._kinds: dict[int, str] = dict.fromkeys(_ends(tokenizer), END)
        answers = list(_answers(rows))
        self._common = _common_tokens(answers, self._kinds)
        self._strata = _strata(answers)
        self._avoided = sorted({answer.stratum for answer in answers if not answer.wanted})

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
            mask = kwargs.get("attention_mask")
            positions = kwargs.get("position_ids") if mask is None else None
            self._batches.append(_Batch(ids, labels, mask, losses, positions))
            while sum(batch.losses.numel() for batch in self._batches) > MOST and len(self._batches) > 1:
                del self._batches[0]

    def rows(self) -> Iterator[Measurement]:
        """Mean loss since the last record: of all tokens, by kind of token, and by stratum of the example."""
        batches, self._batches = self._batches, []
        if not batches:
            return
        losses, kinds, examples, strata = _of_all(self._sorted(batches))
        wanted = ~np.isin(strata, self._avoided)
        if wanted.any():
            yield _row("token_loss", losses[wanted], examples[wanted])
        for kind in KINDS if self._tokenizer is not None else ():
            if (own := (kinds == kind) & wanted).any():
                yield _row("token_loss", losses[own], examples[own], kind)
        for stratum in sorted(set(self._strata.values())) if self._strata else ():
            if (own := strata == stratum).any():
                yield _row("stratum_loss", losses[own], examples[own], stratum)

    def _sorted(self, batches: Sequence[_Batch]) -> tuple[NDArray[Any], ...]:
        """Per trained token: its loss, its kind, the number of its row, and the row's stratum."""
        losses: list[NDArray[np.float64]] = []
        tokens: list[Ints] = []
        lengths: list[int] = []
        strata: list[str] = []
        for batch in batches:
            ids, labels = batch.ids.cpu().numpy(), batch.labels.cpu().numpy()
            values, masks = batch.losses.double().cpu().numpy(), _plain(batch.mask, ids)
            trained = np.zeros(values.shape, dtype=bool)
            for row, own in batch.spans():
                inside = slice(own.start, own.stop - 1)
                trained[row, inside] = labels[row, own][1:] != IGNORED
                lengths.append(int(trained[row, inside].sum()))
                strata.append(self._name(ids[row, own], labels[row, own], masks[row, own]))
            losses.append(values[trained])
            tokens.append(labels[:, 1:][trained])
        distinct, which = np.unique(np.concatenate(tokens), return_inverse=True)
        kinds = np.array([self._kind(int(token)) for token in distinct], dtype=np.str_)[which]
        rows = np.repeat(np.arange(len(lengths)), lengths)
        return np.concatenate(losses), kinds, rows, np.repeat(np.array(strata), lengths)

    def _name(self, ids: Ints, labels: Ints, mask: Ints) -> str:
        """The stratum of an example, "" where it is not known."""
        return self._strata.get(_key(ids, labels, mask), "") if self._strata else ""

    def _kind(self, token: int) -> str:
        if token not in self._kinds:
            text = self._tokenizer.decode([token]) if self._tokenizer is not None else "a"
            said = any(letter.isalnum() for letter in text)
            self._kinds[token] = CONTENT if said and token not in self._common else FORMAT
        return self._kinds[token]


def _losses(output: Any, labels: Tensor) -> Tensor | None:
    """Loss of every next token, 0 where there is none. TRL's trainers have it; else it is made of logits."""
    known: Tensor | None = getattr(output, "log_probs", None)
    if known is not None:  # an adapter may have put tokens in front
        return -known.detach()[:, known.shape[1] - labels.shape[1] + 1 :]
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


def _of_all(own: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    """What every process that trains the model has heard; rows are numbered on."""
    parts, at = Ranks.here().gather(own), 0
    columns = []
    for losses, kinds, rows, strata in parts:
        columns.append((losses, kinds, rows + at, strata))
        at = at + int(rows.max(initial=-1)) + 1
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


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


class _Answer(NamedTuple):
    """A training answer: all tokens that are read with it, those of them with loss, its stratum, and whether
    training makes it likelier.
    """

    read: list[int]
    trained: list[int]
    stratum: str
    wanted: bool = True


def _answers(rows: Any) -> Iterator[_Answer]:
    """All answers of training rows: one of each row, or both of a pair."""
    columns = {*(getattr(rows, "column_names", None) or ())}

    def each(*names: str) -> Iterator[tuple[Any, ...]]:
        return zip(*(rows[name][:] for name in names), strict=True)

    if {"input_ids", "labels", "seq_lengths"} <= columns:
        for packed in each("input_ids", "labels", "seq_lengths"):
            yield from _apart(*packed)
    elif {"input_ids", "labels"} <= columns:
        strata = rows["stratum"][:] if "stratum" in columns else [""] * len(rows)
        for (ids, labels), stratum in zip(each("input_ids", "labels"), strata, strict=True):
            yield _trained_answer(ids, labels, stratum)
    elif {"prompt_ids", "chosen_ids", "rejected_ids"} <= columns:
        for prompt, chosen, rejected in each("prompt_ids", "chosen_ids", "rejected_ids"):
            yield _Answer(prompt + chosen, chosen, CHOSEN)
            yield _Answer(prompt + rejected, rejected, REJECTED, wanted=False)
    elif {"prompt_ids", "completion_ids", "label"} <= columns:
        for prompt, ids, good in each("prompt_ids", "completion_ids", "label"):
            yield _Answer(prompt + ids, ids, CHOSEN if good else REJECTED, wanted=good)


def _apart(ids: list[int], labels: list[int], lengths: list[int]) -> Iterator[_Answer]:
    """The answers of examples that share a row."""
    for first, last in pairwise(accumulate(lengths, initial=0)):
        yield _trained_answer(ids[first:last], labels[first:last])


def _trained_answer(ids: list[int], labels: list[int], stratum: str = "") -> _Answer:
    """What is read up to the last token with loss."""
    last = next((at for at in range(len(labels), 0, -1) if labels[at - 1] != IGNORED), 0)
    return _Answer(ids[:last], labels, stratum)


def _strata(answers: Sequence[_Answer]) -> dict[bytes, str]:
    """Stratum of every training answer, if there are at least two."""
    if len({answer.stratum for answer in answers}) < 2:
        return {}
    return {np.array(answer.read, np.int64).tobytes(): answer.stratum for answer in answers if answer.stratum}


def _common_tokens(answers: Sequence[_Answer], ends: Mapping[int, str]) -> frozenset[int]:
    """Tokens that stand in most training answers, of the first of them that are not rejected."""
    wanted = [answer for answer in answers if answer.wanted][:SAMPLED]
    counts = Counter(token for answer in wanted for token in {*answer.trained} - {IGNORED, *ends})
    least = COMMON * len(wanted)
    return frozenset(token for token, count in counts.items() if len(wanted) > 1 and count >= least)


def _ends(tokenizer: Any) -> tuple[int, ...]:
    """Tokens that stop an answer, as far as a tokenizer or processor tells."""
    try:
        return stop_token_ids(tokenizer)
    except (AttributeError, ModelError, TypeError):
        return ()
