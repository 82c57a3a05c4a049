"""One model behind the adapter and behind lm-eval's own `HFLM`, on tasks written for a benchmark."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from lm_eval.api.instance import Instance
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM

from analyses.performance.bench import Goal, Row, Settings, race, speedup
from sft_probe.models.load import LoadedModel, load_base
from sft_probe.observe.lm_eval import FEWSHOT_SEED, LiveModel, run_benchmark
from sft_probe.observe.lm_eval_tasks import load_tasks, quiet
from sft_probe.observe.needs import Benchmark
from sft_probe.study.spec import ModelSpec
from sft_probe.world import build
from sft_probe.world.corpus import fresh_documents

REAL = "stories260K-bpe512"
STORIES = "tinystories_sample/tinystories_sample.txt"
BATCH_SIZES = (1, 8, 32, 128)  # the other side runs with the one that is fastest for it
TRIED = 48  # documents on which that is found out
NATS = 1e-4
ROUNDING = 2**-23  # relative; the other side sums log-probabilities in float32
STOCK = (
    "in-memory model, float32, the batch size that was its fastest of "
    f"{', '.join(map(str, BATCH_SIZES))}; tasks loaded beforehand, no bootstrap"
)
VERSIONS = {name: version(name) for name in ("lm-eval", "torch", "transformers")}

Documents = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Material:
    """A model, and running text of the kind that it was trained on."""

    name: str
    base: LoadedModel
    words: tuple[str, ...]

    def size(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.base.tokenizer(text, add_special_tokens=False)["input_ids"])

    def passages(self, least: int, behind: int = 0) -> Iterator[tuple[str, str]]:
        """In turn, the fewest words that make `least` tokens, and some words behind them."""
        words: list[str] = []
        for at, word in enumerate(self.words):
            words.append(word)
            if 2 * len(words) >= least // 2 and self.size(text := " ".join(words)) >= least:
                yield text, " ".join(self.words[at + 1 : at + 1 + behind])
                words = []


def materials(settings: Settings) -> Iterator[Material]:
    """The planted base with new documents of its world, and a published model with stories if it is there."""
    planted = load_base(ModelSpec(model_name_or_path="planted", device="cpu"))
    documents = fresh_documents(build(0), random.Random(0), 6000)
    yield Material("planted base (3.0 M)", planted, tuple(" ".join(d.text for d in documents).split()))
    if settings.real and (folder := settings.real / "models" / REAL).is_dir():
        base = load_base(ModelSpec(model_name_or_path=str(folder), device="cpu"))
        stories = (settings.real / "data" / STORIES).read_text("utf-8").replace("<|endoftext|>", " ")
        yield Material(f"{REAL} (0.26 M)", base, tuple(stories.split()))


@dataclass(frozen=True)
class Sides:
    """One task asked through the adapter and through `HFLM`; its documents are loaded beforehand."""

    live: LiveModel
    stock: HFLM
    need: Benchmark
    folder: Path

    @property
    def task(self) -> Any:
        """As lm-eval has it."""
        return self._loaded["tasks"][self.need.tasks[0]]

    @property
    def _loaded(self) -> dict[str, Any]:
        return load_tasks(self.need.tasks, (self.folder,), None)

    def ours(self) -> object:
        """The task as a probe asks for it, with a row per document at the end."""
        return run_benchmark(self.live, self.need, (self.folder,))

    def theirs(self, *, limit: int | None = None) -> dict[str, Any]:
        """The task as lm-eval runs it."""
        return self._evaluate(self.stock, limit)

    def requests(self) -> list[Instance]:
        """All requests of the task."""
        self._evaluate(self.live, None)
        return list(self.task.instances)

    def agreement(self) -> str:
        """How far both sides agree, request by request. Raises: AssertionError where they do not."""
        ours, theirs = self._evaluate(self.live, None), self.theirs()
        (name,), furthest, n = self.need.tasks, 0.0, 0
        for mine, own in zip(ours["samples"][name], theirs["samples"][name], strict=True):
            for answer, expected in zip(_answers(mine), _answers(own), strict=True):
                n += 1
                if isinstance(expected, float):
                    furthest = max(furthest, abs(answer - expected) - ROUNDING * abs(expected))
                elif answer != expected:
                    raise AssertionError(f"{name}, document {mine['doc_id']}: {answer!r} is not {expected!r}")
        if not furthest < NATS:
            raise AssertionError(f"{name}: log-likelihoods differ by {furthest} nats")
        return (
            f"{n} answers equal, log-likelihoods within {furthest:.0e} nats" if furthest else f"{n} answers"
        )

    def race(self, case: str, settings: Settings, goals: tuple[Goal, Goal]) -> Iterator[Row]:
        """Both sides end to end, and in answering the requests alone. goals: of the one and the other."""
        same, requests, kind = self.agreement(), self.requests(), self.task.OUTPUT_TYPE
        kind = "loglikelihood" if kind == "multiple_choice" else kind
        races: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "end to end": (self.ours, self.theirs),
            "requests alone": (
                lambda: getattr(self.live, kind)(requests),
                lambda: getattr(self.stock, kind)(requests, disable_tqdm=True),
            ),
        }
        for goal, (part, (ours, theirs)) in zip(goals, races.items(), strict=True):
            with quiet():
                timings = race({"ours": ours, "HFLM": theirs}, min(5, settings.repetitions))
            case_of_part = f"{case}, HFLM in batches of {self.stock.batch_size}: {part}"
            yield speedup(case_of_part, timings["ours"], timings["HFLM"], goal, same)

    def _evaluate(self, model: Any, limit: int | None) -> dict[str, Any]:
        self.task.set_fewshot_seed(seed=FEWSHOT_SEED)
        with quiet():
            found: dict[str, Any] = evaluate(model, self._loaded, limit=limit, bootstrap_iters=0)
        return found


def sides(
    material: Material, folder: Path, task: Mapping[str, Any], documents: Mapping[str, Documents]
) -> Sides:
    """Write a task and its documents, by split, and find the batch size that suits the other side."""
    write_task(folder, task, documents)
    model, tokenizer = material.base.model, material.base.tokenizer

    def in_batches(size: int) -> Sides:
        stock = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size, device="cpu")
        return Sides(LiveModel(model, tokenizer), stock, Benchmark(tasks=(task["task"],)), folder)

    def seconds(found: Sides) -> float:
        start = time.process_time()
        found.theirs(limit=TRIED)
        return time.process_time() - start

    return min(map(in_batches, BATCH_SIZES), key=seconds)


def write_task(folder: Path, task: Mapping[str, Any], documents: Mapping[str, Documents]) -> None:
    """lm-eval's YAML, with the documents of each split beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {split: str(folder / f"{split}.jsonl") for split in documents}
    for split, rows in documents.items():
        Path(files[split]).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "test_split": "test"}
    text = yaml.safe_dump({**task, **data, "metadata": {"version": 1.0}}, sort_keys=False)
    (folder / f"{task['task']}.yaml").write_text(text, "utf-8")


def _answers(sample: Mapping[str, Any]) -> Iterator[Any]:
    for (response,) in sample["resps"]:
        yield from response if isinstance(response, tuple | list) else [response]
