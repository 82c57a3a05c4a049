from __future__ import annotations

from dataclasses import replace

import pytest

from sft_probe.errors import SpecError
from sft_probe.observe.grouping import (
    at_base,
    by_asking,
    by_changes,
    declared,
    forces,
    of_base_too,
    widest,
    widest_scores,
    with_directions,
)
from sft_probe.observe.interventions import (
    Ablate,
    Add,
    Contrast,
    Direction,
    FewShot,
    Graft,
    Interpolate,
    MeanShift,
    Prefill,
    Quantise,
)
from sft_probe.observe.needs import Benchmark, Generations, Scores, States, TokenDivergence, Weights

HALF, SHOT, SHIFT = Interpolate(0.5), FewShot(1, "train"), MeanShift("test", 2)


def test_needs_are_grouped_by_what_is_done_to_the_model_not_by_words() -> None:
    plain, shown = Scores(dataset="test"), Scores(dataset="test", under=(SHOT,))
    mixed, mixed_shown = (replace(need, under=(*need.under, HALF)) for need in (plain, shown))
    groups = by_changes([mixed, shown, Weights(), mixed_shown, plain])
    assert list(groups) == [(), (HALF,)]
    assert groups[()] == [shown, Weights(), plain]
    assert groups[(HALF,)] == [mixed, mixed_shown]


def test_the_order_of_changes_matters() -> None:
    needs = [Scores(dataset="test", under=under) for under in ((HALF, Quantise(4)), (Quantise(4), HALF))]
    assert len(by_changes(needs)) == 3


def test_greedy_answers_serve_generations_and_divergences() -> None:
    answers, own = Generations(dataset="test"), TokenDivergence(dataset="test", contexts="tuned", limit=3)
    sampled, base = replace(answers, temperature=1.0), replace(own, contexts="base")
    groups = by_asking([answers, own, sampled, base])
    assert list(groups.values()) == [[answers, own], [sampled]]
    assert forces(base)
    assert not forces(own)
    assert widest([own]) == 3
    assert widest([answers, own]) is None


def test_scores_of_fewer_rows_are_read_off_those_of_more() -> None:
    few, more, shown = (
        Scores(dataset="test", limit=3),
        Scores(dataset="test"),
        Scores(dataset="test", under=(SHOT,)),
    )
    states = States(dataset="test", limit=3)
    assert widest_scores([few, more, shown, states]) == {few: more, more: more, shown: shown, states: states}
    assert widest_scores([few, replace(few, limit=2)]) == {few: few, replace(few, limit=2): few}


def test_nothing_mixes_or_shifts_between_the_base_and_itself() -> None:
    kept = (SHOT, Quantise(4), Add(Direction(0, (1.0,))))
    need = Scores(dataset="test", under=(HALF, *kept, Graft(), Ablate(SHIFT)))
    assert at_base(need) == Scores(dataset="test", under=kept)
    assert at_base(Weights()) == Weights()


def test_mean_shifts_are_found_and_filled_in() -> None:
    need = Scores(dataset="other", under=(Ablate(SHIFT), Add(SHIFT, 2.0), HALF))
    assert declared([need, need]) == {SHIFT: States(dataset="test", layers=(2,))}
    found = Direction(2, (1.0, 2.0))
    assert with_directions(need.under, {SHIFT: found}) == (Ablate(found), Add(found, 2.0), HALF)  # type: ignore[arg-type]


def test_a_contrast_is_read_off_the_model_alone_and_holds_at_the_base_too() -> None:
    contrast = Contrast("test", "refuse")
    need = Scores(dataset="other", under=(HALF, Add(contrast), Ablate(SHIFT)))
    named = declared([need])
    assert named[contrast] == States(dataset="test", at="prompt_end")
    assert of_base_too(named) == (named[SHIFT],)
    assert at_base(need).under == (Add(contrast),)  # type: ignore[union-attr]


def test_lm_eval_writes_its_own_prompts() -> None:
    assert Benchmark(tasks=("a",), under=(HALF,)).under == (HALF,)
    with pytest.raises(SpecError, match="lm-eval writes its own prompts"):
        Benchmark(tasks=("a",), under=(Prefill("b"),))
