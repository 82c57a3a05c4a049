"""An arm may be a list of stages; where each begins, and when it is looked at."""

from __future__ import annotations

import pytest

from sft_probe.errors import SpecError
from sft_probe.study.arms import jobs, looks_at, stages_of
from sft_probe.study.spec import StudySpec
from sft_probe.study.yaml import dump_study, parse_study

HEAD = """
name: stages
output_dir: out
data: {train: a.jsonl, others: {pairs: b.jsonl, task_b: c.jsonl}}
max_steps: 40
learning_rate: 1e-4
schedule: {points: 2}
probes: [weight_change]
"""
LIST = """
arms:
  both:
    - sft
    - dpo: {data: pairs, max_steps: 9, learning_rate: 1e-5, options: {beta: 0.3}}
"""
FULL = """
arms:
  both:
    stages:
      - {objective: sft}
      - objective: dpo
        data: pairs
        options: {beta: 0.3}
        training: {max_steps: 9, learning_rate: 1e-5}
"""


def study(arms: str = LIST, **keys: str) -> StudySpec:
    return parse_study(HEAD + arms, overrides=keys)


def test_a_list_is_an_arm_of_stages() -> None:
    assert study(LIST) == study(FULL)
    assert parse_study(dump_study(study())) == study()


def test_settings_of_a_stage_win_over_those_of_the_arm_and_the_study() -> None:
    arms = "arms: {a: {batch: 2, stages: [sft, {data: task_b, max_steps: 5}]}}"
    arms = arms.replace("batch", "per_device_train_batch_size")
    first, second = stages_of(study(arms), "a")
    assert [stage.training.max_steps for stage in (first, second)] == [40, 5]
    assert [stage.training.per_device_train_batch_size for stage in (first, second)] == [2, 2]
    assert [(stage.first, stage.last) for stage in (first, second)] == [(0, 40), (40, 45)]
    assert [stage.name for stage in (first, second)] == ["sft", "sft, task_b"]


def test_looks_are_log_spaced_in_every_stage_and_fall_on_each_boundary() -> None:
    assert looks_at(study(), "both") == (0, 1, 6, 40, 41, 43, 49)
    assert looks_at(study(**{"schedule.steps": "[3, 44, 90]"}), "both") == (0, 3, 40, 44, 49)


def test_an_arm_without_stages_is_one_of_sft() -> None:
    plain = study("arms: {a: {}}")
    assert [(stage.name, stage.last) for stage in stages_of(plain, "a")] == [("sft", 40)]
    assert looks_at(plain, "a") == (0, 1, 6, 40)


def test_what_a_stage_does_decides_the_digest_of_its_arm() -> None:
    arms = ("[sft, dpo]", "[sft, kto]", "[sft, {dpo: {data: pairs}}]", "[sft, {dpo: {max_steps: 41}}]")
    assert len({jobs(study(f"arms: {{a: {each}}}"))[0].digest for each in arms}) == len(arms)


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        ("arms: {a: [dpoo]}", r"a.stages\[0\].objective'.* there is no objective .* Did you mean 'dpo'"),
        ("arms: {a: [sft, {dpo: {data: pair}}]}", r"a.stages\[1\].*data.others has no 'pair'"),
        (
            "arms: {a: [{sft: {lerning_rate: 1}}]}",
            r"a.stages\[0\].lerning_rate.*Did you mean 'learning_rate'",
        ),
        ("arms: {a: [{sft: {max_steps: 0}}]}", r"a.stages\[0\].training.max_steps"),
        ("arms: {a: [{sft: {objective: dpo}}]}", "given twice"),
        ("arms: {a: {stages: [sft], stop: {}}}", "takes all steps"),
        ("decompose: true\narms: {a: [sft]}", "reference arm has stages"),
    ],
)
def test_what_is_no_stage_is_refused_by_place(arms: str, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        study(arms)
