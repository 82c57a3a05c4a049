"""What is seen of an example depends on nothing else that is looked at, nor on how that is batched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.observe.interventions import FewShot, Interpolate, Quantise
from sft_probe.observe.needs import Generations, Need, Scores, States, TokenDivergence, TokenLogprobs
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import ARCHITECTURES, tiny_base, tiny_data, tiny_lora, tiny_tuned

BASES = {architecture: tiny_base(architecture) for architecture in ARCHITECTURES}
MODELS = {name: tiny_tuned(base) for name, base in BASES.items()} | {"lora": tiny_lora(BASES["llama"])}
DATA = tiny_data()
EXAMPLES = DATA["test"].examples
NEEDS: tuple[Need, ...] = (
    Scores(dataset="asked"),
    TokenLogprobs(dataset="asked"),
    TokenLogprobs(dataset="asked", contexts="tuned", max_new_tokens=5),
    TokenDivergence(dataset="asked"),
    TokenDivergence(dataset="asked", contexts="base", max_new_tokens=5),
    TokenDivergence(dataset="asked", contexts="tuned", max_new_tokens=5),
    States(dataset="asked"),
    States(dataset="asked", place="attention", layers=(1,), at="prompt_end"),
    States(dataset="asked", place="mlp", at="answer"),
    Scores(dataset="asked", under=(FewShot(2, "test"), Interpolate(0.5))),
    Generations(dataset="asked", max_new_tokens=6),
    Generations(dataset="asked", max_new_tokens=6, stop=("a", " "), under=(Quantise(4),)),
    Generations(dataset="asked", max_new_tokens=6, temperature=0.8, top_p=0.9, n=3, seed=1),
)


def look(name: str, rows: Any, budget: int, needs: Any = NEEDS) -> dict[str, dict[Need, list[Any]]]:
    """Example id -> need -> everything that was seen of it."""
    data = DataSets({"asked": Dataset("asked", tuple(rows)), "test": DATA["test"]})
    base = BASES["llama" if name == "lora" else name]  # type: ignore[index]
    seen = Observer(base, data, token_budget=budget).look(MODELS[name], needs)
    return {row.id: {need: of_example(seen[need], i) for need in needs} for i, row in enumerate(rows)}


def of_example(seen: Any, i: int) -> list[Any]:
    if hasattr(seen, "texts"):
        return [seen.texts[i * seen.n : (i + 1) * seen.n]]
    if hasattr(seen, "target_logprob"):
        return [seen.target_logprob[i], seen.choice_logprob[i]]
    own = seen.example == i
    if hasattr(seen, "states"):
        return [seen.states[:, own]]
    return [
        getattr(seen, name)[own] for name in seen.__slots__ if name.startswith(("kl", "logprob", "entropy"))
    ]


REFERENCE = {name: look(name, EXAMPLES, 100_000) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=8)
@given(
    rows=st.lists(st.sampled_from(EXAMPLES), min_size=1, max_size=12, unique_by=lambda row: row.id),
    budget=st.integers(1, 400),
    first=st.integers(0, len(NEEDS) - 1),
)
def test_company_and_batches_do_not_matter(name: str, rows: Any, budget: int, first: int) -> None:
    needs = (NEEDS[first], *NEEDS[:first], *NEEDS[first + 1 :])
    for row, found in look(name, rows, budget, needs).items():
        for need, values in found.items():
            for value, expected in zip(values, REFERENCE[name][row][need], strict=True):
                if isinstance(need, Generations):
                    assert value == expected
                else:
                    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-5, err_msg=str(need))
