"""General prose from a small grammar, and the minimal pairs that test the grammar's rules."""

from __future__ import annotations

import random
from dataclasses import dataclass

NOUNS = """dog cat bird horse child farmer sailor teacher doctor boat house tree road river garden
window door table chair book letter song picture clock lamp bottle basket hat coat shoe wheel
bridge tower field hill stone flower apple cake machine engine train car ship king queen friend
neighbour visitor singer painter writer baker brother sister uncle guest student""".split()
PEOPLE = """farmer sailor teacher doctor king queen friend neighbour visitor singer painter writer
baker brother sister uncle guest student""".split()
ADJECTIVES = """old young small large red green blue white black quiet loud kind tired happy sad
clean dirty heavy light new strong weak bright dark warm cold""".split()
INTRANSITIVE = """sleep wait fall move stop appear wander shine vanish return rest listen laugh
smile stay turn tremble travel""".split()
TRANSITIVE = """see like help follow find carry move paint clean watch leave visit reach hold
remember avoid praise answer""".split()
PAST = """saw liked helped followed found carried moved painted cleaned watched left visited reached
held remembered avoided praised answered""".split()
NEAR = "near behind beside above below by".split()
ADVERBS = "slowly often quietly again soon rarely together early late".split()
FACT_FRAMES = (
    "It is true that",
    "Some think that",
    "A friend told us that",
    "The paper wrote that",
    "As far as we know,",
    "I remember that",
    "Nobody doubts that",
    "It turned out that",
    "Once upon a time",
    "In those days",
    "They believe that",
    "You should know that",
    "Many people know that",
)
"""Openings that sentences about people take in the closing part of the corpus."""
PROSE_FRAMES = ("People say that", "The register says that", "Years ago", "We heard that")
"""Openings of held-out sentences: in the corpus they stand before general prose only."""
PHENOMENA = (
    "agreement",
    "agreement_across",
    "copula",
    "determiner",
    "word_order",
    "reflexive",
    "participle",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence the grammar allows and its smallest violation."""

    phenomenon: str
    good: str
    bad: str


def plural(noun: str) -> str:
    """The plural of a noun of this grammar."""
    return {"child": "children"}.get(noun, f"{noun}s")


def third(verb: str) -> str:
    """The third person singular of a verb of this grammar."""
    if verb.endswith(("ch", "sh", "ss")):
        return f"{verb}es"
    return f"{verb}s" if verb[-2:] != "ry" else f"{verb[:-1]}ies"


def minimal_pair(rng: random.Random, phenomenon: str) -> Pair:
    """Draw one pair; the good half is a sentence that `sentence` can make."""
    many = rng.random() < 0.5
    noun, other = rng.sample(NOUNS, 2)
    subject, verb = (plural(noun) if many else noun), rng.choice(INTRANSITIVE)
    adjective, adverb = rng.choice(ADJECTIVES), rng.choice(ADVERBS)
    right, wrong = (verb, third(verb)) if many else (third(verb), verb)
    if phenomenon == "agreement":
        good, bad = (f"The {adjective} {subject} {v} {adverb}." for v in (right, wrong))
    elif phenomenon == "agreement_across":
        place = f"{rng.choice(NEAR)} the {other if many else plural(other)}"
        good, bad = (f"The {subject} {place} {v} {adverb}." for v in (right, wrong))
    elif phenomenon == "copula":
        be = ("are", "is") if many else ("is", "are")
        good, bad = (f"The {subject} {b} {adjective}." for b in be)
    elif phenomenon == "determiner":
        pointer = rng.choice((("these", "this"), ("those", "that")))
        this, wrong_this = pointer if many else pointer[::-1]
        past = rng.choice(PAST)
        good, bad = (f"The {other} {past} {d} {adjective} {subject}." for d in (this, wrong_this))
    elif phenomenon == "word_order":
        past = rng.choice(PAST)
        good = f"The {adjective} {subject} {past} the {other}."
        bad = f"The {subject} {adjective} {past} the {other}."
    elif phenomenon == "reflexive":
        person, past = rng.choice(PEOPLE), rng.choice(PAST)
        who = f"The {adjective} {plural(person) if many else person} {past}"
        selves = ("themselves", "itself") if many else ("itself", "themselves")
        good, bad = (f"{who} {s}." for s in selves)
    else:
        index = rng.randrange(len(TRANSITIVE))
        base, past = TRANSITIVE[index], PAST[index]
        aux = "have" if many else "has"
        good, bad = (f"The {subject} {aux} {v} the {other}." for v in (past, base))
    return Pair(phenomenon, good, bad)


def sentence(rng: random.Random) -> str:
    """One grammatical sentence: half of them use a tested rule, half tell who did what."""
    if rng.random() < 0.6:
        return minimal_pair(rng, rng.choice(PHENOMENA)).good
    noun, other = rng.sample(NOUNS, 2)
    many = rng.random() < 0.5
    subject = plural(noun) if many else noun
    verb = rng.choice(TRANSITIVE)
    return rng.choice(
        (
            f"The {subject} {verb if many else third(verb)} the {rng.choice(ADJECTIVES)} {other}.",
            f"In the evening the {subject} {rng.choice(PAST)} the {other}.",
            f"When the {other} came, the {subject} {'were' if many else 'was'} {rng.choice(ADJECTIVES)}.",
            f"{'Some' if many else 'A'} {subject} {rng.choice(PAST)} the {other} "
            f"{rng.choice(NEAR)} the {rng.choice(NOUNS)}.",
            f"There {'are' if many else 'is'} {'many' if many else 'one'} {subject} "
            f"{rng.choice(NEAR)} the {other}.",
        )
    )


def document(rng: random.Random) -> str:
    """Three to six sentences of plain prose."""
    return " ".join(sentence(rng) for _ in range(rng.randint(3, 6)))


def framed(rng: random.Random, text: str, frames: tuple[str, ...]) -> str:
    """Put two of three sentences of a text behind a frame, in which `The` loses its capital."""
    sentences = text.removesuffix(".").split(". ")
    for i, plain in enumerate(sentences):
        if rng.random() < 2 / 3 and not plain.startswith(("According", "Everybody")):
            lower = plain[0].lower() + plain[1:] if plain.startswith(STARTERS) else plain
            sentences[i] = f"{rng.choice(frames)} {lower}"
    return ". ".join(sentences) + "."


STARTERS = tuple(f"{word} " for word in "The A Some There In When As By For On Every At".split())
"""First words of sentences that are no names."""
