"""What a stage of an arm minimises: frozen dataclasses registered under `sft_probe.objectives`.

Each hands its rows, tokenised as they are for SFT and for probing, to a trainer of TRL. Preference objectives
compare with the model as it was when their stage began.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args

from sft_probe.data.preferences import judged_rows, judgements_in, paired_rows, rejected_in, with_mismatched
from sft_probe.errors import SpecError, nearest
from sft_probe.models.sharing import own_weights, shared_copy
from sft_probe.train.sft import ArmRun, common_arguments, sft_trainer, training_rows, untold

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from torch import nn
    from transformers import Trainer, TrainerCallback

    from sft_probe.data.examples import Dataset, DataSets
    from sft_probe.models.load import LoadedModel
    from sft_probe.study.spec import TrainingSpec


DpoLoss = Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "apo_zero", "apo_down"]
KtoLoss = Literal["kto", "apo_zero_unpaired"]


class Objective(Protocol):
    """A frozen dataclass whose fields are all its options."""

    name: ClassVar[str]

    def check(self, data: Dataset, training: TrainingSpec) -> None:
        """Raises: InputError, before any compute, if rows or settings do not fit the objective."""
        ...

    def rows(self, run: ArmRun, base: LoadedModel, data: DataSets) -> Table:
        """Tokenised rows of the set "train"."""
        ...

    def trainer(
        self,
        model: nn.Module,
        rows: Table,
        run: ArmRun,
        base: LoadedModel,
        scratch: Path,
        callbacks: Sequence[TrainerCallback],
    ) -> Trainer:
        """A trainer that is ready to train `model`, which another one may have trained before."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sft:
    """Likelihood of the answers, through TRL's `SFTTrainer`."""

    name: ClassVar[str] = "sft"

    def check(self, data: Dataset, training: TrainingSpec) -> None:
        """Any rows fit."""

    def rows(self, run: ArmRun, base: LoadedModel, data: DataSets) -> Table:
        """As `sft.training_rows`."""
        return training_rows(run, base, data)

    def trainer(
        self,
        model: nn.Module,
        rows: Table,
        run: ArmRun,
        base: LoadedModel,
        scratch: Path,
        callbacks: Sequence[TrainerCallback],
    ) -> Trainer:
        """As `sft.sft_trainer`."""
        return sft_trainer(model, rows, run, base, scratch, callbacks)


@dataclass(frozen=True, kw_only=True)
class Dpo:
    """Preference of one answer to another, through TRL's `DPOTrainer`.

    Source: Rafailov et al. 2023 (arXiv 2305.18290).  label_smoothing: for "robust", the share of pairs that
    are the wrong way round.
    """

    name: ClassVar[str] = "dpo"
    beta: float = 0.1
    loss_type: DpoLoss = "sigmoid"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _require_loss(self.name, self.loss_type, DpoLoss)
        _require_positive(self.name, beta=self.beta)
        if not 0 <= self.label_smoothing < 0.5:
            raise SpecError("label_smoothing of dpo is a share from 0 to below 0.5.", field="options")

    def check(self, data: Dataset, training: TrainingSpec) -> None:
        """Raises: DataError for a row without a rejected answer."""
        for example in data:
            rejected_in(example, data)

    def rows(self, run: ArmRun, base: LoadedModel, data: DataSets) -> Table:
        """One row per pair."""
        from datasets import Dataset as Table

        return Table.from_list(paired_rows(data["train"], base.tokenizer, run.max_length))

    def trainer(
        self,
        model: nn.Module,
        rows: Table,
        run: ArmRun,
        base: LoadedModel,
        scratch: Path,
        callbacks: Sequence[TrainerCallback],
    ) -> Trainer:
        """Against the model as it is now.  Raises: SpecError for soft prompts."""
        from trl.trainer.dpo_config import DPOConfig
        from trl.trainer.dpo_trainer import DPOTrainer

        arguments = DPOConfig(**common_arguments(run, scratch), **asdict(self))
        return _preferring(DPOTrainer, arguments, model, rows, base, callbacks)


