from __future__ import annotations

import pytest

from sft_probe.errors import SpecError
from sft_probe.study.arms import job_digest, jobs, resolve
from sft_probe.study.yaml import parse_study


def test_an_arm_overrides_the_study_field_by_field(study_text: str) -> None:
    study = parse_study(study_text)
    assert resolve(study, "full") == study.training
    assert resolve(study, "lora") == study.training.model_copy(update={"learning_rate": 1e-3})
    with pytest.raises(SpecError, match="Did you mean 'lora'"):
        resolve(study, "lorra")


def test_every_arm_runs_once_per_seed_seed_by_seed(study_text: str) -> None:
    assert [job.run_id for job in jobs(parse_study(study_text))] == [
        "full-seed0",
        "lora-seed0",
        "replay-seed0",
        "full-seed1",
        "lora-seed1",
        "replay-seed1",
    ]


def test_every_job_has_a_digest_of_its_own(study_text: str) -> None:
    study = parse_study(study_text)
    digests = {job.digest for job in jobs(study)}
    assert len(digests) == len(jobs(study))
    assert job_digest(study, "lora", 1) in digests


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: my_study", "name: other"),
        ("output_dir: runs/my_study", "output_dir: elsewhere"),
        ("seeds: [0, 1]", "seeds: [0]\nreport_to: tensorboard\nsave_model: true\nreference_arm: lora"),
        ("  full:\n", "  full: {label: everything}\n"),
        ("method_options: {r: 8}", "method_options: {r: 4}"),
        ("learning_rate: 2.0e-4", "learning_rate: 0.0002"),
        ("data:\n", "data:\n  allow: [truncated]\n"),
    ],
)
def test_what_does_not_decide_the_numbers_does_not_change_the_digest(
    old: str, new: str, study_text: str
) -> None:
    """`full` at seed 0 is not touched by names, places, trackers, or what other arms do."""
    changed = parse_study(study_text.replace(old, new, 1))
    assert job_digest(changed, "full", 0) == job_digest(parse_study(study_text), "full", 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max_steps: 60", "max_steps: 61"),
        ("model_name_or_path: planted", "model_name_or_path: other"),
        ("seeds: [0, 1]", "seeds: [0, 1]\ndata_seed: 1"),
        ("limit: 100", "limit: 50"),
        ("  full:\n", "  full: {learning_rate: 1}\n"),
        ("seeds:", "schedule: {points: 2}\nseeds:"),
        ("question_answering/test", "sentiment/test"),
    ],
)
def test_what_decides_the_numbers_changes_the_digest(old: str, new: str, study_text: str) -> None:
    changed = parse_study(study_text.replace(old, new, 1))
    assert job_digest(changed, "full", 0) != job_digest(parse_study(study_text), "full", 0)
