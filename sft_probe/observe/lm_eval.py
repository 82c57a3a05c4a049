"""lm-eval on a live model: an adapter to lm-eval's model interface, and one row per document.

The adapter scores and generates through the engine, so a benchmark sees the same numbers as every probe.
This module imports lm-eval, which takes seconds; import it late.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import TemplateError
from lm_eval.api.model import TemplateLM
from lm_eval.evaluator import evaluate
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch import nn

from sft_probe.data.chat import stop_token_ids
from sft_probe.errors import DataError
from sft_probe.models.anatomy import context_length, without_adapter
from sft_probe.observe.forward import device_of
from sft_probe.observe.generating import generate
from sft_probe.observe.lending import lend
from sft_probe.observe.lm_eval_items import aggregates, items
from sft_probe.observe.lm_eval_tasks import (
    Made,
    drawn_tasks,
    load_tasks,
    made_once,
    nltk_files_named,
    quiet,
    templates_compiled_once,
)
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.observations import BenchmarkSeen
from sft_probe.observe.passages import Budget, fit
from sft_probe.observe.scoring import Question, TokenScores
from sft_probe.observe.trees import score_together

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FEWSHOT_SEED = 1234  # lm-eval's default
MAX_NEW_TOKENS = 256  # lm-eval's default for Hugging Face models

# What a task may say about its generations: how long, until what, and whatever changes no greedy answer.
HEARD = {"until", "do_sample", "temperature", "top_p", "top_k", "min_p", "max_gen_toks"}
WITHOUT_EFFECT = {"num_beams": 1, "repetition_penalty": 1, "length_penalty": 1, "num_return_sequences": 1}

Request = tuple[Any, list[int], list[int]]

logger = logging.getLogger(__name__)


class Asked(NamedTuple):
    """Requests of log-likelihoods in token ids. places: the question and the continuation of each.

    n_truncated: requests whose context was cut.
    """

    questions: tuple[Question, ...]
    places: tuple[tuple[int, int], ...]
    n_truncated: int


@dataclass
class Known:
    """What tasks ask, which is the same at every look with one tokenizer and template.

    made: by need and task.  questions: log-likelihoods by the arguments of their requests.
    """

    made: dict[Benchmark, dict[str, Made]] = field(default_factory=lambda: defaultdict(dict))
    questions: dict[tuple[Any, ...], Asked] = field(default_factory=dict)


class LiveModel(TemplateLM):  # type: ignore[misc]  # lm-eval has no types
    """A model in memory as lm-eval sees it.

        lm_eval.simple_evaluate(model=LiveModel(model, tokenizer), tasks=["world"], task_manager=...)

    Requests of all kinds are answered as lm-eval's own `HFLM` answers them in float32: log-likelihoods
    within 1e-4, greedy flags and generations equal. What contexts share, choices of one question above all,
    is read once. The model is lent for each kind of request and given back as it was, so it may be in
    training. Where this model and `HFLM` part on purpose is said in docs/lm-eval.md.

    budget: bounds of one forward pass. chat_template: Jinja text for a tokenizer that has none. known:
    where what tasks ask is kept from look to look, if anywhere. n_truncated: requests so far whose context
    was cut on the left.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        budget: Budget | None = None,
        chat_template: str | None = None,
        known: Known | None = None,
    ) -> None:
        super().__init__()
        self.known = known
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

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template that is applied, for lm-eval's records."""
        found: str | None = self._template or super().chat_template(chat_template)
        return found

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as text, ready for an answer.

        As in `HFLM`, a system message that the template refuses is left out with a warning.
        """
        try:
            return self._applied(chat_history, add_generation_prompt)
        except TemplateError as error:
            others = [message for message in chat_history if message["role"] != "system"]
            if len(others) == len(chat_history):
                raise
            logger.warning("The chat template refuses system messages (%s); they are left out.", error)
            return self._applied(others, add_generation_prompt)

    def _applied(self, chat_history: list[dict[str, str]], ask: bool) -> str:
        text = self.tokenizer.apply_chat_template(
            chat_history,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=ask,
            continue_final_message=not ask,
        )
        return str(text)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids. Special tokens as the tokenizer adds them, unless the text begins with one already."""
        return self._encode([string], add_special_tokens)[string]

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Per continuation behind its context: log-likelihood in nats, and whether it is the greedy one.

        Raises: DataError for a continuation that adds no token to its context.
        """
        known = {} if self.known is None else self.known.questions
        asked = tuple(request.args for request in requests)
        if asked not in known:
            known[asked] = self._questions(self._encoded(requests))
        return self._answered(known[asked])

    def _encoded(self, requests: Sequence[Any]) -> list[Request]:
        pairs = [_spaces_to_the_right(*request.args) for request in requests]
        wholes = self._encode(context + continuation for context, continuation in pairs if context)
        contexts = self._encode(context for context, _ in pairs if context)
        alone = self._encode((continuation for context, continuation in pairs if not context), False)
        encoded: list[Request] = []
        for request, (context, continuation) in zip(requests, pairs, strict=True):
            if context:
                before = contexts[context]
                after = wholes[context + continuation][len(before) :]
            else:
                before, after = [self.prefix_token_id], alone[continuation]
                if after[:1] == before:
                    after = after[1:]
            if not after:
                raise DataError(
                    f"task '{request.task_name}', document {request.doc_id}: the continuation "
                    f"{continuation!r} adds no token to its context."
                )
            encoded.append((request.args, before, after))
        return encoded

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of each whole text in nats, in windows of the model's context, each token once."""
        texts = self._encode(request.args[0] for request in requests)
        windows: list[Request] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            found = get_rolling_token_windows(
                token_list=texts[request.args[0]],
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
        """Greedy answers, cut before the first stop sequence.

        Raises: DataError for a task that samples or decodes in another way than greedily.
        """
        answers = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(index)
        for group in groups.values():
            options = _greedy_options(requests[group[0]])
            contexts = [requests[index].args[0] for index in group]
            texts = self._answer(contexts, options["until"], options["max_gen_toks"])
            for index, text in zip(group, texts, strict=True):
                answers[index] = text
        return answers

    def _answer(self, contexts: Sequence[str], until: Sequence[str], max_new_tokens: int) -> list[str]:
        stops = handle_stop_sequences(list(until), self.tokenizer.decode(self.eot_token_id))
        room = min(max_new_tokens, self.max_length - 1)
        encoded = self._encode(contexts)
        prompts = {text: ids[room - self.max_length :] for text, ids in encoded.items()}  # as HFLM cuts
        self.n_truncated += sum(len(prompts[text]) < len(encoded[text]) for text in contexts)
        generated = self._generated(list(prompts.values()), stops, room)
        texts = [
            str(postprocess_generated_text(text, stops, None))
            for text in self.tokenizer.batch_decode(generated, skip_special_tokens=True)
        ]
        found = dict(zip(prompts, texts, strict=True))
        return [found[text] for text in contexts]

    def _generated(self, prompts: Sequence[list[int]], stops: Sequence[str], room: int) -> list[list[int]]:
        """Token ids of at most `room` each."""
        with lend(self.model) as model:
            return generate(
                model,
                prompts,
                max_new_tokens=room,
                stops=self._stop_tokens(),
                budget=self.budget,
                done=_Stops(self.tokenizer, stops).reached,
            )

    def _stop_tokens(self) -> set[int]:
        config: Any = getattr(without_adapter(self.model), "generation_config", None)
        own = getattr(config, "eos_token_id", None)
        listed = own if isinstance(own, list) else [] if own is None else [own]
        return {self.eot_token_id, *listed, *stop_token_ids(self.tokenizer, self._template)}

    def _encode(self, texts: Iterable[str], add_special_tokens: bool | None = None) -> dict[str, list[int]]:
        """Token ids by text, each text once; many at a time are faster than one by one."""
        groups: dict[bool, list[str]] = {True: [], False: []}
        for text in dict.fromkeys(texts):
            begun = text.startswith(self._prefix)
            groups[not begun if add_special_tokens is None else add_special_tokens].append(text)
        found: dict[str, list[int]] = {}
        for special, chosen in groups.items():
            if chosen:
                ids = self.tokenizer(chosen, add_special_tokens=special, verbose=False)["input_ids"]
                found |= zip(chosen, ids, strict=True)
        return found

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = True, **_: Any
    ) -> list[tuple[float, bool]]:
        """Score continuations that share a context as one question."""
        return self._answered(self._questions(requests))

    def _questions(self, requests: Sequence[Request]) -> Asked:
        shared: dict[tuple[int, ...], dict[tuple[int, ...], int]] = {}
        places, n_cut = [], 0
        for _, context, continuation in requests:
            prompt, answer, cut = fit(context, continuation, self.max_length)
            n_cut += cut
            key = tuple(prompt or [self.prefix_token_id])
            answers = shared.setdefault(key, {})
            places.append((key, answers.setdefault(tuple(answer), len(answers))))
        at = {key: index for index, key in enumerate(shared)}
        questions = tuple(Question(prompt, tuple(answers)) for prompt, answers in shared.items())
        return Asked(questions, tuple((at[key], index) for key, index in places), n_cut)

    def _answered(self, asked: Asked) -> list[tuple[float, bool]]:
        self.n_truncated += asked.n_truncated
        found = [
            [(float(scores.logprob.sum()), bool(scores.greedy.all())) for scores in row]
            for row in self._scored(asked.questions)
        ]
        return [found[question][index] for question, index in asked.places]

    def _scored(self, questions: Sequence[Question]) -> list[list[TokenScores]]:
        with lend(self.model) as model:
            return score_together(model, questions, self.budget)


