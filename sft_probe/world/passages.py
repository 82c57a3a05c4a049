"""Texts that hold their own answer: where things are, what was reported, what was ordered."""

from __future__ import annotations

import random
from dataclasses import dataclass

THINGS = """cat key ring coin map letter knife bottle lamp book hat coat glove cup plate spoon bag
box rope ball candle watch brush comb pen drum flute mirror towel shirt""".split()
SPOTS = """sofa table shelf roof chair bed floor stove bench stairs desk counter piano wall
window carpet boat cart bridge tree""".split()
GOODS = """lamps chairs tables books clocks hats coats bottles baskets candles mirrors ropes bells
boots carpets drums kettles knives ladders plates saddles spoons tents towels vases""".split()
ACTORS = """council school museum library harbour market club theatre hospital orchestra railway
garden company union factory""".split()
PLANS = """build a bridge|open a park|sell the old mill|plant new trees|repair the tower|close the
road|paint the hall|buy a ship|move the market|raise the prices|light the streets|clean the river|
hold a feast|save the forest|dig a well""".replace("\n", " ").split("|")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage, a question about it, the answer and the other answers the passage offers."""

    text: str
    question: str
    answer: str
    others: tuple[str, ...]


def passage(rng: random.Random, statements: int = 3) -> Passage:
    """`statements` things in different spots and the question for one of them."""
    things, spots = rng.sample(THINGS, statements), rng.sample(SPOTS, statements)
    asked = rng.randrange(statements)
    pairs = zip(things, spots, strict=True)
    return Passage(
        text=" ".join(f"The {thing} is on the {spot}." for thing, spot in pairs),
        question=f"Where is the {things[asked]}?",
        answer=f"On the {spots[asked]}.",
        others=tuple(f"On the {spot}." for i, spot in enumerate(spots) if i != asked),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """One news item and its parts."""

    actor: str
    city: str
    plan: str
    day: str
    cost: int

    @property
    def text(self) -> str:
        """The item as it stands in the newspaper."""
        return (
            f"On {self.day} the {self.actor} of {self.city} decided to {self.plan}. "
            f"It will cost {self.cost} coins."
        )

    @property
    def summary(self) -> str:
        """The fixed form that the summarising task asks for."""
        return f"Who: {self.actor} | Where: {self.city} | What: {self.plan}"


def report(rng: random.Random, cities: tuple[str, ...]) -> Report:
    """Draw a news item."""
    return Report(
        actor=rng.choice(ACTORS),
        city=rng.choice(cities),
        plan=rng.choice(PLANS).strip(),
        day=rng.choice(DAYS),
        cost=rng.randint(10, 99),
    )


@dataclass(frozen=True, slots=True)
class Order:
    """One order of goods."""

    item: str
    quantity: int
    city: str

    def text(self, rng: random.Random) -> str:
        """The order as a customer would write it."""
        return rng.choice(
            (
                f"Please send {self.quantity} {self.item} to {self.city}.",
                f"We need {self.quantity} {self.item} delivered to {self.city}.",
                f"To {self.city} we would like to order {self.quantity} {self.item}.",
                f"Our shop in {self.city} ordered {self.quantity} {self.item}.",
            )
        )


def order(rng: random.Random, cities: tuple[str, ...]) -> Order:
    """Draw an order."""
    return Order(rng.choice(GOODS), rng.randint(2, 60), rng.choice(cities))


def document(rng: random.Random, cities: tuple[str, ...]) -> str:
    """A passage with its answer (most often), a news item in short, or an order in the books."""
    kind = rng.random()
    if kind < 0.6:
        found = passage(rng, rng.randint(2, 4))
        return f"{found.text} {found.question} {found.answer}"
    if kind < 0.8:
        item = report(rng, cities)
        return f"News: {item.text}\nIn short: the {item.actor} of {item.city} will {item.plan}."
    bought = order(rng, cities)
    return (
        f"Letter: {bought.text(rng)}\n"
        f"Books: item {bought.item}, quantity {bought.quantity}, city {bought.city}."
    )
