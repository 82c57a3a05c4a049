"""Each loss against its formula, written out row by row."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from sft_probe.errors import SpecError
from sft_probe.train.regularisers.base import Batch
from sft_probe.train.regularisers.tokens import Constrained, KlToBase, LabelSmoothing

TARGETS = [torch.tensor([7, 8, 9]), torch.tensor([7, 9])]


def test_label_smoothing_is_that_of_torch(bench: Any) -> None:
    def mean_loss(epsilon: float) -> float:
        sums = [
            functional.cross_entropy(logits, target, label_smoothing=epsilon, reduction="sum")
            for logits, target in zip(bench.logits(), TARGETS, strict=True)
        ]
        return float(sum(sums)) / 5

    found = bench.added(LabelSmoothing(epsilon=0.2), loss=mean_loss(0.0))
    assert float(found) == pytest.approx(mean_loss(0.2), rel=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_kl_on_the_batch_is_the_mean_over_its_answers(direction: Any, bench: Any) -> None:
    total = 0.0
    for tuned, base in zip(bench.logits(), bench.logits(bench.base.model), strict=True):
        p, q = (base, tuned) if direction == "forward" else (tuned, base)
        p, q = p.softmax(-1), q.softmax(-1)
        total += float((p * (p / q).log()).sum())
    found = bench.added(KlToBase(weight=0.5, direction=direction), loss=1.0)
    assert float(found) == pytest.approx(1 + 0.5 * total / 5, rel=1e-4)
    assert found.requires_grad


def test_kl_on_other_text_reads_that_text(bench: Any) -> None:
    """Both rows of the text are in one batch; five tokens have labels."""
    total = 0.0
    for ids in ([1, 20, 21, 22], [1, 30, 31]):
        p, q = (
            model(input_ids=torch.tensor([ids])).logits[0, :-1].softmax(-1)
            for model in (bench.base.model, bench.model)
        )
        total += float((p * (p / q).log()).sum())
    found = bench.added(KlToBase(weight=1.0, dataset="generic", rows=2))
    assert float(found) == pytest.approx(total / 5, rel=1e-4)
    with pytest.raises(SpecError, match="'nothing' has no rows"):
        bench.added(KlToBase(dataset="nothing"))


def test_kl_of_the_base_to_itself_is_nothing(bench: Any) -> None:
    base = bench.base.model
    itself = bench._replace(batch=Batch(base, base, bench.batch.inputs, 5.0, 1.0))
    assert float(itself.added(KlToBase(weight=10.0))) == pytest.approx(0, abs=1e-5)


def test_constrained_tokens_by_hand(bench: Any) -> None:
    """Betas by place: the first token 0.5, the second 2, beyond two 0.1."""
    total = 0.0
    for tuned, base, target in zip(bench.logits(), bench.logits(bench.base.model), TARGETS, strict=True):
        for place, token in enumerate(target.tolist(), start=1):
            beta = {1: 0.5, 2: 2.0}.get(place, 0.1)
            ratio = tuned[place - 1].softmax(-1)[token] / base[place - 1].softmax(-1)[token]
            total += -2 / beta * float(torch.log(1 / (1 + ratio**-beta)))
    found = bench.added(Constrained(until=2), loss=123.0)
    assert float(found) == pytest.approx(total / 5, rel=1e-4), "the plain loss is left out"


def test_a_small_beta_has_the_gradient_of_the_plain_loss(bench: Any) -> None:
    weight = next(bench.model.parameters()).requires_grad_(True)
    tiny = bench.added(Constrained(first=1e-3, early=1e-3, later=1e-3))
    plain = bench.batch.mean(-bench.batch.logprob)
    ours, theirs = (torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in (tiny, plain))
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: KlToBase(direction="both"), "takes direction"),  # type: ignore[arg-type]
        (lambda: LabelSmoothing(epsilon=1.0), r"epsilon in \[0, 1\)"),
        (lambda: Constrained(first=0), "betas above 0"),
    ],
)
def test_impossible_options_are_refused(make: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        make()
