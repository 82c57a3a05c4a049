"""When memory runs out: smaller batches, the same numbers; one sentence where nothing is left to halve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_probe.errors import ModelError
from sft_probe.observe.needs import Generations, Need, Scores, States, TokenDivergence
from sft_probe.observe.observer import Observer
from sft_probe.observe.passages import Budget, out_of_memory
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
TUNED = tiny_tuned(BASE)
NEEDS: tuple[Need, ...] = (
    Scores(dataset="test"),
    Generations(dataset="test", max_new_tokens=6),
    TokenDivergence(dataset="test", limit=5),
    States(dataset="text"),
)
CPU_SAYS = (
    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate 9"
)
MAKERS = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": lambda: RuntimeError(CPU_SAYS),
    "linux": lambda: RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    ),
    "python": MemoryError,
}


@contextmanager
def room_for(model: Any, tokens: int, error: Callable[[], BaseException]) -> Iterator[list[int]]:
    """A model that raises between its blocks when it is given more tokens; yields the sizes it read."""
    sizes: list[int] = []

    def check(module: Any, args: Any, kwargs: Any) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        sizes.append(hidden.shape[0] * hidden.shape[1])
        if sizes[-1] > tokens:
            raise error()

    handle = model.model.layers[1].register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield sizes
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", MAKERS)
def test_the_batch_is_halved_and_the_numbers_stay(kind: str) -> None:
    plain = Observer(BASE, DATA).look(TUNED, NEEDS)
    observer = Observer(BASE, DATA)
    with room_for(TUNED, 90, MAKERS[kind]) as sizes:
        small = observer.look(TUNED, NEEDS)
        failed = sum(size > 90 for size in sizes)
        assert failed > 0
        assert observer.budget.tokens <= 90
        sizes.clear()
        observer.look(TUNED, NEEDS)
        assert max(sizes) <= 90, "what did not fit once is not tried again"
    for need in NEEDS:
        a, b = plain[need], small[need]
        for name in a.__slots__:
            if isinstance(getattr(a, name), np.ndarray):
                np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-4)
            elif name in ("texts", "token", "n_truncated"):
                assert getattr(a, name) == getattr(b, name)


def test_the_base_beside_it_is_halved_too() -> None:
    need = TokenDivergence(dataset="test")
    plain = Observer(BASE, DATA).look(TUNED, [need])[need]
    with room_for(BASE.model, 60, MAKERS["cuda"]):
        small = Observer(BASE, DATA).look(TUNED, [need])[need]
    np.testing.assert_allclose(plain.kl_tuned_base, small.kl_tuned_base, atol=1e-5)


@pytest.mark.parametrize("need", NEEDS)
def test_one_sequence_that_does_not_fit_is_said(need: Need) -> None:
    with room_for(TUNED, 3, MAKERS["cuda"]), pytest.raises(ModelError, match=r"one sequence of .* tokens"):
        Observer(BASE, DATA).look(TUNED, [need])


def test_another_error_is_not_taken_for_it() -> None:
    with (
        room_for(TUNED, 3, lambda: RuntimeError("shapes cannot be multiplied")) as sizes,
        pytest.raises(RuntimeError, match="multiplied"),
    ):
        Observer(BASE, DATA).look(TUNED, NEEDS)
    assert len(sizes) == 1


@settings(max_examples=50, deadline=None)
@given(tokens=st.integers(1, 10_000), rows=st.integers(2, 100), width=st.integers(1, 200))
def test_halving_ends(tokens: int, rows: int, width: int) -> None:
    """Whatever the budget was, what was tried just now does not fit it any more."""
    budget = Budget(tokens=tokens)
    budget.shrink(MemoryError(), rows=rows, width=width)
    assert rows * width > budget.tokens
    assert budget.tokens < tokens


def test_errors_are_told_apart() -> None:
    assert all(out_of_memory(make()) for make in MAKERS.values())
    assert not out_of_memory(ValueError("out of memory"))
    assert not out_of_memory(RuntimeError("index out of range"))