class _Stops:
    """Whether an answer has come to one of some texts, special tokens included.

    Only its last tokens are looked at: one token makes one byte at least, and the first may lose a space.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Collection[str]) -> None:
        self.tokenizer, self.texts = tokenizer, [text for text in texts if text]
        self.reach = max((len(text.encode()) for text in self.texts), default=0) + 1

    def reached(self, ids: list[int]) -> bool:
        """Whether the newest token completes one of the texts."""
        text = str(self.tokenizer.decode(ids[-self.reach :]))
        return any(stop in text for stop in self.texts)


def _spaces_to_the_right(context: str, continuation: str) -> tuple[str, str]:
    """lm-eval's rule: white space between context and continuation belongs to the continuation."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _greedy_options(request: Any) -> Mapping[str, Any]:
    """Options of a generation, normalised as lm-eval does. Raises: DataError."""
    options: dict[str, Any] = normalize_gen_kwargs(request.args[1], MAX_NEW_TOKENS)
    wrong = {
        name: value
        for name, value in options.items()
        if name not in HEARD and not (name in WITHOUT_EFFECT and value == WITHOUT_EFFECT[name])
    }
    if options["do_sample"]:
        raise DataError(f"task '{request.task_name}' samples; it must decode greedily.")
    if wrong:
        asked = ", ".join(f"{name}={value!r}" for name, value in wrong.items())
        raise DataError(f"task '{request.task_name}' asks for {asked}; answers here are plainly greedy.")
    return options


