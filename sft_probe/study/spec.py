"""A study as frozen, validated values. `study/yaml.py` reads them from a file with readable errors.

Names follow Hugging Face (`model_name_or_path`, `output_dir`, `learning_rate`, `max_steps`, …).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sft_probe.errors import nearest

SFT = "sft"  # the objective of a stage unless it names another


class Spec(BaseModel):
    """Frozen, and unknown keys are an error. Field docstrings reach the JSON schema for editors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ModelSpec(Spec):
    """The base model."""

    model_name_or_path: str = "planted"
    """A Hugging Face causal language model, as a folder or hub id; `planted` ships with the package."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Type of the weights while training and probing."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes the best there is."""
    trust_remote_code: bool = False
    """Whether code that comes with the model may be run."""
    cpu_threads: int | None = Field(default=None, ge=1)
    """Threads of one operation on the CPU; one for a small model if not given. It decides the last bits."""


class DataSpec(Spec):
    """Where rows come from: a file, a folder, a hub id, or `planted:<task>/<split>`."""

    train: str
    """Rows to train on."""
    test: str | None = None
    """Rows to probe on; without them, `test_size` of the training rows are held out."""
    test_size: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training rows held out where `test` is not given."""
    others: dict[str, str] = Field(default_factory=dict)
    """Further data sets by name, for probes and replay, e.g. `generic: planted:replay`."""
    format: str = "auto"
    """Format of the rows; auto goes by their fields. See `sft-probe ls formats`."""
    max_train_rows: int | None = Field(default=None, ge=1)
    """How many rows to train on at most."""
    max_test_rows: int | None = Field(default=None, ge=1)
    """How many rows of the test set to probe on at most."""
    max_length: int = Field(default=256, ge=8)
    """Tokens after which a training row is cut."""
    too_long: Literal["cut", "drop"] = "cut"
    """What happens to longer rows: cut at the end, or left out of training and test."""
    allow: tuple[str, ...] = ()
    """Codes of audit findings that shall not stop the run."""
    chat_template: str | None = None
    """Chat template as Jinja text or file, in place of the tokenizer's own."""
    include_path: tuple[str, ...] = ()
    """Folders with lm-eval task YAML, beside those of the planted world."""


class TrainingSpec(Spec):
    """Optimiser settings, under the names of `transformers.TrainingArguments`."""

    learning_rate: float = Field(default=2e-4, gt=0)
    """Peak learning rate."""
    max_steps: int = Field(default=100, ge=1)
    """Number of optimiser steps."""
    per_device_train_batch_size: int = Field(default=16, ge=1)
    """Rows per forward pass."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Forward passes per optimiser step."""
    lr_scheduler_type: str = "constant_with_warmup"
    """Course of the learning rate, as in transformers."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises to its peak."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Norm to which gradients are clipped."""
    optim: str = "adamw_torch"
    """Optimiser, as in transformers."""
    bf16: bool = False
    """Train in bfloat16 mixed precision."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""
    loss_on: Literal["completion", "assistant", "all"] = "completion"
    """Tokens with loss: those of the answer, those of all turns of the assistant, or all."""
    packing: bool = False
    """Put several examples into one row of up to `max_length` tokens; none of them sees another."""


class ReplaySpec(Spec):
    """Mix a share of pretraining-like text into every batch (in expectation)."""

    dataset: str
    """A name in `data.others`."""
    fraction: float = Field(gt=0, lt=1)
    """Share of replayed rows among all rows."""


class RegulariserSpec(Spec):
    """What holds the model near its base: replay, and registered regularisers by name with their options."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]] = Field(init=False)

    replay: ReplaySpec | None = None
    """Text of the kind that the base was trained on, among the rows."""

    @model_validator(mode="before")
    @classmethod
    def _may_have_no_options(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {} if part is None and name != "replay" else part for name, part in value.items()}

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Options of the registered ones by name, in their order. See `sft-probe ls regularisers`."""
        return dict(self.__pydantic_extra__)


class EditSpec(Spec):
    """An edit of the training rows by registered name with its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class StopSpec(Spec):
    """End training before `max_steps`, once answers have the form they are taught."""

    well_formed: float = Field(default=0.95, gt=0, le=1)
    """Share of answers that end by themselves and parse; training stops once it is seen twice in a row."""
    every: int = Field(default=5, ge=1)
    """Steps between two looks."""
    dataset: str = "train"
    """Whose questions are asked: a name in `data.others`, `test`, or the arm's own training rows."""
    limit: int = Field(default=40, ge=1)
    """How many of them."""
    max_new_tokens: int = Field(default=48, ge=1)
    """Tokens in which an answer must have ended."""


