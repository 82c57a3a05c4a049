from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sft_probe.observe.grafting import Bench, Grounds, choice_tasks, held_back
from sft_probe.observe.interventions import Graft
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import Benchmark, Grafts, Scores, TokenLogprobs
from sft_probe.observe.observations import GraftItem
from sft_probe.observe.observer import Observer
from sft_probe.observe.planning import Planner
from sft_probe.observe.workload import Traits
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_data, tiny_lora, tiny_tuned

BASE, DATA = tiny_base(), tiny_data()
NEED = Grafts(dataset="test", limit=6, most=3)


@pytest.mark.parametrize("make", [tiny_tuned, tiny_lora])
def test_what_is_seen_is_what_single_looks_see(make: Any) -> None:
    """Every number against the same look asked for by hand."""
    observer, model = Observer(BASE, DATA), make(BASE)
    seen = observer.look(model, (NEED,))[NEED]
    assert seen.items == tuple(
        GraftItem(dataset="test", item=e.id, cluster=f"test/{e.cluster or e.id}")
        for e in DATA["test"].examples[:6]
    )
    changed = [block for block, moved in zip(seen.blocks, seen.changed, strict=True) if moved]

    def by_hand(*under: Graft) -> Any:
        need = TokenLogprobs(dataset="test", limit=6, under=under)
        tokens = observer.look(model, (need,))[need]
        return [tokens.logprob[tokens.example == i].sum() for i in range(6)]

    np.testing.assert_allclose(seen.tuned, by_hand(), atol=1e-4)
    first: Any = (changed[0],)
    np.testing.assert_allclose(seen.sufficient[0], by_hand(Graft(blocks=first)), atol=1e-4)
    reset = Graft(blocks=first, direction="base_to_tuned")
    np.testing.assert_allclose(seen.necessary[0], by_hand(reset), atol=1e-4)
    np.testing.assert_allclose(seen.random_sufficient[0], by_hand(Graft(blocks=first, random=1)), atol=1e-4)
    if seen.path:
        path: Any = seen.path
        np.testing.assert_allclose(seen.together[-1], by_hand(Graft(blocks=path)), atol=1e-4)


def test_the_search_ends_where_blocks_carry_enough() -> None:
    """A small step and the opposite one: only one of them gains, and only its blocks are searched for."""
    there, back = tiny_tuned(BASE, scale=0.01), tiny_tuned(BASE, scale=0.01)
    with torch.no_grad():
        for weight, before in zip(back.parameters(), BASE.model.parameters(), strict=True):
            weight.copy_(2 * before - weight)
    looked = [Observer(BASE, DATA).look(model, (NEED,))[NEED] for model in (there, back)]
    gains = [float((seen.tuned - seen.base)[:3].mean()) for seen in looked]
    assert [bool(seen.path) for seen in looked] == [gain > 0 for gain in gains]
    assert sum(gain > 0 for gain in gains) == 1
    seen, gain = max(zip(looked, gains, strict=True), key=lambda pair: pair[1])
    carried = (seen.together - seen.base)[:, :3].mean(axis=1) / gain
    assert len(set(seen.path)) == len(seen.path) <= NEED.most
    assert (carried[:-1] < 0.95).all()


def test_the_base_itself_has_nothing_to_graft() -> None:
    seen = Observer(BASE, DATA).look_at_base((NEED,))[NEED]
    assert not seen.changed.any()
    assert seen.path == ()
    np.testing.assert_array_equal(seen.tuned, seen.base)


def test_a_soft_prompt_is_said_to_be_no_weight() -> None:
    from peft import PromptTuningConfig, get_peft_model

    from sft_probe.models.load import fresh_copy

    inner: Any = fresh_copy(BASE)
    model = get_peft_model(inner, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    seen = Observer(BASE, DATA).look(model, (NEED,))[NEED]
    assert "soft prompt" in seen.why
    assert len(seen.items) == 6


def test_only_items_of_other_clusters_are_held_back() -> None:
    items = [GraftItem(dataset="d", item=str(i), cluster=c) for i, c in enumerate("aabcb")]
    assert held_back(items, items[:2]).tolist() == [False, False, True, True, True]
    assert held_back(items, items[2:3]).tolist() == [True, True, False, True, False]


def test_the_right_choice_leads_by_hand() -> None:
    need = Scores(dataset="test", limit=3)
    seen = Observer(BASE, DATA).look_at_base((need,))
    bench = Bench(lambda changes, needs: {}, Grounds(need), seen)
    example, scores = seen[need].examples[0], seen[need].choice_logprob[0]
    right = example.choices.index(example.target)
    best = max(score for at, score in enumerate(scores) if at != right)
    assert bench.of_base()[0] == pytest.approx(scores[right] - best)


def test_tasks_without_choices_are_left_out_and_documents_are_drawn(tmp_path: Path) -> None:
    paths = (tiny_benchmarks(tmp_path),)
    assert choice_tasks(("tiny_choice", "tiny_generate"), paths) == ("tiny_choice",)
    assert choice_tasks((), paths) == ()
    observer = Observer(BASE, DATA, benchmark_paths=paths)

    def prompts(**options: Any) -> list[str]:
        need = Benchmark(tasks=("tiny_choice",), **options)
        return list(dict.fromkeys(item.prompt for item in observer.look_at_base((need,))[need].items))

    whole, drawn = prompts(), prompts(drawn=True)
    assert sorted(drawn) == sorted(whole)
    assert drawn != whole
    assert prompts(drawn=True, limit=2) == drawn[:2], "a smaller draw is the beginning of a larger one"


@pytest.mark.parametrize("make", [tiny_tuned, tiny_lora])
def test_no_more_is_read_than_was_planned(make: Any, tmp_path: Path) -> None:
    """The plan is an upper bound: all blocks changed, the search to its end."""
    need = Grafts(dataset="test", limit=6, tasks=("tiny_choice",), task_limit=2, most=3)
    paths, model = (tiny_benchmarks(tmp_path),), make(BASE)
    with lend(model):
        Traits.of(model)
    observer, planner = (
        Observer(BASE, DATA, benchmark_paths=paths),
        Planner(BASE, DATA, benchmark_paths=paths),
    )
    planner.look_at_base({need: ("grafting",)})
    observer.look_at_base((need,))
    plan, read = planner.look({need: ("grafting",)}), 0

    def note(module: Any, args: Any) -> None:
        nonlocal read
        read += args[0].numel()

    handle = model.get_input_embeddings().register_forward_pre_hook(note)
    torch.manual_seed(0)
    observer.look(model, (need,))
    handle.remove()
    assert 0 < read <= plan.work.positions
    assert plan.work.positions < 4 * read
    assert {probe for group in plan.groups for probe in group.probes} == {"grafting"}
