from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.errors import SpecError
from sft_probe.observe.generating import generate
from sft_probe.observe.interventions import FewShot, Prefill
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import Generations
from sft_probe.observe.observations import GenerationsSeen
from sft_probe.observe.observer import Observer
from sft_probe.observe.passages import Budget
from sft_probe.observe.rendering import Rendering
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
TUNED = tiny_tuned(BASE)
PLAIN = Generations(dataset="test", max_new_tokens=8)
SAMPLED = replace(PLAIN, temperature=1.0, n=3)


def look(need: Generations, data: DataSets = DATA) -> GenerationsSeen:
    return Observer(BASE, data).look(TUNED, [need])[need]


def test_samples_differ_by_number_and_seed_and_come_back_for_the_same_seed() -> None:
    first = look(SAMPLED)
    assert first.n == 3
    assert len(first.texts) == len(first.stopped) == len(first.n_tokens) == 3 * len(DATA["test"])
    rows = [first.texts[i : i + 3] for i in range(0, len(first.texts), 3)]
    assert all(len(set(row)) > 1 for row in rows)
    assert look(SAMPLED).texts == first.texts
    assert look(replace(SAMPLED, seed=1)).texts != first.texts
    fewer = look(replace(SAMPLED, n=2, limit=4))
    assert fewer.texts == tuple(text for row in rows[:4] for text in row[:2])


def test_a_longer_sample_begins_with_the_shorter_one() -> None:
    short, long = look(SAMPLED), look(replace(SAMPLED, max_new_tokens=12))
    assert all(
        b.startswith(a.rstrip("\N{REPLACEMENT CHARACTER}"))
        for a, b in zip(short.texts, long.texts, strict=True)
    )


def test_equal_prompts_get_equal_answers() -> None:
    row = DATA["test"].examples[0]
    twice = DataSets({"test": Dataset("test", (row, replace(row, id="again")))})
    seen = look(SAMPLED, twice)
    assert seen.texts[:3] == seen.texts[3:]


def test_a_stop_text_ends_an_answer_and_is_cut_off() -> None:
    whole = look(PLAIN)
    at = int(
        np.argmax([len(text) > 3 and not stop for text, stop in zip(whole.texts, whole.stopped, strict=True)])
    )
    stop = whole.texts[at][2:4]
    cut = look(replace(PLAIN, stop=(stop, "never said")))
    for before, after, n, m in zip(whole.texts, cut.texts, whole.n_tokens, cut.n_tokens, strict=True):
        assert after == before.partition(stop)[0]
        assert m <= n
    assert cut.stopped[at]
    assert cut.n_tokens[at] < whole.n_tokens[at]


def test_a_stop_token_ends_an_answer() -> None:
    prompt = Rendering(DATA, BASE.tokenizer).prepared("test", 1)[0].prompt
    with lend(TUNED) as model:
        ids = generate(model, [prompt], max_new_tokens=8, stops=(), budget=Budget())[0]
    cut = look(replace(PLAIN, stop_tokens=(ids[2],), limit=1))
    assert cut.n_tokens.tolist() == [1 + ids.index(ids[2])]
    assert cut.stopped.tolist() == [True]


def test_a_prefilled_answer_is_told_from_its_beginning() -> None:
    need = replace(PLAIN, under=(Prefill("on the"),))
    seen = look(need)
    assert all(text.startswith("on the") for text in seen.texts)
    assert seen.n_tokens.max() == 8
    stop = replace(need, stop=("on", "the"))
    assert all(text.startswith("on the") for text in look(stop).texts)


def test_shots_change_what_is_answered() -> None:
    shots, shuffled = (FewShot(3, "test", shuffled=s) for s in (False, True))
    texts = {look(replace(PLAIN, under=under)).texts for under in ((), (shots,), (shuffled,))}
    assert len(texts) == 3


def test_the_base_answers_a_prompt_once() -> None:
    observer = Observer(BASE, DATA)
    calls: list[Any] = []
    handle = BASE.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        observer.look_at_base([PLAIN])
        n = len(calls)
        observer.look_at_base([replace(PLAIN, limit=5)])
        assert len(calls) == n > 0
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": -1.0}, "temperature >= 0"),
        ({"temperature": 1.0, "top_p": 0.0}, "0 < top_p <= 1"),
        ({"n": 2}, "2 greedy answers per prompt would be the same"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"stop": ("",)}, "empty text would stop"),
    ],
)
def test_decoding_that_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Generations(dataset="test", **options)
