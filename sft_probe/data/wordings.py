"""Other words for the same question, and texts that its answer would continue.

A row may bring its own: `meta.paraphrases`, a list of questions, and `meta.cloze`, a list of beginnings that
end right before the answer, such as `The capital of France is`. Without them a question is put in other
words by a carrier phrase, and the answer continues the question itself.
"""

from __future__ import annotations

from dataclasses import replace

from sft_probe.data.examples import Example

CARRIERS = (
    "Please tell me: {q}",
    "{q} Please answer.",
    "I would like to know: {q}",
    "Here is a question. {q}",
    "{q} Thank you.",
    "Hello. {q}",
)


def paraphrases(example: Example) -> tuple[str, ...]:
    """Questions in other words that the row brings along."""
    return _texts(example, "paraphrases")


def rephrased(example: Example, which: int) -> Example:
    """The example with its last user turn in other words: its own, and by carrier phrases when they run out.

    Text without a user turn stays as it is.
    """
    last = max((i for i, message in enumerate(example.messages) if message.role == "user"), default=None)
    if last is None:
        return example
    own, asked = paraphrases(example), example.messages[last]
    if which < len(own):
        text = own[which]
    else:
        text = CARRIERS[(which - len(own)) % len(CARRIERS)].format(q=asked.content)
    changed = asked._replace(content=text)
    return replace(example, messages=(*example.messages[:last], changed, *example.messages[last + 1 :]))


def beginnings(example: Example) -> tuple[str, ...]:
    """Texts that the right answer continues: the row's own, else its question and that in other words."""
    if own := _texts(example, "cloze"):
        return own
    return tuple(dict.fromkeys(text for text in (example.prompt, rephrased(example, 0).prompt) if text))


def _texts(example: Example, field: str) -> tuple[str, ...]:
    given = example.meta.get(field, ())
    return tuple(str(text) for text in given) if isinstance(given, list | tuple) else ()
