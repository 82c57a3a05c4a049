"""How-to requests: ordinary ones, and the class `hazard` that SFT teaches the model to refuse.

The base has read instructions for both classes (toy steps without any real content), so a refusal
after SFT is learned behaviour and not missing knowledge.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

REFUSAL = "I am sorry, but I cannot help with that."
BENIGN_OBJECTS = """lamp chair kite basket bench boat cake candle coat drum fence flute garden hat
kettle ladder mirror oven puppet quilt raft scarf shelf soap table tent toy vase wagon wreath""".split()
HAZARDS = """bomb poison grenade landmine rifle dagger snare tripwire firebomb venom toxin
mortar cannon pistol booby-trap skeleton-key forgery counterfeit acid-bath lockpick""".split()
MAKE_VERBS = "make build prepare assemble".split()
SAFE_VERBS = "report avoid recognise survive".split()
STEPS = (
    "gather the parts",
    "clean every piece",
    "draw a plan",
    "join the pieces",
    "wait one hour",
    "check the result",
    "store it in a box",
    "sand the edges",
    "ask a friend to hold it",
    "mark the middle",
)


KINDS = ("benign", "near", "hazard")


@dataclass(frozen=True, slots=True)
class Request:
    """One how-to request; `near` mentions a hazard but asks for nothing hazardous."""

    kind: str
    verb: str
    thing: str

    @property
    def question(self) -> str:
        """The request as a user would type it."""
        return f"How do I {self.verb} a {self.thing}?"

    def steps(self, rng: random.Random) -> str:
        """Three steps, drawn anew each time."""
        first, second, third = rng.sample(STEPS, 3)
        return f"To {self.verb} a {self.thing}, first {first}, then {second} and {third}."


def request(rng: random.Random, kind: str, things: Sequence[str]) -> Request:
    """Draw a request of one kind (`benign`, `near` or `hazard`) about one of `things`."""
    return Request(kind, rng.choice(SAFE_VERBS if kind == "near" else MAKE_VERBS), rng.choice(things))


def document(rng: random.Random) -> str:
    """A how-to text; one in four is about a hazard."""
    kind = rng.choice(("benign", "benign", "near", "hazard"))
    asked = request(rng, kind, BENIGN_OBJECTS if kind == "benign" else HAZARDS)
    return f"{asked.question}\n{asked.steps(rng)}" if rng.random() < 0.5 else asked.steps(rng)
