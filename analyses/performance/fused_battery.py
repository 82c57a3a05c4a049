"""All probes of a checkpoint in one look: against one probe at a time, and against the forward pass alone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from analyses.performance.bench import (
    Result,
    Row,
    Settings,
    at_least,
    at_most,
    overhead,
    race,
    speedup,
)
from analyses.performance.material import demo, train
from sft_probe.execute.prepare import task_folders
from sft_probe.observe import forward, generating, scoring, trees
from sft_probe.observe.lending import lend
from sft_probe.observe.observer import Observer
from sft_probe.observe.passages import Budget, Passage, plan
from sft_probe.probes.battery import Battery
from sft_probe.schema import Measurements


def run(settings: Settings) -> Result:
    """On the demo's battery, with a model fine-tuned as in the demo."""
    spec, prepared = demo(settings.work)
    tuned = train(spec, prepared, settings.work / "trainer").model
    folders = task_folders((), spec.output_dir)

    def anew() -> Observer:
        return Observer(prepared.base, prepared.data, benchmark_paths=folders)

    def apart_anew() -> dict[str, Measurements]:
        return {
            name: rows
            for probe in prepared.probes
            for name, rows in Battery((probe,), anew()).measure(tuned).items()
        }

    fused, apart = prepared.battery(), [Battery((probe,), prepared.observer) for probe in prepared.probes]
    same = agreement(fused.measure(tuned), {k: v for one in apart for k, v in one.measure(tuned).items()})
    read = Sequences()
    with read.recording(tuned):
        fused.measure(tuned)
    floor = Floor.of(read.taken)
    fused.seconds.clear()
    timings = race(
        {
            "fused": lambda: fused.measure(tuned),
            "apart": lambda: [one.measure(tuned) for one in apart],
            "fused anew": lambda: Battery(prepared.probes, anew()).measure(tuned),
            "apart anew": apart_anew,
            "floor": lambda: floor.forward(tuned),
        },
        min(5, settings.repetitions),
    )
    return Result(
        name="fused_battery",
        question="What does it save to look once for all probes, and how far is that from the forward alone?",
        goal="at least 3 times as fast as one probe at a time; at most 1.3 times the forward time of the "
        "distinct tokens",
        rows=(
            speedup(
                "one probe at a time, base seen before", timings["fused"], timings["apart"], at_least(3), same
            ),
            speedup(
                "one probe at a time, each looking at model and base itself, as separate scripts do",
                timings["fused anew"],
                timings["apart anew"],
                at_least(3),
                same,
            ),
            overhead(
                "forward pass over the distinct tokens", timings["fused"], timings["floor"], at_most(1.3)
            ),
            *shares(fused, len(timings["fused"].wall) + 1, timings["fused"].seconds),
        ),
        setting={
            "battery": ", ".join(probe.name for probe in prepared.probes),
            "model": "planted base (1.5 M parameters), fine-tuned as in the demo (full 5e-4, 60 steps)",
            "positions computed in one look, padding included": read.computed,
            "distinct tokens": floor.tokens,
        },
        notes=NOTES,
    )


def agreement(fused: dict[str, Measurements], apart: dict[str, Measurements]) -> str:
    """The rows of both ways, compared before anything is timed."""
    apart_by = {probe: rows.rows for probe, rows in apart.items()}
    largest = 0.0
    for probe, rows in fused.items():
        for ours, theirs in zip(rows.rows, apart_by[probe], strict=True):
            if ours.value == ours.value:
                largest = max(largest, abs(ours.value - theirs.value))
    if not largest < 1e-3:
        raise AssertionError(f"fused and single probes differ by {largest}")
    return f"all {sum(len(rows.rows) for rows in fused.values())} rows to {largest:.0e}"


def shares(battery: Battery, looks: int, whole: float) -> list[Row]:
    """Where the time of a fused battery goes, by the battery's own clock (medians are not kept there)."""
    return [
        Row(case=f"of it: {activity}", value=seconds / looks, unit="s per battery")
        for activity, seconds in sorted(battery.seconds.items(), key=lambda pair: -pair[1])
        if seconds / looks > 0.01 * whole
    ]


