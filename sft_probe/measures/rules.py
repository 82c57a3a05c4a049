"""Demands on the form of an answer that a program can check, and rewriting a text so that it meets them.

Every check takes a text and an argument, and looks at the form alone. Every rewriting keeps what the text
says as far as the rule allows. A blank text meets no rule: `holds` sees to that, not the checks.
Source: Zhou et al. 2023, Instruction-Following Evaluation (arXiv 2311.07911).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from itertools import cycle, islice

from sft_probe.measures.formats import is_label, json_value
from sft_probe.measures.text import contains, words

Check = Callable[[str, str], bool]
Follow = Callable[[str, str], str]

LABEL_SEPARATOR = " | "
_SENTENCE_END = re.compile("[.!?]+[\"')\\]]*(?=\\s|$)|[\u3002\uff01\uff1f]+")
_BULLET = re.compile(r"[-*\u2022] +\S")
_NUMBERED = re.compile(r"(\d+)[.)] +\S")
_COMMAS = re.compile("[,\uff0c\u3001]")
_FUNCTION_WORDS = {
    "English": frozenset("the of and to in is was that it for with as on are this".split()),
    "German": frozenset("der die das und ist nicht ein eine ich sie zu den mit von im".split()),
    "French": frozenset("le les et est une un des pas que qui dans du je il elle".split()),
    "Spanish": frozenset("el los las y es una un no que en por con del se para".split()),
}
_SCRIPTS = {"Chinese": "CJK", "Russian": "CYRILLIC", "Greek": "GREEK"}


def holds(check: Check, text: str, argument: str) -> bool:
    """The text is not blank and meets the rule."""
    return bool(text.strip()) and check(text.strip(), argument)


def holds_loosely(check: Check, text: str, argument: str) -> bool:
    """As `holds`, for one of IFEval's eight variants: without first line, last line or both, without `*`."""
    lines = text.strip().split("\n")
    kept = (lines, lines[1:], lines[:-1], lines[1:-1])
    variants = (variant for some in kept for variant in ("\n".join(some), "\n".join(some).replace("*", "")))
    return any(holds(check, variant, argument) for variant in variants)


def at_most_words(text: str, argument: str) -> bool:
    """Punctuation parts words and is none; a Chinese or Japanese character is one."""
    return len(words(text)) <= int(argument)


def shortened(text: str, argument: str) -> str:
    """The first words of the text."""
    whole = text.split()
    kept = next((" ".join(whole[:n]) for n in range(len(whole), 0, -1) if _fits(whole[:n], argument)), "")
    return kept or " ".join(words(text)[: int(argument)])


def at_least_words(text: str, argument: str) -> bool:
    """Counted as in `at_most_words`."""
    return len(words(text)) >= int(argument)


