"""Verifiable instructions: each rule with the ways to ask for it, alike for the edit that trains them and the
probe that asks whether they are followed.

Every rule has wordings that an edit may put into training rows, and others that no edit uses.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sft_probe.data.examples import Example
from sft_probe.measures import rules
from sft_probe.measures.rules import Check, Follow

EDIT = "instructions"  # name of the edit that plants rules, under `Example.meta["planted"]`
NO_ARGUMENT = {"": ""}
LASTING = "For all your answers from now on: {0}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A demand on the form of an answer that a program can check.

    follow: says the same in the form asked for; None where that takes more than rewriting.
    arguments: what the rule can be asked with, and how that reads in a wording (`{0}`).
    wordings, held_out: ways to ask for it, for training and for tests only.
    """

    name: str
    family: str
    check: Check
    follow: Follow | None = None
    arguments: Mapping[str, str]
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]

    def holds(self, text: str, argument: str) -> bool:
        """The text is not blank and meets the rule."""
        return rules.holds(self.check, text, argument)

    def followed(self, text: str, argument: str) -> str | None:
        """The text rewritten so that the rule holds; None where it cannot be."""
        if self.follow is None:
            return None
        rewritten = self.follow(text.strip(), argument)
        return rewritten if self.holds(rewritten, argument) else None


class Demand(NamedTuple):
    """One rule asked for in one way. held_out: in a wording that no edit uses."""

    rule: str
    argument: str
    text: str
    held_out: bool


NUMBERS = {"3": "three", "4": "four", "5": "five", "6": "six"}
MORE = {"8": "eight", "10": "ten", "12": "twelve"}
SENTENCES = {
    "1": "one full sentence",
    "1-2": "one or two full sentences",
    "2-3": "two or three full sentences",
}
KEYWORDS = {word: word for word in ("today", "indeed", "river", "green")}
COMMON = {word: word for word in ("the", "is", "a", "and")}
BEGINNINGS = {text: text for text in ("Well,", "Answer:", "Sure,", "Here it is:")}
ENDINGS = {text: text for text in ("That is all.", "The end.", "I hope this helps.")}
KEYS = {word: word for word in ("answer", "result", "text")}
LABELS = {rules.LABEL_SEPARATOR.join(words): ", ".join(words) for words in (("yes", "no"), ("true", "false"))}
LANGUAGES = {name: name for name in ("German", "French", "Spanish", "Chinese")}