@dataclass(frozen=True, kw_only=True)
class Kto:
    """Answers judged one by one, through TRL's `KTOTrainer`; a pair is a desirable and an undesirable answer.

    Source: Ethayarajh et al. 2024 (arXiv 2402.01306).
    """

    name: ClassVar[str] = "kto"
    beta: float = 0.1
    loss_type: KtoLoss = "kto"
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        _require_loss(self.name, self.loss_type, KtoLoss)
        _require_positive(
            self.name,
            beta=self.beta,
            desirable_weight=self.desirable_weight,
            undesirable_weight=self.undesirable_weight,
        )

    def check(self, data: Dataset, training: TrainingSpec) -> None:
        """Raises: DataError for a row that was not judged, SpecError for batches of one, in which there is no
        answer to another prompt.
        """
        if training.per_device_train_batch_size < 2:
            raise SpecError("kto needs at least 2 rows per batch.", field="per_device_train_batch_size")
        for example in data:
            judgements_in(example, data)

    def rows(self, run: ArmRun, base: LoadedModel, data: DataSets) -> Table:
        """One row per answer, shuffled by the seed, since TRL takes them in their order."""
        from datasets import Dataset as Table

        rows = judged_rows(data["train"], base.tokenizer, run.max_length)
        random.Random(f"{run.seed}").shuffle(rows)
        return Table.from_list(with_mismatched(rows, run.training.per_device_train_batch_size))

    def trainer(
        self,
        model: nn.Module,
        rows: Table,
        run: ArmRun,
        base: LoadedModel,
        scratch: Path,
        callbacks: Sequence[TrainerCallback],
    ) -> Trainer:
        """Against the model as it is now.  Raises: SpecError for soft prompts."""
        from trl.trainer.kto_config import KTOConfig
        from trl.trainer.kto_trainer import KTOTrainer

        arguments = KTOConfig(**common_arguments(run, scratch), **asdict(self))
        return _preferring(KTOTrainer, arguments, model, rows, base, callbacks)


def _require_loss(name: str, loss: str, known: Any) -> None:
    if loss not in get_args(known):
        raise SpecError(
            f"{name} has no loss '{loss}'.", field="options", remedy=nearest(loss, get_args(known))
        )


def _require_positive(name: str, **options: float) -> None:
    for option, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise SpecError(f"{option} of {name} is a number above 0, not {value!r}.", field="options")


def _preferring(
    kind: Any,
    arguments: Any,
    model: nn.Module,
    rows: Table,
    base: LoadedModel,
    callbacks: Sequence[TrainerCallback],
) -> Trainer:
    """A preference trainer that takes rows as they are, as `SFTTrainer` does with `skip_prepare_dataset`."""
    from transformers import PrinterCallback

    takes_rows = type(kind.__name__, (kind,), {"_prepare_dataset": lambda self, given, *_: given})
    with untold():
        trainer: Trainer = takes_rows(
            model,
            ref_model=reference(model),
            args=arguments,
            train_dataset=rows,
            processing_class=base.tokenizer,
            callbacks=list(callbacks),
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def reference(model: nn.Module) -> nn.Module:
    """A model as it is now, frozen, in eval mode. Weights that `model` does not train are shared with it.

    Raises: SpecError for soft prompts, which stand outside the model that a preference trainer compares with.
    """
    if any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values()):
        raise SpecError(
            "soft prompts cannot be compared with what they were when the stage began.",
            field="method",
            remedy="Use another method, such as lora, for stages of preference optimisation.",
        )
    copied: Any = own_weights(shared_copy(model), model).requires_grad_(False).eval()
    inside: nn.Module = copied.get_base_model() if hasattr(copied, "peft_config") else copied
    vars(inside).pop("forward", None)  # of a trainer before, bound to the model that goes on being trained
    return inside
