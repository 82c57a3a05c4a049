"""lm-eval tasks on a live model: an adapter to lm-eval's model interface, and one row per document.

The adapter scores through `scoring` and `generating`, so a benchmark sees the same numbers as every probe.
This module imports lm-eval, which takes seconds; import it late.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import lm_eval.api.task
import lm_eval.utils
from lm_eval.api.model import TemplateLM
from lm_eval.evaluator import evaluate
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch import nn

from sft_probe.data.chat import stop_token_ids
from sft_probe.errors import DataError, nearest
from sft_probe.models.anatomy import context_length, without_adapter
from sft_probe.observe.forward import device_of
from sft_probe.observe.generating import generate
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen
from sft_probe.observe.passages import Budget, fit
from sft_probe.observe.scoring import Question, TokenScores, score
from sft_probe.schema import NAN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEWSHOT_SEED = 1234  # lm-eval's default
MAX_NEW_TOKENS = 256  # lm-eval's default for Hugging Face models
PLACES = ("dataset_path", "dataset_kwargs", "metadata")  # where a task lies; what it says counts

Request = tuple[Any, list[int], list[int]]


class LiveModel(TemplateLM):  # type: ignore[misc]  # lm-eval has no types
    """A model in memory as lm-eval sees it; give it to `lm_eval.simple_evaluate(model=...)`.

    Log-likelihoods equal those of lm-eval's own `HFLM` within 1e-4 in float32, and a context that choices
    share is read once. The model is lent for each kind of request and given back as it was.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        budget: Budget | None = None,
        chat_template: str | None = None,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.budget = model, tokenizer, budget or Budget()
        self._template = chat_template
        self._device = device_of(model)
        self._prefix = str(tokenizer.decode(self.prefix_token_id))
        self.max_length = context_length(model)
        self.n_truncated = 0

    @property
    def eot_token_id(self) -> int:
        """The end-of-text token."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context."""
        bos = self.tokenizer.bos_token_id
        return int(bos) if bos is not None else self.eot_token_id

    @property
    def tokenizer_name(self) -> str:
        """lm-eval's key for cached requests."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as text, ready for an answer."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids. Special tokens as the tokenizer adds them, unless the text begins with one already."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self._prefix)
        return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens))

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Per continuation behind its context: log-likelihood in nats, and whether it is the greedy one."""
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of each whole text in nats, in windows of the model's context, each token once."""
        windows: list[Request] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            found = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            windows += [(None, *make_disjoint_window(window)) for window in found]
            owners += [owner] * (len(windows) - len(owners))
        totals = [0.0] * len(requests)
        for owner, (logprob, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[owner] += logprob
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """Greedy answers, cut before the first stop sequence. Sampling is refused. Raises: DataError."""
        answers = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(index)
        for group in groups.values():
            options = normalize_gen_kwargs(requests[group[0]].args[1], MAX_NEW_TOKENS)
            if options["do_sample"]:
                raise DataError(f"task '{requests[group[0]].task_name}' samples; it must decode greedily.")
            contexts = [requests[index].args[0] for index in group]
            texts = self._answer(contexts, options["until"], options["max_gen_toks"])
            for index, text in zip(group, texts, strict=True):
                answers[index] = text
        return answers

    def _answer(self, contexts: Sequence[str], until: Sequence[str], max_new_tokens: int) -> list[str]:
        stops = handle_stop_sequences(list(until), self.tokenizer.decode(self.eot_token_id))
        room = min(max_new_tokens, self.max_length - 1)
        encoded = [self.tok_encode(context) for context in contexts]
        prompts = [ids[room - self.max_length :] for ids in encoded]  # the last tokens, as HFLM cuts
        self.n_truncated += sum(len(kept) < len(ids) for kept, ids in zip(prompts, encoded, strict=True))

        def text(ids: list[int]) -> str:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True))

        with lend(self.model) as model:
            generated = generate(
                model,
                prompts,
                max_new_tokens=room,
                stops=self._stop_tokens(),
                budget=self.budget,
                done=lambda ids: any(stop in text(ids) for stop in stops if stop),
            )
        return [str(postprocess_generated_text(text(ids), stops, None)) for ids in generated]

    def _stop_tokens(self) -> set[int]:
        config: Any = getattr(without_adapter(self.model), "generation_config", None)
        own = getattr(config, "eos_token_id", None)
        listed = own if isinstance(own, list) else [] if own is None else [own]
        return {self.eot_token_id, *listed, *stop_token_ids(self.tokenizer, self._template)}

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = True, **_: Any
    ) -> list[tuple[float, bool]]:
        """Score continuations that share a context as one question, the longest first."""
        shared: dict[tuple[int, ...], dict[tuple[int, ...], None]] = {}
        places = []
        for _, context, continuation in requests:
            prompt, answer, cut = fit(context, continuation, self.max_length)
            self.n_truncated += cut
            shared.setdefault(tuple(prompt), {})[tuple(answer)] = None
            places.append((tuple(prompt), tuple(answer)))
        questions = [
            Question(prompt, tuple(sorted(answers, key=len, reverse=True)))
            for prompt, answers in shared.items()
        ]
        with lend(self.model) as model:
            scores = score(model, questions, self.budget)
        found: dict[Any, TokenScores] = {
            (question.context, continuation): token_scores
            for question, row in zip(questions, scores, strict=True)
            for continuation, token_scores in zip(question.continuations, row, strict=True)
        }
        return [(float(found[p].logprob.sum()), bool(found[p].greedy.all())) for p in places]


