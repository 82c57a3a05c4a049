from __future__ import annotations

import numpy as np
import pytest
import torch

from sft_probe.observe.needs import TokenDivergence
from sft_probe.observe.observations import TokenDivergenceSeen
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
TUNED = tiny_tuned(BASE)
FLOATS = (
    "kl_tuned_base",
    "kl_base_tuned",
    "entropy_tuned",
    "entropy_base",
    "logprob_tuned",
    "logprob_base",
    "logprob_tuned_top",
)


def look(need: TokenDivergence) -> TokenDivergenceSeen:
    return Observer(BASE, DATA, token_budget=60).look(TUNED, [need])[need]


def naive(ids: list[int], start: int) -> dict[str, list[float]]:
    """Token by token in float64, ranks by counting."""
    columns: dict[str, list[float]] = {name: [] for name in (*FLOATS, "base_rank", "base_ties")}
    with torch.no_grad():
        p, q = (m.eval()(torch.tensor([ids])).logits[0].double().log_softmax(-1) for m in (TUNED, BASE.model))
    TUNED.train()
    for at in range(start, len(ids)):
        lp, lq = p[at - 1], q[at - 1]
        favourite = lq[lp.argmax()]
        values = (
            (lp.exp() * (lp - lq)).sum(),
            (lq.exp() * (lq - lp)).sum(),
            -(lp.exp() * lp).sum(),
            -(lq.exp() * lq).sum(),
            lp[ids[at]],
            lq[ids[at]],
            lp[lq.argmax()],
            1 + sum(x > favourite for x in lq),
            sum(x == favourite for x in lq) - 1,
        )
        for name, value in zip(columns, values, strict=True):
            columns[name].append(float(value))
    return columns


def test_every_column_equals_brute_force_on_the_gold_tokens() -> None:
    from sft_probe.data.chat import render

    seen = look(TokenDivergence(dataset="test", limit=4))
    for i, example in enumerate(DATA["test"].examples[:4]):
        rendered = render(example, BASE.tokenizer)
        rows = seen.example == i
        assert seen.position[rows].tolist() == list(range(len(rendered.target_ids)))
        assert [seen.token[j] for j in np.flatnonzero(rows)] == [
            BASE.tokenizer.decode([t]) for t in rendered.target_ids
        ]
        expected = naive(rendered.prompt_ids + rendered.target_ids, len(rendered.prompt_ids))
        for name in FLOATS:
            np.testing.assert_allclose(getattr(seen, name)[rows], expected[name], atol=1e-5)
        assert seen.base_rank[rows].tolist() == expected["base_rank"]
        assert seen.base_ties[rows].tolist() == expected["base_ties"]


def test_own_answers_are_forced_on_both_models() -> None:
    seen = look(TokenDivergence(dataset="test", contexts="tuned", max_new_tokens=5, limit=3))
    assert set(seen.example.tolist()) == {0, 1, 2}
    # a greedy answer is the model's own argmax, so its probability is at least 1 / vocabulary
    assert seen.logprob_tuned.min() > -np.log(320)
    assert seen.kl_tuned_base.min() > 0


@pytest.mark.parametrize("contexts", ["gold", "tuned"])
def test_the_base_does_not_diverge_from_itself(contexts: str) -> None:
    need = TokenDivergence(dataset="test", contexts=contexts, max_new_tokens=5)  # type: ignore[arg-type]
    seen = Observer(BASE, DATA).look_at_base([need])[need]
    assert abs(seen.kl_tuned_base).max() < 1e-5
    assert seen.base_rank.max() == 1
    np.testing.assert_array_equal(seen.entropy_tuned, seen.entropy_base)


@pytest.mark.parametrize("contexts", ["gold", "base"])
def test_the_base_reads_what_comes_back_once(contexts: str) -> None:
    need = TokenDivergence(dataset="test", contexts=contexts, max_new_tokens=5)  # type: ignore[arg-type]
    observer, reads = Observer(BASE, DATA), []
    hook = BASE.model.get_submodule("model.layers.0").register_forward_hook(lambda *_: reads.append(1))
    first = observer.look(TUNED, [need])[need]
    once = len(reads)
    second = observer.look(TUNED, [need])[need]
    hook.remove()
    assert len(reads) == once > 0
    for name in FLOATS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