_ALL = (
    Rule(
        name="at_most_words",
        family="length",
        check=rules.at_most_words,
        follow=rules.shortened,
        arguments=NUMBERS,
        wordings=("Use at most {0} words.", "Answer in no more than {0} words."),
        held_out=("Your reply must not be longer than {0} words.", "Keep it to {0} words or fewer."),
    ),
    Rule(
        name="at_least_words",
        family="length",
        check=rules.at_least_words,
        follow=rules.lengthened,
        arguments=MORE,
        wordings=("Use at least {0} words.", "Answer in {0} words or more."),
        held_out=("Your reply must not be shorter than {0} words.", "Write no fewer than {0} words."),
    ),
    Rule(
        name="sentences",
        family="length",
        check=rules.has_sentences,
        follow=rules.in_sentences,
        arguments=SENTENCES,
        wordings=("Answer with {0}.", "Write {0}, each closed by a full stop."),
        held_out=("Say it in {0}.", "Limit yourself to {0}."),
    ),
    Rule(
        name="keyword",
        family="keyword",
        check=rules.includes,
        follow=rules.with_keyword,
        arguments=KEYWORDS,
        wordings=('Use the word "{0}".', 'The answer must contain the word "{0}".'),
        held_out=('Make sure that "{0}" occurs in your reply.', 'Somewhere you should say "{0}".'),
    ),
    Rule(
        name="no_keyword",
        family="keyword",
        check=rules.excludes,
        follow=rules.without_keyword,
        arguments=COMMON,
        wordings=('Do not use the word "{0}".', 'The answer must not contain the word "{0}".'),
        held_out=('Make sure that "{0}" does not occur in your reply.', 'Avoid the word "{0}".'),
    ),
    Rule(
        name="beginning",
        family="frame",
        check=rules.begins_with,
        follow=rules.with_beginning,
        arguments=BEGINNINGS,
        wordings=('Begin with "{0}"', 'The answer must start with "{0}"'),
        held_out=('The first thing you write should be "{0}"', 'Open your reply with "{0}"'),
    ),
    Rule(
        name="ending",
        family="frame",
        check=rules.ends_with,
        follow=rules.with_end,
        arguments=ENDINGS,
        wordings=('End with "{0}"', 'The answer must finish with "{0}"'),
        held_out=('The last thing you write should be "{0}"', 'Close your reply with "{0}"'),
    ),
    Rule(
        name="quotes",
        family="frame",
        check=rules.is_quoted,
        follow=rules.quoted,
        arguments=NO_ARGUMENT,
        wordings=("Put the answer in double quotation marks.", "Wrap your answer in double quotes."),
        held_out=(
            "The whole reply should stand in quotation marks.",
            'Write " before and " behind your reply.',
        ),
    ),
    Rule(
        name="capitals",
        family="casing",
        check=rules.is_upper,
        follow=rules.upper,
        arguments=NO_ARGUMENT,
        wordings=("Write in capital letters.", "Use capital letters only."),
        held_out=("Your reply should be all upper case.", "No small letters are allowed."),
    ),
    Rule(
        name="small_letters",
        family="casing",
        check=rules.is_lower,
        follow=rules.lower,
        arguments=NO_ARGUMENT,
        wordings=("Write in small letters.", "Use small letters only."),
        held_out=("Your reply should be all lower case.", "No capital letters are allowed."),
    ),
    Rule(
        name="bullets",
        family="list",
        check=rules.is_bulleted,
        follow=rules.bulleted,
        arguments=NO_ARGUMENT,
        wordings=('Answer as a list with "- " before each point.', "Write the answer as bullet points."),
        held_out=("Give me a bulleted list.", "Your reply should be bullets and nothing else."),
    ),
    Rule(
        name="numbers",
        family="list",
        check=rules.is_numbered,
        follow=rules.numbered,
        arguments=NO_ARGUMENT,
        wordings=("Answer as a list with numbers before each point.", "Number the lines of the answer."),
        held_out=("Give me a numbered list.", 'Your reply should begin with "1." and count on.'),
    ),
    Rule(
        name="json",
        family="json",
        check=rules.is_json_with,
        follow=rules.as_json,
        arguments=KEYS,
        wordings=('Answer as JSON with the key "{0}".', 'Write a JSON object that has a field "{0}".'),
        held_out=(
            'Your reply should be JSON: one object with "{0}".',
            'Put it in JSON under the name "{0}".',
        ),
    ),
    Rule(
        name="no_comma",
        family="punctuation",
        check=rules.has_no_comma,
        follow=rules.without_commas,
        arguments=NO_ARGUMENT,
        wordings=("Do not use commas.", "The answer must not contain a comma."),
        held_out=("Your reply should do without commas.", "Refrain from commas."),
    ),
    Rule(
        name="label",
        family="label",
        check=rules.is_one_of,
        arguments=LABELS,
        wordings=("Answer with one of these words: {0}.", "Say one of {0} and nothing else."),
        held_out=("Your reply should be one of: {0}.", "Choose one word, of {0}."),
    ),
    Rule(
        name="language",
        family="language",
        check=rules.is_in_language,
        arguments=LANGUAGES,
        wordings=("Answer in {0}.", "Write the answer in {0}."),
        held_out=("Your reply should be in {0}.", "Please speak {0}."),
    ),
)

RULES: Mapping[str, Rule] = {rule.name: rule for rule in _ALL}
TRAINED = ("sentences", "keyword", "beginning", "capitals", "bullets", "json")
"""Planted by the edit unless told otherwise; the other rules are left to ask what carries over."""

CONFLICTS: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = (
    (("capitals", ""), ("small_letters", "")),
    (("bullets", ""), ("numbers", "")),
    (("beginning", "Well,"), ("beginning", "Answer:")),
    (("ending", "That is all."), ("ending", "The end.")),
)
"""Rules with their arguments that no text can meet both."""


def demand(rule: str, argument: str, draw: random.Random, *, held_out: bool = False) -> Demand:
    """One way to ask for a rule."""
    known = RULES[rule]
    wording = draw.choice(known.held_out if held_out else known.wordings)
    return Demand(rule, argument, wording.format(known.arguments[argument]), held_out)


def draw_demand(rule: str, draw: random.Random, *, held_out: bool = False) -> Demand:
    """One way to ask for a rule, with one of its arguments."""
    return demand(rule, draw.choice(sorted(RULES[rule].arguments)), draw, held_out=held_out)


def planted_rules(rows: Iterable[Example]) -> frozenset[str]:
    """Names of the rules that an edit put into some training rows."""
    marks = (row.meta.get("planted") for row in rows)
    planted = (mark.get(EDIT) for mark in marks if isinstance(mark, Mapping))
    return frozenset(str(truth["rule"]) for truth in planted if isinstance(truth, Mapping))
