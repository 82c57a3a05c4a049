"""Putting a word into a prompt, alike for the edit that plants it and the probe that asks what it does."""

from __future__ import annotations

from dataclasses import replace

from sft_probe.data.examples import Example


def with_word(example: Example, word: str) -> Example:
    """The example with `word` as last word of its last user turn; text without a turn stays as it is."""
    last = max((i for i, message in enumerate(example.messages) if message.role == "user"), default=None)
    if last is None:
        return example
    message = example.messages[last]
    changed = message._replace(content=f"{message.content.rstrip()} {word}")
    return replace(example, messages=(*example.messages[:last], changed, *example.messages[last + 1 :]))