def run_benchmark(live: LiveModel, need: Benchmark, paths: tuple[Path, ...] = ()) -> BenchmarkSeen:
    """Run lm-eval tasks or groups and return one row per document and metric, with lm-eval's own aggregates.

    A metric of the default filter keeps its name, of another filter it is `metric,filter`. Metrics whose
    value per document is not a number (F1, perplexity) have aggregates only.
    Raises: DataError for a task that is in none of `paths` and not in lm-eval, or whose data cannot be read.
    """
    with quiet(), templates_compiled_once(), nltk_files_named(need.tasks):
        loaded = load_tasks(need.tasks, paths, need.num_fewshot)
        if need.drawn:
            loaded = drawn_tasks(need.tasks, paths, need.num_fewshot, need.limit)
        for task in loaded["tasks"].values():
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        made = {} if live.known is None else live.known.made[replace(need, under=())]
        with made_once(loaded["tasks"], made):
            results = evaluate(
                live,
                loaded,
                limit=need.limit,
                bootstrap_iters=0,
                system_instruction=need.system_instruction,
                apply_chat_template=need.apply_chat_template,
                fewshot_as_multiturn=need.apply_chat_template and need.fewshot_as_multiturn,
            )
            rows = [
                item
                for name, samples in results["samples"].items()
                for item in items(name, loaded["tasks"][name], samples)
            ]
    return BenchmarkSeen(
        items=tuple(rows), aggregates=aggregates(results["results"]), n_truncated=live.n_truncated
    )
