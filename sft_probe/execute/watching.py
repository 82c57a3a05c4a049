"""`watch`: one call before somebody else's training, and the run lies on disk after it."""

from __future__ import annotations

import copy
import time
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_probe.errors import SpecError
from sft_probe.execute.in_python import Rows, as_data_sets, base_in_memory, is_peft
from sft_probe.execute.pairs import look, prepare_looks
from sft_probe.execute.prepare import Prepared
from sft_probe.probes import STANDARD
from sft_probe.report.opened import Runs, open_runs
from sft_probe.store.runs import BASE, RunStore, RunWriter
from sft_probe.study.folding import probe_specs
from sft_probe.study.progress import Silent
from sft_probe.study.spec import ScheduleSpec, TrainingSpec
from sft_probe.train.host import ProbeHost

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase, TrainerControl, TrainerState, TrainingArguments

    from sft_probe.schema import Measurements

FEW_STEPS = (1, 3, 10, 30, 100, 300, 1000)


def watch(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: Rows | Mapping[str, Rows],
    output_dir: str | Path,
    *,
    probes: Sequence[Any] = STANDARD,
    steps: Collection[int] = FEW_STEPS,
    run: str = "watched",
    seed: int = 0,
) -> Watch:
    """A host that watches the training of `model` and leaves a finished run. Call it before training.

    model: as it is now, it is the base of every comparison. Of a model that is trained whole a copy is kept;
      of a peft model only the base inside, which lies on the model's own weights.
    data: as for `probe`.  steps: at which to look, besides step 0 and the end.  run, seed: the run is called
      `<run>-seed<seed>`, and one that has this name is replaced.
    Raises: InputError if something given cannot be used.
    """
    if not run or run == BASE or {"/", "\\"} & set(run):
        raise SpecError(
            f"a run cannot be called '{run}'.", field="run", remedy="Use letters, digits and '-'."
        )
    folder, specs = Path(output_dir), probe_specs(probes)
    sets = as_data_sets(data, folder)
    base = base_in_memory(model if is_peft(model) else copy.deepcopy(model), tokenizer)
    prepared = prepare_looks(base, sets, specs, folder)
    look(BASE, None, prepared, RunStore(folder), Silent())
    return Watch(prepared, steps, folder, run=run, seed=seed)


class Watch(ProbeHost):
    """A `ProbeHost` that keeps its own run, from the first call of a trainer, or of `step`, to the last."""

    def __init__(
        self, prepared: Prepared, steps: Collection[int], output_dir: Path, *, run: str, seed: int
    ) -> None:
        self._own = prepared.battery()
        super().__init__(self._own, steps, self, ends_only=ScheduleSpec().ends_only)
        self._prepared, self._folder, self._arm, self._seed = prepared, output_dir, run, seed
        self._writer: RunWriter | None = None
        self._began = 0.0
        self._ended = False

    @property
    def runs(self) -> Runs:
        """What was kept. Raises: StoreError before training has ended."""
        return open_runs(self._folder)

    def append(self, step: int, probe: str, measurements: Measurements) -> None:
        """Keep what one probe said at one step."""
        self._open().append(step, probe, measurements)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Keep one line of the training log."""
        self._open().log(step, values)

    def step(self, model: nn.Module, step: int, *, last: bool = False) -> None:
        """As of `ProbeHost`; with `last` the run is finished."""
        super().step(model, step, last=last)
        if last:
            self._finish(model)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Open the run with the trainer's settings, then as of `ProbeHost`."""
        given: dict[str, Any] = args.to_dict()  # type: ignore[no-untyped-call]
        known = {name: given[name] for name in TrainingSpec.model_fields if name in given}
        self._open(known | {"max_steps": state.max_steps})
        super().on_train_begin(args, state, control, **rest)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """As of `ProbeHost`, then finish the run."""
        super().on_train_end(args, state, control, **rest)
        self._finish(rest["model"])

    def _open(self, training: Mapping[str, Any] | None = None) -> RunWriter:
        """The run's writer, made at the first call. Raises: SpecError after the run was finished."""
        if self._ended:
            raise SpecError("this host has watched a training to its end.", remedy="Call `watch` again.")
        if self._writer is None:
            prepared, name = self._prepared, f"{self._arm}-seed{self._seed}"
            content = f"{prepared.environment['data']}{prepared.base.digest}{prepared.probes!r}{training!r}"
            config = {
                "arm": self._arm,
                "seed": self._seed,
                "digest": sha256(content.encode()).hexdigest(),
                "label": self._arm,
                "model_name_or_path": prepared.base.path,
                "training": dict(training or {}),
                "probes": {probe.name: repr(probe) for probe in prepared.probes},
            }
            store = RunStore(self._folder)
            self._writer = store.open_run(name, config=config, environment=prepared.environment)
            self._began = time.perf_counter()
        return self._writer

    def _finish(self, model: nn.Module) -> None:
        writer = self._open()
        seconds = dict(self._own.seconds)
        seconds["training"] = time.perf_counter() - self._began - sum(seconds.values())
        for activity, spent in seconds.items():
            writer.spent(activity, spent)
        writer.note(
            device=str(self._prepared.base.device),
            token_budget=self._prepared.observer.budget.tokens,
            trainable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            total_parameters=sum(p.numel() for p in self._prepared.base.model.parameters()),
        )
        writer.finish()
        self._ended = True
