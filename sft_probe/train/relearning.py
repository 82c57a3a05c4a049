"""After a run: is what was lost hidden or gone? A copy of the tuned model is trained for a few steps.

It practises half of the documents it lost and as many that neither it nor its base ever knew. What was only
hidden comes back sooner than something new is learned, and with it documents that nobody practised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.measures.relearning import halves, savings
from sft_probe.models.load import LoadedModel, fresh_copy, pristine
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.weights import effective
from sft_probe.probes.base import About
from sft_probe.probes.rows import Metric
from sft_probe.probes.scorers.documents import (
    Key,
    Pair,
    clusters_of_pairs,
    item_of,
    pairs_of,
    right_in,
)
from sft_probe.schema import NAN, Item, Measurements
from sft_probe.stats.intervals import Interval
from sft_probe.stats.two_samples import difference_interval
from sft_probe.study.spec import ArmSpec
from sft_probe.train.sft import ArmRun, run_sft

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from sft_probe.observe.observer import Observer
    from sft_probe.study.spec import ReviveSpec, TrainingSpec

ABOUT = About(
    question="Does what was lost come back sooner than something new is learned?",
    axis="cost",
    source="Jain et al. 2024 (arXiv 2311.12786), reverse fine-tuning; Ebbinghaus 1885, savings",
    null="documents that neither base nor model knew, practised alike",
    blind_spots="Lost documents may be easier than never-known ones. One learning rate, few documents.",
    cost="benchmark",
    headline=("relearned_share", "revive_ratio"),
)
FEWEST = 4  # documents of a kind, below which nothing is trained
TOO_FEW = f"fewer than {FEWEST} documents were lost, or never known"
NOT_REACHED = "half of them were not right after the last step"
LOST, NEVER = "lost", "never known"
PRACTISED, HELD_OUT = "practised", "held out"

SHARE = Metric(name="relearned_share", unit="1", better="higher", share=True, absent=TOO_FEW)
REVIVE = Metric(name="steps_to_revive", unit="steps", better="lower", absent=NOT_REACHED)
LEARN = Metric(name="steps_to_learn", unit="steps", better="neither", absent=NOT_REACHED)
RATIO = Metric(name="revive_ratio", unit="1", better="lower", null=1.0, absent=NOT_REACHED)
BEYOND = Metric(name="relearned_beyond_chance", unit="1", null=0.0, absent=TOO_FEW)


@dataclass(frozen=True, slots=True)
class Group:
    """Documents of one kind, practised or held out."""

    fate: str
    part: str
    pairs: tuple[Pair, ...]

    @property
    def name(self) -> str:
        """Such as "lost, held out"."""
        return f"{self.fate}, {self.part}"


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A tuned model, the base it came from, who looks at it, and the settings it was trained with."""

    tuned: nn.Module
    base: LoadedModel
    observer: Observer
    training: TrainingSpec
    seed: int


def relearn(patient: Patient, spec: ReviveSpec, scratch: Path) -> Measurements:
    """Train a copy of a tuned model on documents it lost and on news; the model itself stays as it is.

    scratch: folder for the trainer's files.
    """
    asked = Benchmark(tasks=spec.tasks, limit=spec.documents)
    before = patient.observer.look_at_base([asked])[asked]
    pairs = pairs_of(before, patient.observer.look(patient.tuned, [asked])[asked])
    groups = _groups(pairs, patient.seed)
    if not groups:
        return Measurements((SHARE.row(Interval(value=NAN, n=len(pairs)), stratum=LOST),))
    rows = tuple(
        document for group in groups if group.part == PRACTISED for document in map(_text, group.pairs)
    )
    exams = Exams(patient.observer, asked, pairs, spec.steps)
    training = patient.training.model_copy(
        update={
            "max_steps": spec.steps,
            "learning_rate": spec.learning_rate or patient.training.learning_rate,
            "warmup_steps": 0,
            "lr_scheduler_type": "constant",
        }
    )
    run_sft(
        ArmRun(arm=ArmSpec(), training=training, seed=patient.seed),
        dense(patient.tuned, patient.base),
        DataSets({"train": Dataset("train", rows)}),
        scratch,
        callbacks=(exams,),
    )
    return _measured(groups, exams.right)


