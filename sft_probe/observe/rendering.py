"""Examples as token ids, rendered once per data set and wording."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sft_probe.data.chat import opening, read_template, render, stop_token_ids
from sft_probe.data.examples import DataSets, Example
from sft_probe.errors import DataError
from sft_probe.observe.interventions import FewShot
from sft_probe.observe.interventions.prompts import PLAIN_TEMPLATE, Wording, ranked, shots, with_shots
from sft_probe.observe.passages import fit
from sft_probe.observe.scoring import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Prepared(NamedTuple):
    """One example in token ids. prompt: with what the answer is made to begin with. choices: without the
    end-of-turn token."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]

    def question(self, context: int) -> tuple[Question, bool]:
        """Target (the trunk) and choices behind the prompt, cut to a context length; and whether it was cut.

        The prompt is cut for the longest of them, so that all are scored behind the same words.
        """
        answers = (self.target, *self.choices)
        prompt, _, cut = fit(self.prompt, max(answers, key=len), context)
        return Question(tuple(prompt), tuple(answer[:context] for answer in answers)), cut


AS_TRAINED = Wording()


class Rendering:
    """Renders examples of the study's data sets with one tokenizer and one chat template, and remembers."""

    def __init__(
        self, data: DataSets, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None
    ) -> None:
        self.data, self.tokenizer = data, tokenizer
        self.template = read_template(chat_template) if chat_template else None
        self._prepared: dict[tuple[str, Wording], list[Prepared]] = {}
        self._candidates: dict[FewShot, list[Example]] = {}
        self._stops: tuple[int, ...] | None = None
        self._part = (0, 1)

    def part(self, rank: int, count: int) -> Rendering:
        """The same for every `count`-th example of a data set, from number `rank` on."""
        other = copy(self)
        other._part = (rank, count)
        return other

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        if self._stops is None:
            self._stops = stop_token_ids(self.tokenizer, self.template)
        return self._stops

    def examples(self, name: str, limit: int | None) -> tuple[Example, ...]:
        """The first examples of a data set. Raises: DataError if it does not exist or has no rows."""
        return self._first(name, limit)[self._part[0] :: self._part[1]]

    def prepared(self, name: str, limit: int | None, wording: Wording = AS_TRAINED) -> list[Prepared]:
        """The same examples in token ids. Raises: DataError if few-shot examples are wanting."""
        known = self._prepared.setdefault((name, wording), [])
        known += [self._prepare(e, wording) for e in self._first(name, limit)[len(known) :]]
        return known[:limit][self._part[0] :: self._part[1]]

    def _first(self, name: str, limit: int | None) -> tuple[Example, ...]:
        examples = self.data[name].examples[:limit]
        if not examples:
            raise DataError(f"data set '{name}' has no rows.", file=self.data[name].source or None)
        return examples

    def prefill(self, wording: Wording) -> tuple[int, ...]:
        """Tokens that every answer is made to begin with."""
        if wording.prefill is None:
            return ()
        given = wording.prefill
        ids = self.tokenizer(given.text, add_special_tokens=False)["input_ids"]
        return given.tokens or tuple(ids[: given.first])

    def _prepare(self, example: Example, wording: Wording) -> Prepared:
        if wording.few_shot:
            candidates = self._shots_of(wording.few_shot)
            example = with_shots(example, shots(example, candidates, wording.few_shot))
        template = self.template if wording.template else opening(self.tokenizer) + PLAIN_TEMPLATE
        rendered = render(example, self.tokenizer, template)
        choices = []
        for choice in example.choices:
            ids = rendered.target_ids
            if choice != example.target:
                ids = render(replace(example, target=choice), self.tokenizer, template).target_ids
            choices.append(tuple(ids[:-1]))  # `render` closes every answer with one end-of-turn token
        prompt = (*rendered.prompt_ids, *self.prefill(wording))
        return Prepared(prompt, tuple(rendered.target_ids), tuple(choices))

    def _shots_of(self, few_shot: FewShot) -> list[Example]:
        if few_shot not in self._candidates:
            self._candidates[few_shot] = ranked(self.data[few_shot.dataset], few_shot.seed)
        return self._candidates[few_shot]