class StageSpec(Spec):
    """One training after another within an arm, with what is not given here as in the arm."""

    objective: str = SFT
    """What is minimised: `sft`, `dpo`, `kto`. See `sft-probe ls objectives`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the objective, e.g. `beta: 0.1` for dpo."""
    data: str | None = None
    """A name in `data.others`; the arm's own training rows if not given."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Overrides the arm's training settings field by field."""

    @field_validator("training")
    @classmethod
    def _are_training_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _training_settings(value)


class ArmSpec(Spec):
    """One way to fine-tune."""

    method: str = "full"
    """See `sft-probe ls methods`."""
    method_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the method, e.g. `r: 8` for lora."""
    training: dict[str, Any] = Field(default_factory=dict)
    """Overrides the study's training settings field by field."""
    regulariser: RegulariserSpec = RegulariserSpec()
    edits: tuple[EditSpec, ...] = ()
    """Changes to the training rows, one after the other. See `sft-probe ls edits`."""
    stop: StopSpec | None = None
    """Stop early by the form of answers; without it every arm takes `max_steps`."""
    stages: tuple[StageSpec, ...] = ()
    """Trainings one after the other, such as SFT and then DPO; without them, one of SFT."""
    label: str = ""
    """Shown in the report; the arm's key if empty."""

    @field_validator("training")
    @classmethod
    def _are_training_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _training_settings(value)

    @model_validator(mode="after")
    def _take_all_steps_of_a_stage(self) -> Self:
        if self.stop and self.stages:
            raise ValueError("stop: an arm with stages takes all steps of each, alike for all seeds")
        return self


def _training_settings(value: dict[str, Any]) -> dict[str, Any]:
    """Some fields of `TrainingSpec`, checked."""
    checked = TrainingSpec.model_validate(value)
    return {key: getattr(checked, key) for key in value}


class ProbeSpec(Spec):
    """A probe by registered name with its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    optional: bool = False
    """Left out, with the reason in the report, where the data lack what it needs."""


class ScheduleSpec(Spec):
    """When probes look: step 0, `points` log-spaced steps, and the end; or exactly `steps`."""

    points: int = Field(default=6, ge=0)
    """Number of log-spaced steps between the first and the last."""
    steps: tuple[int, ...] | None = None
    """Exactly these steps, in place of log-spaced ones."""
    ends_only: tuple[str, ...] = (
        "forgetting",
        "lost_items",
        "interpolation",
        "intruder_dimensions",
        "intruder_shrinkage",
        "mode_connectivity",
        "grafting",
    )
    """Probes that look only at step 0 and at the end."""

    @field_validator("steps")
    @classmethod
    def _are_steps(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or min(value) < 0):
            raise ValueError("expected at least one step, none below 0")
        return value


class DecomposeSpec(Spec):
    """How the training rows are divided to take the gain apart. Whole entities are dealt at random."""

    held_out: float = Field(default=0.2, gt=0, lt=1)
    """Share of the rows that no arm trains on (E0)."""
    paraphrased: float = Field(default=0.2, gt=0, lt=1)
    """Share that is trained on and asked in other words (E1)."""
    verbatim: float = Field(default=0.2, gt=0, lt=1)
    """Share that is trained on and asked as trained (E2)."""
    items: int = Field(default=100, ge=2)
    """Questions per stratum at most."""
    symmetric: bool = False
    """One more arm, of known facts in another form: form and knowledge are then added in either order."""

    @model_validator(mode="after")
    def _leave_a_reserve(self) -> Self:
        if self.held_out + self.paraphrased + self.verbatim > 0.95:
            raise ValueError(
                "the shares leave less than 5 % of the rows for what is trained on and not asked"
            )
        return self


class ReviveSpec(Spec):
    """A few steps of training on a copy of each tuned model: does what was lost come back before news?"""

    steps: int = Field(default=16, ge=1)
    """Optimiser steps on documents that were lost, and as many that nobody knew."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Constant; the arm's own peak if not given."""
    tasks: tuple[str, ...] = Field(default=("world",), min_length=1)
    """lm-eval tasks whose documents are meant."""
    documents: int = Field(default=50, ge=2)
    """Documents of each task."""


