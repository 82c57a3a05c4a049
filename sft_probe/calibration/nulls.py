"""Looks at models that nobody trained: the base again, other batches and rounding, noise on the weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from sft_probe.calibration.kinds import RANDOM, SAME
from sft_probe.errors import ModelError
from sft_probe.execute.local import run_study
from sft_probe.execute.prepare import prepare
from sft_probe.models.load import LoadedModel, fresh_copy, load_tuned
from sft_probe.observe.lending import lend
from sft_probe.probes.battery import Battery
from sft_probe.store.runs import RunStore
from sft_probe.train.edits.pipeline import make_edits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sft_probe.calibration.cells import Cell
    from sft_probe.execute.prepare import Prepared
    from sft_probe.observe.needs import Need
    from sft_probe.observe.observations import Observed
    from sft_probe.observe.observer import Observer
    from sft_probe.study.spec import StudySpec

DONOR = "donor"
FEWER = 8  # tokens of a pass, and so rows that share it, are fewer by this factor


def look_again(spec: StudySpec, cell: Cell) -> None:
    """Leave the run of a cell of some kind of `LOOKED` in the store of its study.

    Probes see the data that the cell's arm would train on. Nothing is known beforehand of what is looked at:
    the base itself is read anew.
    Raises: InputError if the data do not fit.
    """
    arm = spec.arms[cell.arm]
    donor = _donor(spec, cell.arm) if cell.kind == RANDOM else None
    prepared, _ = prepare(spec).edited(make_edits(arm.edits), cell.seed)
    base = prepared.base
    model = fresh_copy(base) if donor is None else with_noise(base, donor, cell.seed)
    digest = sha256(f"{cell}{base.digest}{prepared.environment['data']}{prepared.probes!r}".encode())
    config = {"arm": cell.arm, "seed": cell.seed, "digest": digest.hexdigest(), "label": cell.kind}
    looks = Anew(prepared.observer, 1 if cell.kind in (SAME, RANDOM) else FEWER)
    battery = Battery(prepared.probes, looks)
    with RunStore(spec.output_dir).open_run(
        cell.run, config=config, environment=prepared.environment
    ) as writer:
        for step, subject in enumerate((base.model, model)):
            for probe, found in battery.measure(subject).items():
                writer.append(step, probe, found)
        writer.finish()


@dataclass(frozen=True)
class Anew:
    """Looks at the base as always, and at a model as if it had never been seen, in smaller passes."""

    observer: Observer
    fewer: int = 1

    def look_at_base(self, needs: Iterable[Need]) -> Observed:
        """What the base shows."""
        return self.observer.look_at_base(needs)

    def look(self, model: nn.Module, needs: Iterable[Need]) -> Observed:
        """Observe a model; the base itself is not, for it shows what it showed."""
        if model is self.observer.base.model:
            return self.observer.look_at_base(needs)
        budget = self.observer.budget
        whole, budget.tokens = budget.tokens, budget.tokens // self.fewer
        try:
            return self.observer.look(model, needs, anew=True)
        finally:
            budget.tokens = whole


def with_noise(base: LoadedModel, tuned: nn.Module, seed: int) -> nn.Module:
    """A copy of the base with Gaussian noise on every weight, of the norm by which training changed it.

    Raises: ModelError if nothing was changed.
    """
    model, generator = fresh_copy(base), torch.Generator().manual_seed(seed)
    after = dict(tuned.named_parameters())
    changes = 0
    with torch.no_grad(), lend(model):
        for name, weight in model.named_parameters():
            norm = float((after[name].to(weight) - weight).norm())
            if norm > 0:
                noise = torch.randn(weight.shape, generator=generator).to(weight)
                weight.add_(noise * (norm / float(noise.norm())))
                changes += 1
    if not changes:
        raise ModelError("training changed no weight, so no noise has its norm.")
    return model.eval()


def _donor(spec: StudySpec, arm: str) -> nn.Module:
    """What an arm of a study becomes when it is trained; its weights are not kept on disk."""
    own = spec.model_copy(update={"arms": {DONOR: spec.arms[arm]}, "save_model": True})
    prepared: Prepared = run_study(own)
    folder = own.output_dir / "runs" / f"{DONOR}-seed{own.seeds[0]}" / "model"
    tuned = load_tuned(folder, prepared.base)
    merge = getattr(tuned, "merge_and_unload", None)
    merged = cast("nn.Module", merge()) if merge else tuned
    shutil.rmtree(folder)
    return merged