@dataclass
class Sequences:
    """What a look asks to be read: sequences of tokens, each with the place from which it is predicted.

    computed: positions that went through the model, padding included.
    """

    taken: list[tuple[tuple[int, ...], int]] = field(default_factory=list)
    computed: int = 0

    @contextlib.contextmanager
    def recording(self, model: Any) -> Iterator[None]:
        """Watch the three doors of the engine: passages, questions and answers."""
        originals = (scoring.read_passages, trees.score_together, generating.generate)
        embedding = model.get_input_embeddings()
        handle = embedding.register_forward_pre_hook(self._count)
        with contextlib.ExitStack() as stack:
            stack.callback(handle.remove)
            for original, watched in zip(originals, self._watched(*originals), strict=True):
                for name, module in list(sys.modules.items()):
                    if name.startswith("sft_probe.observe") and original.__name__ in vars(module):
                        stack.enter_context(patch.object(module, original.__name__, watched))
            yield

    def _watched(self, read: Any, score: Any, generate: Any) -> tuple[Any, Any, Any]:
        def reading(model: Any, wanted: Any, *rest: Any) -> Any:
            for reader, passages in wanted:
                self.taken += [(passage.ids[:-1], passage.start - 1) for passage in passages]
                self._questions(getattr(reader, "questions", ()))
            return read(model, wanted, *rest)

        def scoring_together(model: Any, questions: Any, *rest: Any) -> Any:
            self._questions(questions)
            return score(model, questions, *rest)

        def answering(model: Any, prompts: Any, **rest: Any) -> Any:
            answers = generate(model, prompts, **rest)
            for prompt, answer in zip(prompts, answers, strict=True):
                self.taken.append(((*prompt, *answer[:-1]), len(prompt) - 1))
            return answers

        return reading, scoring_together, answering

    def _questions(self, questions: Any) -> None:
        for context, continuations in questions:
            self.taken += [((*context, *rest[:-1]), len(context) - 1) for rest in continuations]

    def _count(self, module: Any, given: Any) -> None:
        self.computed += given[0].numel()


@dataclass(frozen=True)
class Floor:
    """The least that any tool must do: read each distinct token behind its context once, with its logits.

    Sequences that begin other sequences are left out; what the rest still share is counted once, by scaling.
    """

    passages: tuple[Passage, ...]
    tokens: int

    @staticmethod
    def of(taken: list[tuple[tuple[int, ...], int]]) -> Floor:
        """Distinct tokens behind their context, and the longest sequences that hold them all."""
        starts: dict[tuple[int, ...], int] = {}
        for ids, start in taken:
            starts[ids] = min(start, starts.get(ids, start))
        prefixes = {ids[:end] for ids in starts for end in range(1, len(ids) + 1)}
        inner = {ids[:-1] for ids in prefixes}
        longest = [ids for ids in starts if ids not in inner]
        return Floor(tuple(Passage((*ids, 0), starts[ids] + 1) for ids in longest), len(prefixes))

    @property
    def share(self) -> float:
        """Distinct tokens among those of the longest sequences."""
        return self.tokens / sum(len(passage.ids) - 1 for passage in self.passages)

    def forward(self, model: Any) -> None:
        """Read as much as `tokens` tokens, logits included, in batches as the engine's."""
        budget, done = Budget(), 0
        with lend(model):
            for batch in plan(self.passages, budget, 0):
                if done >= self.tokens:
                    break
                done += sum(len(passage.ids) - 1 for passage in batch.passages)
                logits, _ = forward.read(model, batch)
                for at in range(0, len(logits), logits.step):
                    logits.at(slice(at, at + logits.step))


NOTES = (
    "The battery is the demo's, six probes with lm-eval's `world` group at 80 items a task among them. "
    "Scores, divergences and states of one data set come from one forward pass; three probes share answers.",
    "One probe at a time profits from the same engine (shared prompts, batches by length, the base kept), so "
    "the first figure is what fusing alone saves.",
    "The floor reads every distinct token behind its context once, all answers forced in one pass, with "
    "logits of the predicted tokens, and nothing else: no tokenisation, no softmax, no statistics, no "
    "intervals. Answers cannot be had that way: they are made token by token.",
)