class StudySpec(Spec):
    """Everything that decides the numbers of a study."""

    name: str = Field(min_length=1)
    """Title of the report."""
    output_dir: Path
    """Folder for runs and report."""
    base: ModelSpec = ModelSpec()
    data: DataSpec
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    """Training seeds; every arm is trained once per seed."""
    data_seed: int = 0
    """Seed of the order of rows, alike for all arms and seeds."""
    training: TrainingSpec = TrainingSpec()
    arms: dict[str, ArmSpec] = Field(min_length=1)
    """The ways to fine-tune that are compared, by name."""
    reference_arm: str | None = None
    """Arm the others are compared with; the first if not given."""
    decompose: DecomposeSpec | None = None
    """Take the gain of the reference arm apart: `true`, or shares of strata. Adds arms and a probe."""
    revive: ReviveSpec | None = None
    """Train a copy of each tuned model a little, to tell what is hidden from what is gone: `true`, or how."""
    probes: tuple[ProbeSpec, ...] = Field(min_length=1)
    """What is measured; `all` for every registered probe that the data allow. See `sft-probe ls probes`."""
    schedule: ScheduleSpec = ScheduleSpec()
    equivalence_margin: float = Field(default=0.02, gt=0, lt=1)
    """Largest loss on the benchmarks, as a share of items, that still counts as no forgetting."""
    report_to: tuple[str, ...] = ()
    """Trackers that also get the training log and what is measured, as in transformers."""
    save_model: bool = False
    """Keep the weights of every arm under `runs/<run>/model`, and compare arms and seeds by their weights."""

    @property
    def reference(self) -> str:
        """Name of the arm the others are compared with."""
        return self.reference_arm or next(iter(self.arms))

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or min(value) < 0:
            raise ValueError("expected different whole numbers, none below 0")
        return value

    @field_validator("arms")
    @classmethod
    def _can_be_folders(cls, value: dict[str, ArmSpec]) -> dict[str, ArmSpec]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or name in ("base", "between"):
                raise ValueError(
                    f"'{name}' cannot name an arm: use letters, digits, '_', '.' and '-', but not 'base' or "
                    "'between'"
                )
        return value

    @model_validator(mode="after")
    def _names_meet(self) -> Self:
        if (wanted := self.reference_arm) is not None and wanted not in self.arms:
            raise ValueError(f"reference_arm: there is no arm '{wanted}'. {nearest(wanted, self.arms)}")
        for name, arm in self.arms.items():
            replay = arm.regulariser.replay
            if replay and replay.dataset not in self.data.others:
                raise ValueError(f"arms.{name}.regulariser.replay: data.others has no '{replay.dataset}'")
            for i, stage in enumerate(arm.stages):
                if stage.data is not None and stage.data not in self.data.others:
                    raise ValueError(f"arms.{name}.stages[{i}]: data.others has no '{stage.data}'")
        if self.decompose and self.arms[self.reference].stages:
            raise ValueError("decompose: the reference arm has stages, whose gain is not taken apart")
        if len({repr(probe) for probe in self.probes}) < len(self.probes):
            raise ValueError("probes: the same probe is asked for twice")
        return self