def dense(model: nn.Module, base: LoadedModel) -> LoadedModel:
    """An independent model with the weights that a tuned one uses, adapters merged."""
    copy: Any = fresh_copy(base)
    with torch.no_grad():
        for name, weight in copy.named_parameters():
            own = effective(model, name)
            value = own.weight.float()
            if own.factors is not None:
                value = value + own.factors[0] @ own.factors[1]
            weight.copy_(value)
    return pristine(copy, base.tokenizer, path=base.path, device=base.device)


class Exams(TrainerCallback):
    """Look at all documents after 0, 1, 2, 4, … steps and the last. right: documents answered rightly."""

    def __init__(self, observer: Observer, asked: Benchmark, pairs: Sequence[Pair], steps: int) -> None:
        self._observer, self._asked, self._pairs = observer, asked, pairs
        self._steps = {0, steps, *(2**power for power in range(steps.bit_length()))}
        self.right: dict[int, set[Key]] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Look before the first step."""
        self._look(rest["model"], 0)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """Look if it is time."""
        self._look(rest["model"], state.global_step)

    def _look(self, model: nn.Module, step: int) -> None:
        if step in self._steps:
            seen = self._observer.look(model, [self._asked])[self._asked]
            self.right[step] = right_in(seen, self._pairs)


def _groups(pairs: Sequence[Pair], seed: int) -> tuple[Group, ...]:
    """Lost and never-known documents, half of each practised, as many of one as of the other; or none."""
    rng, drawn = np.random.default_rng(seed), {}
    for fate, name in (("lost", LOST), ("never", NEVER)):
        own = [pair for pair in pairs if pair.fate == fate]
        if len(own) < FEWEST:
            return ()
        chosen = halves(clusters_of_pairs(own), rng)
        for part, inside in ((PRACTISED, chosen), (HELD_OUT, ~chosen)):
            drawn[name, part] = tuple(pair for pair, taken in zip(own, inside, strict=True) if taken)
    fewest = min(len(drawn[name, PRACTISED]) for name in (LOST, NEVER))
    kept = {(name, part): own[:fewest] if part == PRACTISED else own for (name, part), own in drawn.items()}
    return tuple(Group(*key, own) for key, own in kept.items() if own)


def _text(pair: Pair) -> Example:
    """A document with its right answer as plain text."""
    prompt, target = pair.before.prompt, pair.before.target.partition(" | ")[0]
    joined = f"{prompt}{target}" if not prompt or prompt[-1].isspace() else f"{prompt} {target}"
    return Example(id="/".join(pair.key), target=joined, cluster=pair.before.cluster)


def _measured(groups: Sequence[Group], right: Mapping[int, set[Key]]) -> Measurements:
    steps = sorted(right)
    hits = {
        group.name: np.array([[float(pair.key in right[step]) for pair in group.pairs] for step in steps])
        for group in groups
    }
    clusters = {group.name: clusters_of_pairs(group.pairs) for group in groups}
    rows = [
        replace(
            SHARE.row(
                SHARE.interval(hits[group.name][k], clusters[group.name]),
                stratum=group.name,
                module=f"step {step}",
            ),
            null_value=float(hits[name][k].mean()) if (name := f"{NEVER}, {group.part}") in hits else NAN,
        )
        for group in groups
        for k, step in enumerate(steps)
    ]
    curves = [hits[f"{fate}, {PRACTISED}"].mean(axis=1) for fate in (LOST, NEVER)]
    found = savings(np.array(steps, dtype=np.float64), *curves)
    count = len(groups[0].pairs)
    for metric, value in ((REVIVE, found.revive), (LEARN, found.learn), (RATIO, found.ratio)):
        rows.append(metric.row(Interval(value=value, n=count)))
    names = [f"{fate}, {HELD_OUT}" for fate in (LOST, NEVER)]
    if all(name in hits for name in names):
        (ours, theirs), codes = ((hits[name][-1] for name in names), [clusters[name] for name in names])
        rows.append(BEYOND.row(difference_interval(ours, theirs, *codes), stratum=HELD_OUT))
    return Measurements(tuple(rows), tuple(_items(groups, right[steps[-1]])))


def _items(groups: Sequence[Group], right: set[Key]) -> Iterator[Item]:
    for group in groups:
        for pair in group.pairs:
            item = item_of(pair.after, "relearned", float(pair.key in right), stratum=group.name)
            yield replace(item, prediction="")
