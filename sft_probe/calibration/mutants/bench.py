"""A bench for probes: a planted check that a probe passes, and broken twins of it that must fail.

What models are seen to do is made by hand, so that the right value is known without any training: a check
takes milliseconds. A twin is the probe with one part replaced, or with what it sees confused on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from math import isfinite
from typing import Any, TypeVar

import numpy as np

from sft_probe.calibration.certificate import Mutant
from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.observe.needs import Need
from sft_probe.observe.observations import (
    GenerationsSeen,
    Observation,
    Observed,
    ScoresSeen,
    TokenDivergenceSeen,
    TokenLogprobsSeen,
)
from sft_probe.probes.base import Deriving, Probe
from sft_probe.schema import NAN, Measurements

Looks = dict[Need, Observation]
Pair = tuple[Looks, Looks]
"""What is seen of the tuned model and of its base."""
Confusion = Callable[[Looks, Looks], Pair]


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A probe with one thing wrong.

    broken: what is wrong, one sentence. sees: confuses what was seen before it is judged. parts: what stands
    in place of a function, by `module:name`, where the module is one of `sft_probe`.
    """

    name: str
    broken: str
    sees: Confusion | None = None
    parts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A planted truth, and the one number of the probe that must say it.

    says: what was planted, one sentence. looks: of tuned model and base. metric, at: which row of the probe's
    (strata and modules default to ""). wants: the limits between which its value must lie.
    """

    probe: Probe
    says: str
    looks: Callable[[], Pair]
    metric: str
    wants: tuple[float, float]
    twins: tuple[Twin, ...]
    at: Mapping[str, object] = field(default_factory=dict)

    def value(self, twin: Twin | None = None) -> float:
        """What the probe, or its twin, says; NaN where it does not get that far."""
        with ExitStack() as stack:
            for place, part in (twin.parts if twin else {}).items():
                stack.enter_context(replaced(place, part))
            tuned, base = self.looks()
            if twin and twin.sees:
                tuned, base = twin.sees(tuned, base)
            return _one(self.probe.measure(Observed(tuned), Observed(base)), self.metric, self.at)

    def passes(self, value: float) -> bool:
        """Whether the value is the planted one."""
        return isfinite(value) and self.wants[0] <= value <= self.wants[1]

    @property
    def wanted(self) -> str:
        """The demand in words."""
        return f"{self.metric} from {self.wants[0]:.4g} to {self.wants[1]:.4g}"


def judged(checks: Iterable[Check]) -> Iterator[Mutant]:
    """Every twin of every check, told from its probe or not."""
    for check in checks:
        own = check.value()
        for twin in check.twins:
            broken = check.value(twin)
            yield Mutant(
                probe=check.probe.name,
                name=twin.name,
                broken=twin.broken,
                check=check.says,
                caught=check.passes(own) and not check.passes(broken),
                probe_value=own,
                twin_value=broken,
                wanted=check.wanted,
            )


def near(value: float, within: float = 1e-6) -> tuple[float, float]:
    """Limits about a value."""
    return value - within, value + within


Look = TypeVar("Look")


def altered(kind: type[Look], change: Callable[[Look], Look], *, base: bool = True) -> Confusion:
    """Every look of one kind changed, of both models or of the tuned one alone."""

    def side(looks: Looks) -> Looks:
        changed: dict[Any, Any] = {
            need: change(look) if isinstance(look, kind) else look for need, look in looks.items()
        }
        return changed

    return lambda tuned, before: (side(tuned), side(before) if base else before)


@contextmanager
def replaced(place: str, part: object) -> Iterator[None]:
    """A function of a module, or a method of a class in it, that is another one for a while."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner: Any = import_module(f"sft_probe.{module}")
    for step in owners:
        owner = getattr(owner, step)
    before = owner.__dict__[name]
    setattr(owner, name, part)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _one(found: Measurements, metric: str, at: Mapping[str, object]) -> float:
    """The value of the one row at a place; NaN if there is none."""
    where = {"metric": metric, "stratum": "", "module": "", **at}
    values = [
        row.value for row in found.rows if all(getattr(row, key) == value for key, value in where.items())
    ]
    assert len(values) < 2, f"{len(values)} rows of {where}"
    return values[0] if values else NAN


# --- twins that many probes share


def exchanged(tuned: Looks, base: Looks) -> Pair:
    """The base is taken for the tuned model and the other way round."""
    return base, tuned


