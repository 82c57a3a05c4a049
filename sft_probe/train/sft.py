"""The recipe: fine-tune a copy of the base on one arm, with callbacks attached. Reads top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sft_probe.data.chat import to_trl_row
from sft_probe.data.mix import mix_replay
from sft_probe.errors import ModelError, SpecError
from sft_probe.models.digest import weights_digest
from sft_probe.models.load import LoadedModel, trainable_copy
from sft_probe.models.sharing import own_weights
from sft_probe.observe.ranks import Ranks
from sft_probe.registry import make
from sft_probe.study.spec import ArmSpec, TrainingSpec
from sft_probe.train.packing import packed, require_apart
from sft_probe.train.regularisers.attach import Regularising, make_regularisers
from sft_probe.train.regularisers.averages import without_merged
from sft_probe.train.regularisers.base import Rows, Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset as Table
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel, Trainer, TrainerCallback
    from trl.trainer.sft_config import SFTConfig

    from sft_probe.data.examples import DataSets
    from sft_probe.train.methods import Method


@dataclass(frozen=True, kw_only=True)
class ArmRun:
    """One arm with one seed, its settings resolved. max_length: tokens; longer rows are cut at the end.

    report_to: trackers, which know it as run `name` of project `study`.
    """

    arm: ArmSpec
    training: TrainingSpec
    seed: int
    max_length: int | None = None
    report_to: tuple[str, ...] = ()
    name: str = "run"
    study: str = "sft_probe"


@dataclass(frozen=True, kw_only=True)
class TrainedArm:
    """A finished model and what training it took."""

    model: PreTrainedModel | PeftModel
    trainable_parameters: int
    total_parameters: int
    train_rows: int
    steps: int
    metrics: dict[str, float]  # the trainer's own: train_runtime in seconds, train_loss in nats per token, …


def run_sft(
    run: ArmRun,
    base: LoadedModel,
    data: DataSets,
    scratch: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainedArm:
    """Fine-tune a copy of `base` through TRL's `SFTTrainer`. Weights that stay frozen are the base's own in
    memory, and it is checked afterwards that the base is what it was.

    data: must hold "train", and the replay set if the arm has one. scratch: folder for the trainer's files.
    """
    model = adapted(run, base)
    rows = training_rows(run, base, data)
    held = regularising(run, model, base, data)
    trainer = sft_trainer(model, rows, run, base, scratch, (held, *callbacks))
    held.attach(trainer)
    result = trainer.train()
    steps = int(trainer.state.global_step)
    return trained_arm(model, run, base, rows=len(rows), steps=steps, metrics=result.metrics)


def adapted(run: ArmRun, base: LoadedModel) -> nn.Module:
    """The model that an arm trains. Weights that stay frozen are the base's own in memory."""
    from transformers import set_seed

    set_seed(run.seed)  # adapters draw their first weights before the trainer seeds itself
    return own_weights(make_method(run.arm).adapt(trainable_copy(base)), base.model)


def sft_trainer(
    model: nn.Module,
    rows: Table,
    run: ArmRun,
    base: LoadedModel,
    scratch: Path,
    callbacks: Sequence[TrainerCallback],
) -> Trainer:
    """TRL's `SFTTrainer` over tokenised rows.  Raises: ModelError if packed examples would see each other."""
    from transformers import PrinterCallback
    from trl.trainer.sft_trainer import SFTTrainer

    with untold():
        trainer = SFTTrainer(
            cast("PreTrainedModel | PeftModel", model),
            args=trainer_arguments(run, scratch),
            train_dataset=rows,
            processing_class=base.tokenizer,
            callbacks=list(callbacks),
        )
    if run.training.packing:
        require_apart(model, rows, trainer.data_collator)
    trainer.remove_callback(PrinterCallback)  # what it would print, the host keeps in the run's log
    return trainer


def trained_arm(
    model: nn.Module, run: ArmRun, base: LoadedModel, *, rows: int, steps: int, metrics: Mapping[str, float]
) -> TrainedArm:
    """What training left. Raises: ModelError if it wrote into the weights of the base."""
    if weights_digest(base.model) != base.digest:
        raise ModelError(f"method '{run.arm.method}' wrote into frozen weights, which are the base's own.")
    return TrainedArm(
        model=cast("PreTrainedModel | PeftModel", without_merged(model)),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        total_parameters=sum(p.numel() for p in base.model.parameters()),
        train_rows=rows,
        steps=steps,
        metrics={name: float(value) for name, value in metrics.items()},
    )


