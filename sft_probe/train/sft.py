"""The recipe: fine-tune a copy of the base on one arm, with callbacks attached. Reads top to bottom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sft_probe.data.chat import to_trl_row
from sft_probe.data.mix import mix_replay
from sft_probe.errors import ModelError, SpecError, nearest
from sft_probe.models.digest import weights_digest
from sft_probe.models.load import LoadedModel, trainable_copy
from sft_probe.models.sharing import own_weights
from sft_probe.registry import load
from sft_probe.study.spec import ArmSpec, TrainingSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets import Dataset as Table
    from peft import PeftModel
    from transformers import PreTrainedModel, TrainerCallback
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
    from transformers import PrinterCallback, set_seed
    from trl.trainer.sft_trainer import SFTTrainer

    set_seed(run.seed)  # adapters draw their first weights before the trainer seeds itself
    model = own_weights(make_method(run.arm).adapt(trainable_copy(base)), base.model)
    rows = training_rows(run, base, data)
    with _untold():
        trainer = SFTTrainer(
            cast("PreTrainedModel | PeftModel", model),
            args=trainer_arguments(run, scratch),
            train_dataset=rows,
            processing_class=base.tokenizer,
            callbacks=list(callbacks),
        )
    trainer.remove_callback(PrinterCallback)  # what it would print, the host keeps in the run's log
    result = trainer.train()
    if weights_digest(base.model) != base.digest:
        raise ModelError(f"method '{run.arm.method}' wrote into frozen weights, which are the base's own.")
    return TrainedArm(
        model=cast("PreTrainedModel | PeftModel", trainer.model),
        trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        total_parameters=sum(p.numel() for p in base.model.parameters()),
        train_rows=len(rows),
        steps=int(trainer.state.global_step),
        metrics={name: float(value) for name, value in result.metrics.items()},
    )


@contextmanager
def _untold() -> Iterator[None]:
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
    kind = load("methods", arm.method)
    known = [f.name for f in fields(kind)]
    for option in arm.method_options:
        if option not in known:
            raise SpecError(
                f"method '{arm.method}' has no option '{option}'.",
                field="method_options",
                remedy=nearest(option, known) if known else f"'{arm.method}' has no options.",
            )
    method: Method = kind(**arm.method_options)
    return method


def training_rows(run: ArmRun, base: LoadedModel, data: DataSets) -> Table:
    """Tokenised rows with labels and stratum: the train set, with replayed text where the arm asks for it.

    The trainer takes no notice of strata; `train/losses.py` does.
    """
    from datasets import Dataset as Table

    def rows_of(name: str) -> list[dict[str, list[int] | str]]:
        settings: Any = {"max_length": run.max_length, "loss_on": run.training.loss_on}
        return [
            {
                **to_trl_row(example, base.tokenizer, **settings),
                "stratum": example.stratum if name == "train" else name,
            }
            for example in data[name]
        ]

    rows = rows_of("train")
    if replay := run.arm.regulariser.replay:
        rows = mix_replay(rows, rows_of(replay.dataset), replay.fraction, run.seed)
    return Table.from_list(rows)


def trainer_arguments(run: ArmRun, scratch: Path) -> SFTConfig:
    """The run's settings as TRL's. Rows arrive tokenised with labels, so TRL prepares nothing."""
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=str(scratch),
        seed=run.seed,
        data_seed=run.seed,
        report_to=list(run.report_to) or "none",
        run_name=run.name,
        project=run.study,
        logging_steps=max(1, run.training.max_steps // 50),
        save_strategy="no",
        disable_tqdm=True,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        **run.training.model_dump(exclude={"loss_on"}),
    )
