"""A plan is held against what the observer really reads, counted at the embedding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_probe.models.load import LoadedModel
from sft_probe.observe.interventions import (
    Ablate,
    Add,
    Contrast,
    FewShot,
    Interpolate,
    MeanShift,
    Prefill,
    Quantise,
    Template,
)
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import (
    Attention,
    Benchmark,
    Generations,
    Need,
    Scores,
    StateLikeness,
    States,
    TokenDivergence,
    TokenLogprobs,
    Unembedding,
    Weights,
)
from sft_probe.observe.observer import Observer
from sft_probe.observe.planning import LookPlan, Planner, Wanted
from sft_probe.observe.workload import Traits
from sft_probe.testing.families import FAMILIES, family_base
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_data, tiny_lora, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
TUNED = tiny_tuned(BASE)
FORWARD: tuple[Need, ...] = (
    Scores(dataset="test"),
    Scores(dataset="test", limit=3),
    Scores(dataset="text"),
    TokenLogprobs(dataset="test", limit=7),
    TokenDivergence(dataset="test", limit=5),
    TokenDivergence(dataset="text"),
    States(dataset="generic", limit=7),
    StateLikeness(dataset="generic"),
    StateLikeness(dataset="test", place="mlp", at="answer", layers=(2,)),
    Scores(dataset="test", under=(FewShot(2, "test"),)),
    Scores(dataset="test", limit=4, under=(Template(on=False), Prefill("It is"))),
    Scores(dataset="test", limit=4, under=(Quantise(4),)),
    TokenDivergence(dataset="test", limit=4, under=(Quantise(4),)),
    Scores(dataset="text", limit=4, under=(Interpolate(0.5),)),
    Scores(dataset="test", limit=5, under=(Ablate(MeanShift("text", 1)),)),
    Scores(dataset="test", limit=5, under=(Interpolate(0.0), Add(MeanShift("text", random=1)))),
    Attention(dataset="test", limit=6),
    Attention(dataset="test", limit=3, under=(Quantise(4),)),
    Unembedding(),
    Scores(dataset="test", limit=5, under=(Interpolate(0.0), Add(Contrast("test", "odd")))),
    Weights(),
)
ANSWERING: tuple[Need, ...] = (
    Generations(dataset="test", max_new_tokens=6),
    Generations(dataset="test", max_new_tokens=6, limit=4),
    Generations(dataset="test", max_new_tokens=4, temperature=1.0, n=3, limit=4),
    TokenDivergence(dataset="test", contexts="tuned", max_new_tokens=6),
    TokenDivergence(dataset="test", contexts="tuned", max_new_tokens=6, limit=3),
    TokenDivergence(dataset="test", contexts="base", max_new_tokens=5),
    TokenLogprobs(dataset="test", contexts="tuned", max_new_tokens=6),
    TokenLogprobs(dataset="test", contexts="base", max_new_tokens=5),
)
SELF_TEST = ([1, 2, 3], [0])  # what models are asked once to learn how they can be read; see `Traits.of`


class Count(NamedTuple):
    passes: int
    positions: int


@contextmanager
def counting(*models: Any) -> Iterator[list[int]]:
    """Positions of every forward pass, questions about the model itself left out."""
    sizes: list[int] = []

    def note(module: Any, args: Any) -> None:
        if args[0].tolist() not in [[ids] for ids in SELF_TEST]:
            sizes.append(args[0].numel())

    handles = [model.get_input_embeddings().register_forward_pre_hook(note) for model in models]
    try:
        yield sizes
    finally:
        for handle in handles:
            handle.remove()


def wanted(needs: Iterable[Need]) -> Wanted:
    return dict.fromkeys(needs, ("probe",))


def planned(plan: LookPlan) -> Count:
    return Count(plan.work.passes, plan.work.positions)


def looks(
    base: LoadedModel, tuned: Any, needs: tuple[Need, ...], **options: Any
) -> Iterator[tuple[Count, LookPlan]]:
    """The base, then a tuned model twice: what was read, and what was planned."""
    observer, planner = Observer(base, DATA, **options), Planner(base, DATA, **options)
    with lend(tuned):
        Traits.of(tuned)
    for at in range(3):
        with counting(base.model, tuned) as sizes:
            if at:
                observer.look(tuned, needs)
            else:
                observer.look_at_base(needs)
        plan = planner.look(wanted(needs)) if at else planner.look_at_base(wanted(needs))
        yield Count(len(sizes), sum(sizes)), plan


@pytest.mark.parametrize(
    ("architecture", "budget"), [("llama", 4096), ("llama", 100), ("gpt2", 100), ("gpt_neox", 4096)]
)
def test_what_is_read_is_what_was_planned(architecture: Any, budget: int) -> None:
    base = tiny_base(architecture)
    tuned = tiny_lora(base) if budget == 100 else tiny_tuned(base)
    for read, plan in looks(base, tuned, FORWARD, token_budget=budget):
        assert read == planned(plan)
        assert read.passes > 0
        assert plan.work.tokens <= plan.work.positions


@pytest.mark.parametrize("kind", ["gpt_neo", "mamba"])
def test_models_that_share_no_prefix_are_planned_as_they_are_read(kind: str) -> None:
    family = next(family for family in FAMILIES if family.model_type == kind)
    base = family_base(family)
    assert not Planner(base, DATA).traits.branching
    needs = (Scores(dataset="test"), Scores(dataset="test", limit=2), TokenDivergence(dataset="text"))
    for read, plan in looks(base, tiny_tuned(base, scale=0.01), needs, token_budget=150):
        assert read == planned(plan)


@settings(max_examples=5)
@given(needs=st.lists(st.sampled_from(FORWARD), min_size=1, unique=True), budget=st.integers(30, 400))
def test_any_needs_are_planned(needs: list[Need], budget: int) -> None:
    for read, plan in looks(BASE, TUNED, tuple(needs), token_budget=budget):
        assert read == planned(plan)


def test_groups_say_what_is_shared_by_whom() -> None:
    scores, drift = Scores(dataset="test"), TokenDivergence(dataset="test")
    shots = Scores(dataset="test", under=(FewShot(2, "test"),))
    planner = Planner(BASE, DATA)
    apart = {need: planner.look({need: ("a",)}).work for need in (scores, shots)}
    plan = planner.look({scores: ("a", "b"), drift: ("c",), shots: ("b",)})
    plain, shown, beside = plan.groups
    assert (plain.data, plain.under, plain.needs) == ("test", (), ("Scores", "TokenDivergence"))
    assert plain.probes == ("a", "b", "c")
    assert (shown.under, shown.probes) == ((repr(FewShot(2, "test")),), ("b",))
    assert (beside.subject, beside.needs, beside.probes) == ("base", ("TokenDivergence",), ("c",))
    assert plain.work.tokens == apart[scores].tokens, "the divergence is read off the same pass"
    assert (
        plain.work.asked
        == 2 * apart[scores].asked + Planner(BASE, DATA).look({drift: ("c",)}).groups[0].work.asked
    )
    assert plain.work.saved == plain.work.asked - plain.work.tokens > 0


def test_answers_are_planned_as_if_none_ended_early() -> None:
    base = tiny_base()
    for read, plan in looks(base, tiny_tuned(base), ANSWERING, token_budget=200):
        assert read.passes <= plan.work.passes
        assert read.positions <= plan.work.positions
        assert read.passes > plan.work.passes / 4


def test_answers_of_one_token_are_planned_exactly() -> None:
    base = tiny_base()
    needs = (
        Generations(dataset="test", max_new_tokens=1),
        Generations(dataset="test", max_new_tokens=1, temperature=1.0, n=3, limit=5),
    )
    read, plan = next(looks(base, tiny_tuned(base), needs, token_budget=100))
    assert read == planned(plan)
    assert plan.work.generated == len({e.messages for e in DATA["test"]}) + 3 * 5


def test_benchmarks_are_planned_without_a_forward_pass(tmp_path: Path) -> None:
    base, paths = tiny_base(), (tiny_benchmarks(tmp_path),)
    tuned = tiny_tuned(base)
    known = Benchmark(tasks=("tiny_choice", "tiny_rolling"))
    for read, plan in looks(base, tuned, (known,), benchmark_paths=paths):
        assert read == planned(plan)
        assert read.passes > 0
        assert plan.work.saved > 0, "choices share their contexts"
    for read, plan in looks(base, tuned, (Benchmark(tasks=("tiny_generate",)),), benchmark_paths=paths):
        assert Count(1, 1) < read <= planned(plan)
    with counting(base.model) as sizes:
        Planner(base, DATA, benchmark_paths=paths).look(wanted([known]))
    assert sizes == []