EXCHANGED = Twin(
    name="models exchanged",
    broken="The base is measured against the tuned model instead of the tuned model against its base.",
    sees=exchanged,
)
BASE_TWICE = Twin(
    name="base looked at twice",
    broken="The base is looked at in place of the tuned model.",
    sees=lambda tuned, base: (base, base),
)


# --- planted rows and what is seen of them


def asked(i: int, question: str, target: str, **more: Any) -> Example:
    """A question with its answer, an entity of its own."""
    given = {"cluster": f"c{i}", **more}
    return Example(id=f"q{i}", messages=(Message("user", question),), target=target, **given)


def datasets(**sets: Sequence[Example]) -> DataSets:
    """Data sets by name."""
    return DataSets({name: Dataset(name, tuple(rows)) for name, rows in sets.items()})


def with_derived(probe: Probe, data: DataSets) -> DataSets:
    """The data with what the probe makes of them."""
    return DataSets({**data, **probe.derive(data)}) if isinstance(probe, Deriving) else data


def length(text: str) -> int:
    """Tokens are words."""
    return max(1, len(text.split()))


def scores(
    rows: Sequence[Example],
    choice: Callable[[Example, int], float] = lambda row, place: 0.0,
    target: Callable[[Example], float] = lambda row: 0.0,
    greedy: Callable[[Example], bool] = lambda row: False,
) -> ScoresSeen:
    """Log-likelihoods of whole answers, in nats, by the place of the choice."""
    return ScoresSeen(
        examples=tuple(rows),
        target_logprob=np.array([target(row) for row in rows], dtype=float),
        target_tokens=np.array([length(row.target) for row in rows], dtype=np.int64),
        target_greedy=np.array([greedy(row) for row in rows], dtype=bool),
        choice_logprob=tuple(
            np.array([choice(row, k) for k in range(len(row.choices))], float) for row in rows
        ),
        choice_tokens=tuple(np.array([length(c) for c in row.choices], dtype=np.int64) for row in rows),
    )


def answers(
    rows: Sequence[Example],
    says: Callable[[Example], str],
    stops: Callable[[Example], bool] = lambda row: True,
    n: int = 1,
) -> GenerationsSeen:
    """What a model says; n times the same."""
    texts = tuple(says(row) for row in rows for _ in range(n))
    return GenerationsSeen(
        examples=tuple(rows),
        texts=texts,
        n_tokens=np.array([length(text) for text in texts], dtype=np.int64),
        stopped=np.array([stops(row) for row in rows for _ in range(n)], dtype=bool),
        n=n,
    )


def token_logprobs(
    rows: Sequence[Example],
    logprob: Callable[[Example], float],
    tokens: int = 4,
    by_heart: Callable[[Example], int] = lambda row: 0,
) -> TokenLogprobsSeen:
    """Equal log-probabilities for every token of an answer; the last `by_heart` ones are the likeliest."""
    n = len(rows)
    ranks = [1 if k >= tokens - by_heart(row) else 5 for row in rows for k in range(tokens)]
    return TokenLogprobsSeen(
        examples=tuple(rows),
        example=np.repeat(np.arange(n), tokens),
        position=np.tile(np.arange(tokens), n),
        token=("x",) * (n * tokens),
        logprob=np.repeat(np.array([logprob(row) for row in rows], dtype=float), tokens),
        rank=np.array(ranks, dtype=np.int64),
        entropy=np.zeros(n * tokens),
    )


def divergence(rows: Sequence[Example], **columns: Sequence[float]) -> TokenDivergenceSeen:
    """Four values for every named column, alike for all rows; zeros and ranks of 1 elsewhere."""
    n, tokens = len(rows), 4

    def column(name: str, default: float = 0.0) -> Any:
        return np.tile(np.asarray(columns.get(name, [default] * tokens), dtype=float), n)

    return TokenDivergenceSeen(
        examples=tuple(rows),
        example=np.repeat(np.arange(n), tokens),
        position=np.tile(np.arange(tokens), n),
        token=("a",) * (n * tokens),
        kl_tuned_base=column("kl_tuned_base"),
        kl_base_tuned=column("kl_base_tuned"),
        base_rank=column("base_rank", 1).astype(np.int64),
        base_ties=np.zeros(n * tokens, dtype=np.int64),
        entropy_tuned=column("entropy_tuned"),
        entropy_base=column("entropy_base"),
        logprob_tuned=column("logprob_tuned"),
        logprob_base=column("logprob_base"),
        logprob_tuned_top=column("logprob_tuned_top"),
    )