@contextmanager
def untold() -> Iterator[None]:
    """Keep TRL's trainers, which report their use to the hub when they are made, from doing so."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before


def make_method(arm: ArmSpec) -> Method:
    """The arm's method with its options checked by name.

    Raises: UnknownComponent for the method, SpecError for an option.
    """
    method: Method = make("methods", arm.method, arm.method_options, "method_options")
    return method


def regularising(
    run: ArmRun, model: nn.Module, base: LoadedModel, data: DataSets, *, last: bool = True
) -> Regularising:
    """The regularisers of an arm, about to work in one training: those that its method brings along (AdaLoRA
    does) and those it asks for.  last: whether the arm ends with this training.
    """
    setting = Setting(
        model=model,
        base=base,
        rows=lambda name: tokenised(run, base, data, name),
        steps=run.training.max_steps,
        seed=run.seed,
    )
    brought: Any = getattr(make_method(run.arm), "regularisers", tuple)
    return Regularising((*brought(), *make_regularisers(run.arm.regulariser.parts)), setting, last=last)


def tokenised(run: ArmRun, base: LoadedModel, data: DataSets, name: str) -> Rows:
    """Rows of a data set as TRL takes them, with the stratum of each, or the name of a set beside "train"."""
    settings: Any = {"max_length": run.max_length, "loss_on": run.training.loss_on}
    return [
        {
            **to_trl_row(example, base.tokenizer, **settings),
            "stratum": example.stratum if name == "train" else name,
        }
        for example in data[name]
    ]


def training_rows(run: ArmRun, base: LoadedModel, data: DataSets) -> Table:
    """Tokenised rows with labels and stratum: the train set, with replayed text where the arm asks for it.

    The trainer takes no notice of strata; `train/losses.py` does.
    """
    from datasets import Dataset as Table

    rows = tokenised(run, base, data, "train")
    if replay := run.arm.regulariser.replay:
        rows = mix_replay(rows, tokenised(run, base, data, replay.dataset), replay.fraction, run.seed)
    table = Table.from_list(rows)
    return packed(table, run.max_length) if run.training.packing else table


def trainer_arguments(run: ArmRun, scratch: Path) -> SFTConfig:
    """The run's settings as TRL's. Rows arrive tokenised with labels, so TRL prepares nothing."""
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        **common_arguments(run, scratch) | {"max_length": run.max_length if run.training.packing else None},
        packing=run.training.packing,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def common_arguments(run: ArmRun, scratch: Path) -> dict[str, Any]:
    """What the configurations of all of TRL's trainers share. Rows arrive cut to length."""
    import torch

    own = {"loss_on", "packing", "gradient_checkpointing"}
    return {
        "output_dir": str(scratch),
        "seed": run.seed,
        "data_seed": run.seed,
        "report_to": list(run.report_to) or "none",
        "run_name": run.name,
        "project": run.study,
        "logging_steps": max(1, run.training.max_steps // 50),
        "logging_nan_inf_filter": False,  # else a loss that is not a number is logged as if there were none
        "save_strategy": "no",
        "disable_tqdm": True,
        "max_length": None,
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),  # torch warns without
        _checkpointing(): run.training.gradient_checkpointing,
        **run.training.model_dump(exclude=own) | batch_of_each(run.training, Ranks.here().count),
    }


def _checkpointing() -> str:
    """What transformers calls to trade compute for memory; where it knows a new name it warns of the old."""
    from transformers import TrainingArguments

    names = ("activation_checkpointing", "gradient_checkpointing")
    return next(name for name in names if name in TrainingArguments.__dataclass_fields__)


def batch_of_each(training: TrainingSpec, count: int) -> dict[str, int]:
    """Batch size and accumulation in each of several processes, so that a step takes the rows as in one.

    Raises: SpecError if the rows of a step cannot be shared out.
    """
    size, passes = training.per_device_train_batch_size, training.gradient_accumulation_steps
    side_by_side = gcd(passes, count)
    if size % (count // side_by_side):
        raise SpecError(
            f"the {size * passes} rows of an optimiser step cannot be shared out among {count} processes.",
            field="training.per_device_train_batch_size",
            remedy=f"Take a multiple of {count // side_by_side}.",
        )
    return {
        "per_device_train_batch_size": size // (count // side_by_side),
        "gradient_accumulation_steps": passes // side_by_side,
    }
