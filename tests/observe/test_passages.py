from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sft_probe.observe.passages import Batch, Budget, Passage, fit, plan

passages = st.lists(
    st.integers(2, 30).flatmap(
        lambda n: st.integers(1, n - 1).map(lambda start: Passage(tuple(range(n)), start))
    ),
    min_size=1,
    max_size=20,
)


@given(passages=passages, tokens=st.integers(1, 120), logits=st.integers(1, 2000))
def test_every_passage_is_read_once_within_the_budget(
    passages: list[Passage], tokens: int, logits: int
) -> None:
    batches = plan(passages, Budget(tokens, logits), vocab_size=10)
    assert sorted(m for batch in batches for m in batch.members) == list(range(len(passages)))
    for batch in batches:
        assert batch.passages == tuple(passages[m] for m in batch.members)
        if len(batch.members) > 1:
            rows, width = batch.input_ids.shape
            assert rows * width <= tokens
            assert rows * len(batch.columns) * 10 <= logits


@given(passages=passages)
def test_rows_are_the_predicted_tokens_in_order(passages: list[Passage]) -> None:
    batch = Batch(tuple(range(len(passages))), tuple(passages))
    assert batch.offsets[-1] == sum(len(p.ids) - p.start for p in passages)
    ids = batch.input_ids
    kept = ids[:, batch.columns.start : batch.columns.stop, None]
    last_read = batch.pick(kept, batch.columns.start).squeeze(-1).tolist()
    assert last_read == [p.ids[i - 1] for p in passages for i in range(p.start, len(p.ids))]


@given(prompt=st.lists(st.integers(), min_size=1), answer=st.lists(st.integers()), context=st.integers(1, 12))
def test_what_is_cut_fits_and_keeps_the_nearest_words(
    prompt: list[int], answer: list[int], context: int
) -> None:
    kept, kept_answer, cut = fit(prompt, answer, context)
    assert len(kept) >= 1
    assert len(kept) + len(kept_answer) <= context + 1
    assert kept == prompt[-len(kept) :]
    assert kept_answer == answer[: len(kept_answer)]
    assert cut == ((kept, kept_answer) != (prompt, answer))
    if cut:
        assert len(kept) + len(kept_answer) == context + 1
