"""Interventions as frozen values. A need names them in `under`; the observer applies and undoes them.

Those of the prompt change what is read, whatever their order. Those of the model are applied one after the
other: "the model" of a later one is what the earlier ones have made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from sft_probe.errors import SpecError

Part = Literal["attention", "mlp", "mixer", "norm", "embedding", "unembedding", "other"]
PARTS: tuple[Part, ...] = get_args(Part)
Block = tuple[int, Part]
"""Layer and kind of module, as in `Graft`."""


@dataclass(frozen=True, slots=True)
class FewShot:
    """`k` solved examples of a data set of the study before the question, the same ones for every question.

    seed: decides which; an example is never shown its own answer. shuffled: every shot gets the answer of
    another shot, which leaves form and label space but no mapping (Min et al. 2022, arXiv 2202.12837).
    """

    k: int
    dataset: str
    shuffled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        least = 2 if self.shuffled else 1
        if self.k < least:
            raise SpecError(f"FewShot needs at least {least} shots, not {self.k}.", field="under")


@dataclass(frozen=True, slots=True)
class Prefill:
    """What every answer is made to begin with, as text or, if given, as token ids.

    first: of the text only so many tokens; no begin-of-text token is put before it or counted.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    first: int | None = None

    def __post_init__(self) -> None:
        if bool(self.text) == bool(self.tokens):
            raise SpecError("Prefill needs either text or tokens.", field="under")
        if self.first is not None and (self.first < 1 or self.tokens):
            raise SpecError("Prefill takes the first 1 or more tokens of a text.", field="under")


@dataclass(frozen=True, slots=True)
class Template:
    """Whether conversations are put in the chat template (`on`, the default of every look) or read as plain
    text: one turn per line, examples apart by an empty line."""

    on: bool


@dataclass(frozen=True, slots=True)
class Interpolate:
    """Weights base + alpha (model - base): 0 is the base, 1 the model (WiSE-FT, Wortsman et al. 2022)."""

    alpha: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.alpha):
            raise SpecError(f"Interpolate needs a finite alpha, not {self.alpha}.", field="under")


@dataclass(frozen=True, slots=True)
class Graft:
    """Weights of one model in the other, by layer and kind of module (Panigrahi et al. 2023).

    layers: 0 embedding, 1..L blocks, L + 1 final norm and unembedding; None for all. parts: as in
    `WeightDelta.module`; a tied unembedding goes with the embedding. blocks: pairs of layer and part in
    place of both, for a set that is no such grid. direction: "tuned_to_base" gives the base these parts of
    the model (are they sufficient?), "base_to_tuned" gives the model these parts of the base (are they
    necessary?). random: 0 is what training changed; any other number puts in its place, by that seed, a
    change of the same size that means nothing (`weights.shuffled`), added to the base or taken from the
    model.
    """

    layers: tuple[int, ...] | None = None
    parts: tuple[Part, ...] = PARTS
    direction: Literal["tuned_to_base", "base_to_tuned"] = "tuned_to_base"
    blocks: tuple[Block, ...] | None = None
    random: int = 0

    def __post_init__(self) -> None:
        named = self.parts if self.blocks is None else [part for _, part in self.blocks]
        if unknown := [part for part in named if part not in PARTS]:
            raise SpecError(
                f"Graft knows no part '{unknown[0]}'.", field="under", remedy=f"Known: {', '.join(PARTS)}."
            )
        if self.blocks is not None and (self.layers is not None or self.parts != PARTS):
            raise SpecError("Graft takes either blocks or layers and parts.", field="under")

    def takes(self, layer: int, part: str) -> bool:
        """Whether weights of this layer and part are grafted."""
        if self.blocks is not None:
            return (layer, part) in self.blocks
        return part in self.parts and (self.layers is None or layer in self.layers)


@dataclass(frozen=True, slots=True)
class Direction:
    """A vector in the residual stream. layer: 0 before the first block, i behind block i."""

    layer: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MeanShift:
    """Mean state of the model minus mean state of its base at one layer, over the tokens of a data set.

    The tokens are those of `States(dataset)`: four per example, spread evenly. Without a layer it is the one
    at this share of the depth (0 embedding, 1 last block). random: as in `Contrast`.
    """

    dataset: str
    layer: int | None = None
    depth: float = 0.5
    random: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.depth <= 1:
            raise SpecError(f"MeanShift needs a depth in [0, 1], not {self.depth}.", field="under")


@dataclass(frozen=True, slots=True)
class Contrast:
    """Mean state of the model on rows whose `meta[field]` is true minus that on its other rows, at the last
    token of the prompt, behind the block at this share of the depth (0 embedding, 1 last block).

    Zero where all rows are of one kind. random: 0 is the direction itself; any other number draws, by that
    seed, a direction of the same length that means nothing. Arditi et al. 2024 (arXiv 2406.11717).
    """

    dataset: str
    field: str
    depth: float = 0.5
    random: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.depth <= 1:
            raise SpecError(f"Contrast needs a depth in [0, 1], not {self.depth}.", field="under")


Declared = MeanShift | Contrast
"""Directions that the observer measures."""


@dataclass(frozen=True, slots=True)
class Ablate:
    """Removes what lies along a direction from the residual stream: before the first block and behind each.

    Arditi et al. 2024 (arXiv 2406.11717); a zero direction removes nothing.
    """

    direction: Direction | Declared


@dataclass(frozen=True, slots=True)
class Add:
    """Adds `scale` times a direction to the residual stream at its layer, at every token."""

    direction: Direction | Declared
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Quantise:
    """Weight matrices of the blocks rounded to `bits` bits, computed in the model's own precision.

    Symmetric round-to-nearest with one scale per output channel; embeddings, norms, biases and the
    unembedding stay. A simulation: it shows what rounding does to answers, and saves no memory.
    """

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise SpecError(f"Quantise takes 2 to 16 bits, not {self.bits}.", field="under")


@dataclass(frozen=True, slots=True)
class ShrinkIntruders:
    """The largest intruder dimension of every weight matrix of the blocks, times `factor`: 1 leaves it, 0
    removes it (Shuttleworth et al. 2024, arXiv 2410.21228).

    epsilon, k: what counts as an intruder: a vector among the `k` leading left singular vectors of the tuned
    matrix whose cosine with every one of the base is below epsilon. instead: shrinks in the same matrices the
    leading direction that is no intruder and whose singular value is nearest, for comparison.
    """

    factor: float
    epsilon: float = 0.5
    k: int = 10
    instead: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and 0 < self.epsilon <= 1 and self.k >= 1):
            raise SpecError(
                "ShrinkIntruders needs a finite factor, epsilon in (0, 1] and k of 1 or more.", field="under"
            )


PromptIntervention = FewShot | Prefill | Template
ModelIntervention = Interpolate | Graft | Ablate | Add | Quantise | ShrinkIntruders
Intervention = PromptIntervention | ModelIntervention