def run_benchmark(live: LiveModel, need: Benchmark, paths: tuple[Path, ...] = ()) -> BenchmarkSeen:
    """Run lm-eval tasks and return one row per document and metric, with lm-eval's own aggregates.

    A metric of the default filter keeps its name, of another filter it is `metric,filter`. Metrics whose
    value per document is not a number (F1, perplexity) have aggregates only.
    Raises: DataError for a task that is in none of `paths` and not in lm-eval, or whose data cannot be read.
    """
    with _quiet(), _templates_compiled_once():
        loaded = _load_tasks(need.tasks, paths, need.num_fewshot)
        for task in loaded["tasks"].values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        results = evaluate(
            live,
            loaded,
            limit=need.limit,
            bootstrap_iters=0,
            apply_chat_template=need.apply_chat_template,
            fewshot_as_multiturn=need.apply_chat_template,
        )
    items = [
        item
        for name, samples in results["samples"].items()
        for item in _items(name, loaded["tasks"][name], samples)
    ]
    return BenchmarkSeen(
        items=tuple(items), aggregates=_aggregates(results["results"]), n_truncated=live.n_truncated
    )


@lru_cache(maxsize=8)
def _manager(paths: tuple[Path, ...], *, include_defaults: bool) -> TaskManager:
    """lm-eval's index of tasks; with its own ones it takes 10 to 40 s on a slow core, so once per process."""
    return TaskManager(include_path=[str(path) for path in paths], include_defaults=include_defaults)


@lru_cache(maxsize=8)
def _load_tasks(names: tuple[str, ...], paths: tuple[Path, ...], num_fewshot: int | None) -> dict[str, Any]:
    """Tasks with their data, kept for the next look. lm-eval's rule: a task with 0 shots keeps 0 shots."""
    manager = _manager(paths, include_defaults=False)
    if any(name not in manager.all_tasks for name in names):
        manager = _manager(paths, include_defaults=True)
    for name in names:
        if name not in manager.all_tasks:
            raise DataError(
                f"there is no benchmark named '{name}'.",
                field="tasks",
                remedy=nearest(name, manager.all_tasks),
            )
    try:
        loaded: dict[str, Any] = manager.load(list(names))
    except Exception as error:  # lm-eval and datasets raise anything here, from KeyError to OSError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"benchmark '{', '.join(names)}' cannot be loaded: {reason}", field="tasks"
        ) from error
    for task in loaded["tasks"].values():
        own = task.get_config("num_fewshot")
        if own is None or (own != 0 and num_fewshot is not None):
            task.set_config(key="num_fewshot", value=num_fewshot or 0)
    return loaded


