"""Examples as token ids, rendered once per data set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sft_probe.data.chat import read_template, render, stop_token_ids
from sft_probe.data.examples import DataSets, Example
from sft_probe.errors import DataError
from sft_probe.observe.passages import Passage, fit
from sft_probe.observe.scoring import Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Prepared(NamedTuple):
    """One example in token ids. choices: without the end-of-turn token."""

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


class Rendering:
    """Renders examples of the study's data sets with one tokenizer and one chat template, and remembers."""

    def __init__(
        self, data: DataSets, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None
    ) -> None:
        self.data, self.tokenizer = data, tokenizer
        self.template = read_template(chat_template) if chat_template else None
        self._prepared: dict[str, list[Prepared]] = {}
        self._stops: tuple[int, ...] | None = None

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        if self._stops is None:
            self._stops = stop_token_ids(self.tokenizer, self.template)
        return self._stops

    def examples(self, name: str, limit: int | None) -> tuple[Example, ...]:
        """The first examples of a data set. Raises: DataError if it does not exist or has no rows."""
        examples = self.data[name].examples[:limit]
        if not examples:
            raise DataError(f"data set '{name}' has no rows.", file=self.data[name].source or None)
        return examples

    def prepared(self, name: str, limit: int | None) -> list[Prepared]:
        """The same examples in token ids."""
        known = self._prepared.setdefault(name, [])
        known += [self._prepare(example) for example in self.examples(name, limit)[len(known) :]]
        return known[:limit]

    def _prepare(self, example: Example) -> Prepared:
        rendered = render(example, self.tokenizer, self.template)
        choices = []
        for choice in example.choices:
            ids = rendered.target_ids
            if choice != example.target:
                ids = render(replace(example, target=choice), self.tokenizer, self.template).target_ids
            choices.append(tuple(ids[:-1]))  # `render` closes every answer with one end-of-turn token
        return Prepared(tuple(rendered.prompt_ids), tuple(rendered.target_ids), tuple(choices))


def own_answers(prompts: list[tuple[int, ...]], answers: list[list[int]]) -> list[Passage]:
    """Passages that force a model's own answers."""
    return [Passage((*prompt, *answer), len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
