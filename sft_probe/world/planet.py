"""The world as one value: its seed, its name pools and its people."""

from __future__ import annotations

from dataclasses import dataclass

from sft_probe.world.lexicon import Lexicon, build_lexicon
from sft_probe.world.people import Population, build_population


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is true; texts, tasks and benchmarks are read from it, never re-drawn."""

    seed: int
    lexicon: Lexicon
    population: Population

    @property
    def corpus_shops(self) -> tuple[str, ...]:
        """Shops that the corpus reviews; the other two thirds belong to the SFT tasks."""
        return self.lexicon.shops[: len(self.lexicon.shops) // 3]


def build(seed: int = 0) -> World:
    """The world of a seed; the same seed gives the identical world in every process."""
    lexicon = build_lexicon(seed)
    return World(seed, lexicon, build_population(seed, lexicon))
