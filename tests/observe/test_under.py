"""What the observer shows under interventions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_probe.errors import ModelError
from sft_probe.models.anatomy import anatomy
from sft_probe.models.load import fresh_copy
from sft_probe.observe.interventions import (
    Ablate,
    Add,
    Direction,
    FewShot,
    Graft,
    Interpolate,
    Intervention,
    MeanShift,
    Prefill,
    Quantise,
    Template,
)
from sft_probe.observe.needs import (
    Benchmark,
    Generations,
    Need,
    Scores,
    StateLikeness,
    States,
    TokenDivergence,
    TokenLogprobs,
    Weights,
)
from sft_probe.observe.observer import Observer
from sft_probe.testing.conformance import fingerprint
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_data, tiny_lora, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
MODELS = {"full": tiny_tuned(BASE), "lora": tiny_lora(BASE)}
SHIFT = MeanShift("text", 1)
SCORES = Scores(dataset="test")
KINDS: tuple[tuple[Intervention, ...], ...] = (
    (FewShot(2, "test"), Prefill("on"), Template(on=False)),
    (Interpolate(0.3),),
    (Graft(layers=(1,)), Add(SHIFT)),
    (Ablate(Direction(2, tuple(np.linspace(-1, 1, 32)))), Quantise(4), FewShot(2, "test", shuffled=True)),
)
TEXTS: tuple[Need, ...] = (
    SCORES,
    TokenLogprobs(dataset="test", limit=3),
    TokenDivergence(dataset="test", limit=3),
    TokenDivergence(dataset="test", contexts="tuned", max_new_tokens=4, limit=3),
    TokenDivergence(dataset="test", contexts="base", max_new_tokens=4, limit=3),
    Generations(dataset="test", max_new_tokens=4, limit=3),
    States(dataset="test", limit=3),
    StateLikeness(dataset="test"),
)
both = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def under(need: Any, *interventions: Intervention) -> Any:
    return replace(need, under=interventions)


def scores(model: Any, *interventions: Intervention) -> Any:
    need = under(SCORES, *interventions)
    return Observer(BASE, DATA).look(model, [need])[need].target_logprob


@both
def test_the_path_from_base_to_model_has_its_ends_where_they_are(model: Any) -> None:
    base = Observer(BASE, DATA).look_at_base([SCORES])[SCORES].target_logprob
    plain = scores(model)
    assert abs(plain - base).max() > 0.1
    for start in (Interpolate(0.0), Graft(direction="base_to_tuned"), Graft(layers=())):
        np.testing.assert_allclose(scores(model, start), base, atol=1e-5)
    for end in (Interpolate(1.0), Graft(), Graft(layers=(), direction="base_to_tuned")):
        np.testing.assert_allclose(scores(model, end), plain, atol=2e-4)
    middle = scores(model, Interpolate(0.5))
    assert min(abs(middle - base).max(), abs(middle - plain).max()) > 0.01


@both
def test_needs_under_all_interventions_leave_models_as_they_were(model: Any, tmp_path: Path) -> None:
    benchmark = Benchmark(tasks=("tiny_choice",), limit=2, under=(Quantise(3),))
    needs = [Weights(), benchmark, *(under(need, *kind) for kind in KINDS for need in TEXTS)]
    observer = Observer(BASE, DATA, benchmark_paths=(tiny_benchmarks(tmp_path),))
    before = fingerprint(model), fingerprint(BASE.model)
    seen, base = observer.look(model, needs), observer.look_at_base(needs)
    assert (fingerprint(model), fingerprint(BASE.model)) == before
    assert all(need in seen and need in base for need in needs)


def test_nothing_is_left_behind_when_a_look_fails() -> None:
    model = MODELS["full"]
    before = fingerprint(model)
    wrong = States(dataset="test", layers=(9,), under=(Quantise(4), Interpolate(0.5)))
    with pytest.raises(ModelError, match="layers"):
        Observer(BASE, DATA).look(model, [wrong])
    assert fingerprint(model) == before


@both
@settings(max_examples=15)
@given(
    kind=st.sampled_from(KINDS),
    needs=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3, unique=True),
    good=st.integers(0, 6),
    at_base=st.booleans(),
)
def test_nothing_is_left_behind_wherever_a_pass_fails(
    model: Any, kind: Any, needs: list[Need], good: int, at_base: bool
) -> None:
    """After some good passes the last block of the model, or of the base, raises an error of its own."""
    calls: list[int] = []

    def fail(*_: object) -> None:
        calls.append(1)
        if len(calls) > good:
            raise ArithmeticError("in the middle")

    block = anatomy(BASE.model if at_base else model).blocks[-1]
    hook = block.register_forward_pre_hook(fail)
    before = fingerprint(model), fingerprint(BASE.model), torch.get_rng_state().tolist()
    try:
        Observer(BASE, DATA, token_budget=60).look(model, [under(need, *kind) for need in needs])
    except ArithmeticError:
        assert len(calls) == good + 1
    else:
        assert len(calls) <= good
    assert (fingerprint(model), fingerprint(BASE.model), torch.get_rng_state().tolist()) == before
    hook.remove()


def test_needs_under_the_same_changes_share_a_pass() -> None:
    model, reads = fresh_copy(BASE), []
    model.load_state_dict(MODELS["full"].state_dict())
    model.get_submodule("model.layers.0").register_forward_hook(lambda *_: reads.append(1))
    need = under(SCORES, Interpolate(0.5))

    def passes(*needs: Need) -> int:
        reads.clear()
        Observer(BASE, DATA).look(model, needs)
        return len(reads)

    passes(need)  # a model object seen for the first time is read twice to learn how it ends
    alone = passes(need)
    tokens, states = (under(kind(dataset="test"), Interpolate(0.5)) for kind in (TokenLogprobs, States))
    assert passes(need, need, tokens, states, replace(need, limit=3)) == alone > 0


def test_the_base_under_a_mixture_with_itself_is_the_base() -> None:
    observer = Observer(BASE, DATA)
    plain = observer.look_at_base([SCORES])[SCORES]
    for nothing in (Interpolate(0.5), Graft(layers=(1,)), Ablate(SHIFT), Add(SHIFT)):
        need = under(SCORES, nothing)
        assert observer.look_at_base([need])[need] is plain
        assert observer.look(fresh_copy(BASE), [need])[need] is plain


def test_a_changed_base_is_compared_with_itself_unchanged() -> None:
    plain = TokenDivergence(dataset="test")
    rounded, likeness = under(plain, Quantise(3)), StateLikeness(dataset="test", under=(Quantise(3),))
    needs = (plain, rounded, likeness)
    seen = Observer(BASE, DATA).look_at_base(needs)
    assert seen[plain].kl_tuned_base.max() == 0
    assert seen[rounded].kl_tuned_base.min() > 1e-3
    np.testing.assert_allclose(seen[rounded].entropy_base, seen[plain].entropy_base, atol=1e-6)
    assert seen[likeness].cka[-1, 0] < 0.999


@both
def test_a_divergence_is_from_the_base_without_changes(model: Any) -> None:
    need, changed = (TokenDivergence(dataset="test", under=u) for u in ((), (Interpolate(0.5),)))
    seen = Observer(BASE, DATA).look(model, [need, changed])
    np.testing.assert_allclose(seen[changed].logprob_base, seen[need].logprob_base, atol=1e-5)
    assert 0 < seen[changed].kl_tuned_base.mean() < seen[need].kl_tuned_base.mean()


@both
def test_a_mean_shift_taken_back_gives_the_mean_of_the_base(model: Any) -> None:
    plain = States(dataset="text", layers=(1,))
    back, forth = under(plain, Add(SHIFT, -1.0)), under(plain, Interpolate(0.0), Add(SHIFT))
    observer = Observer(BASE, DATA)
    seen = observer.look(model, [plain, back, forth])
    base = observer.look_at_base([plain])[plain].states.mean(1)
    tuned = seen[plain].states.mean(1)
    assert abs(tuned - base).max() > 0.01
    np.testing.assert_allclose(seen[back].states.mean(1), base, atol=1e-4)
    np.testing.assert_allclose(seen[forth].states.mean(1), tuned, atol=1e-4)
    ablated = under(plain, Ablate(SHIFT))
    left = observer.look(model, [ablated])[ablated].states[0] @ (tuned - base)[0]
    assert abs(left).max() < 1e-3


def test_what_is_seen_is_what_was_asked_for() -> None:
    need = under(SCORES, Add(SHIFT))
    observer = Observer(BASE, DATA)
    observed = observer.look(MODELS["full"], [need])
    assert need in observed
    assert States(dataset="text", layers=(1,)) not in observed


def test_the_answers_of_the_base_can_be_forced() -> None:
    need = TokenDivergence(dataset="test", contexts="base", max_new_tokens=5)
    answers = Generations(dataset="test", max_new_tokens=5)
    observer = Observer(BASE, DATA)
    seen, said = observer.look(MODELS["full"], [need])[need], observer.look_at_base([answers])[answers]
    assert seen.contexts == "base"
    assert np.bincount(seen.example).tolist() == said.n_tokens.tolist()
    own = replace(need, contexts="tuned")
    both_own = observer.look_at_base([need, own])
    np.testing.assert_array_equal(both_own[need].logprob_base, both_own[own].logprob_base)
    assert both_own[own].contexts == "tuned"
    assert both_own[own].token == seen.token