@lru_cache(maxsize=8)
def tasks_digest(
    names: tuple[str, ...], paths: tuple[Path, ...] = (), num_fewshot: int | None = None
) -> str:
    """sha256 over settings and documents of tasks, wherever their files lie. Raises: DataError."""
    with _quiet():
        loaded = _load_tasks(names, paths, num_fewshot)["tasks"]
    sha = hashlib.sha256(version("lm_eval").encode())
    for code in sorted(source.read_bytes() for path in paths for source in path.rglob("*.py")):
        sha.update(code)
    for name, task in loaded.items():
        settings = {key: value for key, value in task.dump_config().items() if key not in PLACES}
        shots = task.fewshot_docs() if task.get_config("num_fewshot") else ()
        for content in (name, settings, *task.eval_docs, *shots):
            sha.update(json.dumps(content, sort_keys=True, default=str).encode())
    return sha.hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars, for which lm-eval has no switch, and no warnings about defaults in task files."""
    bar, drawing = lm_eval.api.task.tqdm, not datasets.are_progress_bars_disabled()
    logger = logging.getLogger("lm_eval")
    level = logger.level
    lm_eval.api.task.tqdm = lambda rows, **_: rows
    datasets.disable_progress_bars()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar
        if drawing:
            datasets.enable_progress_bars()


@contextmanager
def _templates_compiled_once() -> Iterator[None]:
    """lm-eval compiles each Jinja template again for every document, half the time of a small benchmark."""
    environment = lm_eval.utils.env
    environment.from_string = lru_cache(maxsize=256)(environment.from_string)
    try:
        yield
    finally:
        del environment.from_string  # the method of the class shows again


def _items(name: str, task: Any, samples: Sequence[Mapping[str, Any]]) -> Iterator[BenchmarkItem]:
    own_ids = [str(s["doc"].get("id", "")) for s in samples if s["filter"] == samples[0]["filter"]]
    named = "" not in own_ids and len(set(own_ids)) == len(own_ids)
    for sample in samples:
        doc = sample["doc"]
        item = str(doc["id"] if named else sample["doc_id"])
        prediction, target, margin = _verdict(task, sample)
        for metric in sample["metrics"]:
            if isinstance(sample[metric], int | float):
                yield BenchmarkItem(
                    task=name,
                    item=item,
                    cluster=str(doc.get("cluster") or item),
                    metric=metric if sample["filter"] == "none" else f"{metric},{sample['filter']}",
                    value=float(sample[metric]),
                    margin=margin,
                    prompt=str(sample["arguments"][0][0]),
                    prediction=prediction,
                    target=target,
                )


def _verdict(task: Any, sample: Mapping[str, Any]) -> tuple[str, str, float]:
    """What the model said, what it should have said, and by how many nats the right choice led."""
    if task.OUTPUT_TYPE == "multiple_choice":
        return _choice_verdict(task, sample)
    answer, target = sample["filtered_resps"][0], sample["target"]
    if task.OUTPUT_TYPE == "generate_until":
        if task.config.doc_to_choice is not None and isinstance(target, int):
            target = task.doc_to_choice(sample["doc"])[target]
        return str(answer), str(target), NAN
    greedy = bool(answer[1]) if task.OUTPUT_TYPE == "loglikelihood" else False
    return str(target) if greedy else "", str(target), NAN


def _choice_verdict(task: Any, sample: Mapping[str, Any]) -> tuple[str, str, float]:
    doc = sample["doc"]
    choices = task.doc_to_choice(doc)
    logprobs = [float(response[0]) for response in sample["filtered_resps"][: len(choices)]]
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    golds = gold if isinstance(gold, list) else [gold]
    right = {g if isinstance(g, int) else choices.index(g) for g in golds}
    best = max(range(len(choices)), key=lambda i: logprobs[i])
    wrong = [p for i, p in enumerate(logprobs) if i not in right]
    known = [i for i in sorted(right) if 0 <= i < len(choices)]
    margin = max(logprobs[i] for i in known) - max(wrong) if known and wrong else NAN
    return str(choices[best]), " | ".join(str(choices[i]) for i in known), margin


def _aggregates(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        task: {
            metric.removesuffix(",none"): float(value)
            for metric, value in row.items()
            if isinstance(value, int | float) and "," in metric and "_stderr," not in metric
        }
        for task, row in results.items()
    }