def lengthened(text: str, argument: str) -> str:
    """The text, said again until it is long enough."""
    times = -(-int(argument) // max(1, len(words(text))))
    return " ".join([text] * times)


def has_sentences(text: str, argument: str) -> bool:
    """From low to high sentences for `low-high`, each closed by `.`, `!` or `?`; 3.5 closes none."""
    low, high = _bounds(argument)
    found, rest = _sentences(text)
    return low <= len(found) <= high and not rest


def in_sentences(text: str, argument: str) -> str:
    """The first sentences, the last one closed; said again where there are too few."""
    low, high = _bounds(argument)
    found, rest = _sentences(text)
    closed = [*found, f"{rest}."] if rest else found
    return " ".join(islice(cycle(closed), max(low, min(high, len(closed)))))


def includes(text: str, argument: str) -> bool:
    """The word stands in the text, as a whole word in any case."""
    return contains(text, argument)


def with_keyword(text: str, argument: str) -> str:
    """The text with the word behind it in brackets."""
    return f"{text} ({argument})"


def excludes(text: str, argument: str) -> bool:
    """The word does not stand in the text."""
    return not contains(text, argument)


def without_keyword(text: str, argument: str) -> str:
    """The text with every occurrence of the word taken out."""
    return " ".join(re.sub(rf"(?<!\w){re.escape(argument)}(?!\w)", " ", text, flags=re.IGNORECASE).split())


def begins_with(text: str, argument: str) -> bool:
    """The text begins with exactly this, and not with a longer word."""
    return text.startswith(argument) and not text[len(argument) : len(argument) + 1].isalnum()


def with_beginning(text: str, argument: str) -> str:
    """The text behind the beginning asked for."""
    return f"{argument} {text}"


def ends_with(text: str, argument: str) -> bool:
    """The text ends with exactly this; a closing quotation mark does not count, as in IFEval."""
    return text.rstrip(' "').endswith(argument)


def with_end(text: str, argument: str) -> str:
    """The text before the end asked for."""
    return f"{text} {argument}"


def is_upper(text: str, argument: str) -> bool:
    """There are letters with a case, all of them capitals."""
    del argument
    return text.isupper()


def upper(text: str, argument: str) -> str:
    """All letters as capitals."""
    del argument
    return text.upper()


def is_lower(text: str, argument: str) -> bool:
    """There are letters with a case, none of them a capital."""
    del argument
    return text.islower()


def lower(text: str, argument: str) -> str:
    """No letter as a capital."""
    del argument
    return text.lower()


def is_bulleted(text: str, argument: str) -> bool:
    """Every line that is not blank begins with -, * or a bullet, and says something."""
    del argument
    return all(_BULLET.match(line) for line in _lines(text))


def bulleted(text: str, argument: str) -> str:
    """Every line as a point of a list."""
    del argument
    return "\n".join(f"- {line}" for line in _lines(text))


def is_numbered(text: str, argument: str) -> bool:
    """Every line that is not blank begins with its number, from 1 upwards: `1.` or `1)`."""
    del argument
    found = [_NUMBERED.match(line) for line in _lines(text)]
    return all(match and int(match[1]) == i for i, match in enumerate(found, start=1))


def numbered(text: str, argument: str) -> str:
    """Every line behind its number."""
    del argument
    return "\n".join(f"{i}. {line}" for i, line in enumerate(_lines(text), start=1))


def is_json_with(text: str, argument: str) -> bool:
    """The whole text is one JSON object with the key asked for."""
    value = json_value(text)
    return isinstance(value, dict) and argument in value


def as_json(text: str, argument: str) -> str:
    """The text, or the JSON value that it is, under the key asked for."""
    value = json_value(text)
    return json.dumps({argument: text if value is None else value}, ensure_ascii=False)


def is_quoted(text: str, argument: str) -> bool:
    """The whole text stands in double quotation marks."""
    del argument
    return len(text) > 2 and text[0] == text[-1] == '"'


def quoted(text: str, argument: str) -> str:
    """The text in double quotation marks."""
    del argument
    return f'"{text}"'


def has_no_comma(text: str, argument: str) -> bool:
    """No comma, nor a Chinese one."""
    del argument
    return not _COMMAS.search(text)


def without_commas(text: str, argument: str) -> str:
    """The text without its commas."""
    del argument
    return _COMMAS.sub("", text)


def is_one_of(text: str, argument: str) -> bool:
    """The text reads as one of the labels, which ` | ` parts, whatever its case and punctuation."""
    return is_label(text, argument.split(LABEL_SEPARATOR))


def is_in_language(text: str, argument: str) -> bool:
    """Most letters are of the language's script, and for Latin script its function words are the commonest.

    A text without any function word, such as a name, is in none of the Latin languages.
    """
    scripts = [_script(letter) for letter in text if letter.isalpha()]
    wanted = _SCRIPTS.get(argument, "LATIN")
    if 2 * scripts.count(wanted) <= len(scripts):
        return False
    if argument in _SCRIPTS:
        return True
    said = words(text)
    counts = {name: sum(word in known for word in said) for name, known in _FUNCTION_WORDS.items()}
    return counts[argument] > max(count for name, count in counts.items() if name != argument)


def _fits(some: list[str], argument: str) -> bool:
    return at_most_words(" ".join(some), argument)


def _bounds(argument: str) -> tuple[int, int]:
    low, _, high = argument.partition("-")
    return int(low), int(high or low)


def _sentences(text: str) -> tuple[list[str], str]:
    """Closed sentences with a letter or digit in them, and what stands behind the last one."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        sentence = text[start : end.end()].strip()
        if any(c.isalnum() for c in sentence):
            found.append(sentence)
            start = end.end()
    return found, text[start:].strip()


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _script(letter: str) -> str:
    """The first word of a letter's Unicode name: LATIN, CJK, CYRILLIC, ..."""
    return unicodedata.name(letter, "").partition(" ")[0]
