"""A small valid study, to be changed by tests."""

from __future__ import annotations

import pytest

STUDY = """\
name: my_study
model_name_or_path: planted
output_dir: runs/my_study
data:
  train: planted:question_answering/train
  test: planted:question_answering/test
  others: {generic: planted:replay}
seeds: [0, 1]
learning_rate: 2.0e-4
max_steps: 60
probes: [task_alignment, format_adherence, {forgetting: {tasks: [world], limit: 100}}]
arms:
  full:
  lora: {method: lora, method_options: {r: 8}, learning_rate: 1e-3}
  replay: {regulariser: {replay: {dataset: generic, fraction: 0.2}}}
"""


@pytest.fixture
def study_text() -> str:
    """A flat study with three arms and two seeds."""
    return STUDY
