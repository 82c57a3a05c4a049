"""A study as frozen, validated values. `study/yaml.py` reads them from a file with readable errors.

Names follow Hugging Face (`model_name_or_path`, `output_dir`, `learning_rate`, `max_steps`, …).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Spec(BaseModel):
    """Frozen, and unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSpec(Spec):
    """The base model. `planted` is the base that ships with the package."""

    model_name_or_path: str = "planted"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    trust_remote_code: bool = False


class DataSpec(Spec):
    """Where rows come from: a file, a folder, a hub id, or `planted:<task>/<split>`.

    others: further named data sets that probes may look at, e.g. `generic: planted:replay`.
    """

    train: str
    test: str | None = None  # without it, `test_size` of the training rows are held out
    test_size: float = Field(default=0.1, gt=0, lt=1)
    others: dict[str, str] = Field(default_factory=dict)
    format: str = "auto"
    max_train_rows: int | None = Field(default=None, ge=1)
    max_test_rows: int | None = Field(default=None, ge=1)
    max_length: int = Field(default=256, ge=8)
    allow: tuple[str, ...] = ()  # audit findings that do not stop the run, by code
    include_path: tuple[str, ...] = ()  # folders with lm-eval task YAML, beside those of the planted world
    chat_template: str | None = None  # Jinja text or file for a tokenizer that has none


class TrainingSpec(Spec):
    """Optimiser settings, under the names of `transformers.TrainingArguments`."""

    learning_rate: float = Field(default=2e-4, gt=0)
    max_steps: int = Field(default=100, ge=1)
    per_device_train_batch_size: int = Field(default=16, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    lr_scheduler_type: str = "constant_with_warmup"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, ge=0)
    optim: str = "adamw_torch"
    bf16: bool = False
    gradient_checkpointing: bool = False
    loss_on: Literal["completion", "all"] = "completion"


class ReplaySpec(Spec):
    """Mix a share of pretraining-like text into every batch (in expectation)."""

    dataset: str  # name in `data.others`
    fraction: float = Field(gt=0, lt=1)


class RegulariserSpec(Spec):
    """What holds the model near its base."""

    replay: ReplaySpec | None = None


class ArmSpec(Spec):
    """One way to fine-tune. `training` overrides the study's training settings field by field."""

    method: str = "full"
    method_options: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    regulariser: RegulariserSpec = RegulariserSpec()
    label: str = ""  # shown in the report; the arm's key if empty


class ProbeSpec(Spec):
    """A probe by registered name with its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class ScheduleSpec(Spec):
    """When probes look: step 0, `points` log-spaced steps, and the end; or exactly `steps`."""

    points: int = Field(default=6, ge=0)
    steps: tuple[int, ...] | None = None
    ends_only: tuple[str, ...] = ("forgetting",)  # probes that look only at step 0 and at the end


class StudySpec(Spec):
    """Everything that decides the numbers of a study."""

    name: str
    output_dir: Path
    base: ModelSpec = ModelSpec()
    data: DataSpec
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    data_seed: int = 0
    training: TrainingSpec = TrainingSpec()
    arms: dict[str, ArmSpec] = Field(min_length=1)
    reference_arm: str | None = None  # the first arm if not given
    probes: tuple[ProbeSpec, ...]
    schedule: ScheduleSpec = ScheduleSpec()
    report_to: tuple[str, ...] = ()
    save_model: bool = False  # keep every arm's weights under runs/<run>/model
