"""Checks of the probes that judge states inside the model and where its heads look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sft_probe.calibration.mutants.bench import (
    BASE_TWICE,
    EXCHANGED,
    Check,
    Looks,
    Pair,
    Twin,
    altered,
    near,
    scores,
)
from sft_probe.data.examples import Example
from sft_probe.measures import geometry
from sft_probe.measures.geometry import Ints, LeftOut
from sft_probe.measures.lens import Translator, decision_depth
from sft_probe.observe.needs import Scores, Unembedding
from sft_probe.observe.observations import (
    AttentionSeen,
    Floats,
    StateLikenessSeen,
    StatesSeen,
    UnembeddingSeen,
)
from sft_probe.probes.attention_drift import AttentionDrift
from sft_probe.probes.layer_readouts import LABEL, LayerReadouts
from sft_probe.probes.logit_lens import LogitLens
from sft_probe.probes.representation_drift import RepresentationDrift
from sft_probe.probes.representation_geometry import RepresentationGeometry
from sft_probe.probes.shift_direction import ADDED, RANDOM, REMOVED, ShiftDirection


def seen(states: Floats, examples: tuple[Example, ...], following: Ints | None = None) -> StatesSeen:
    """(layers, m, p) states, as many for each example."""
    m = states.shape[1]
    each = m // len(examples)
    return StatesSeen(
        examples=examples,
        example=np.arange(m) // each,
        position=np.arange(m) % each,
        layers=tuple(range(len(states))),
        states=states.astype(np.float32),
        following=np.zeros(0, dtype=np.int64) if following is None else following,
    )


def plain(n: int) -> tuple[Example, ...]:
    """Texts, each an entity of its own."""
    return tuple(Example(id=f"e{i}", target="t", cluster=f"c{i}") for i in range(n))


# --- representation_drift: states of both models are unrelated, 64 positions in 256 dimensions

DRIFT = RepresentationDrift()
UNRELATED = np.random.default_rng(0).normal(size=(2, 64, 256))
GROUPS = np.arange(64) // 4


def _unrelated() -> Pair:
    x, y = UNRELATED
    cka = geometry.cka_without_groups(x, y, GROUPS)
    zscored = geometry.cka_without_groups(geometry.zscore(x), geometry.zscore(y), GROUPS)
    moved = geometry.drift_without_groups(x, y, GROUPS)
    look = StateLikenessSeen(
        examples=plain(16),
        n=64,
        n_clusters=16,
        layers=(1,),
        **{
            name: np.concatenate([[found.value], found.without])[None]
            for name, found in (("cka", cka), ("cka_zscored", zscored), ("drift", moved))
        },
    )
    return {DRIFT.needs()[0]: look}, {}


def biased_cka(x: Floats, y: Floats, groups: Ints) -> LeftOut:
    """The estimator that is not offered: it finds likeness in unrelated states."""

    def of(rows: Any) -> float:
        a, b = (side[rows] - side[rows].mean(axis=0) for side in (x, y))
        norms = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
        return float(np.linalg.norm(a.T @ b) ** 2 / norms)

    return LeftOut(of(slice(None)), np.array([of(groups != group) for group in np.unique(groups)]))


drift = Check(
    probe=DRIFT,
    says="States of model and base are unrelated, 64 positions in 256 dimensions: CKA is about 0.",
    looks=_unrelated,
    metric="cka",
    at={"dataset": "test", "layer": 1},
    wants=(-0.1, 0.1),
    twins=(
        Twin(
            name="biased CKA",
            broken="HSIC is not corrected for the diagonal of the Gram matrices.",
            parts={"measures.geometry:cka_without_groups": biased_cka},
        ),
    ),
)


# --- representation_geometry: the states are only rotated

GEOMETRY = RepresentationGeometry(subspace=(1, 4))
STATES = np.random.default_rng(1).normal(size=(80, 6)) * np.array([4.0, 3.0, 2.0, 1.0, 1.0, 1.0])
ROTATION = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]


def _rotated() -> Pair:
    need = GEOMETRY.needs()[0]
    return {need: seen((STATES @ ROTATION)[None], plain(20))}, {need: seen(STATES[None], plain(20))}


def _angle_as_they_are(x: Floats, y: Floats) -> float:
    a, b = (side - side.mean(axis=0) for side in (x, y))
    return float(np.arccos(np.clip((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))


rotated = Check(
    probe=GEOMETRY,
    says="The states are rotated and nothing else, so that the angle of their shapes is 0.",
    looks=_rotated,
    metric="procrustes_angle",
    at={"dataset": "test", "layer": 0},
    wants=(0.0, 1e-3),
    twins=(
        Twin(
            name="not rotated back",
            broken="The states are compared as they are, without the best rotation.",
            parts={"probes.representation_geometry:procrustes_angle": _angle_as_they_are},
        ),
        Twin(
            name="positions in another order",
            broken="The states of one position are held against those of the next.",
            sees=altered(
                StatesSeen, lambda look: replace(look, states=np.roll(look.states, 1, axis=1)), base=False
            ),
        ),
    ),
)


# --- shift_direction: adding the shift gains 1 nat per token, adding a random one loses 0.5

SHIFT = ShiftDirection(depths=(0.5,), tokens=2)
SHIFT_STATES = np.random.default_rng(0).normal(size=(3, 80, 6))
BY = np.array([0, 0, 4.0, 0, 0, 0])


def _scored(nats: float) -> Any:
    return scores(plain(20), target=lambda row: nats + 0.01 * int(row.id[1:]))


def _shifted(states: Floats, nats: tuple[float, float, float, float]) -> Looks:
    head = UnembeddingSeen(read=lambda rows: rows * 1.0, fit=_identity, text_of=str)
    looks: Looks = {SHIFT._states: seen(states, plain(20)), Unembedding(): head}
    looks[Scores(dataset=SHIFT._tested)] = _scored(nats[0])
    for what, value in zip((ADDED, RANDOM, REMOVED), nats[1:], strict=True):
        looks[SHIFT._scores(what, 0.5)] = _scored(value)
    return looks


def _identity(states: Any, last: Any, steps: int) -> Translator:
    return Translator(np.eye(states.shape[1]), np.zeros(states.shape[1]))


def _no_random(tuned: Looks, base: Looks) -> Pair:
    return {**tuned, SHIFT._scores(RANDOM, 0.5): base[Scores(dataset=SHIFT._tested)]}, base


shift = Check(
    probe=SHIFT,
    says="The mean shift added to the base gains 1 nat per token; a random one of its length loses 0.5.",
    looks=lambda: (
        _shifted(SHIFT_STATES + BY, (-1.0, -2.0, -3.5, -2.5)),
        _shifted(SHIFT_STATES, (-3.0, -3.0, -3.0, -3.0)),
    ),
    metric="shift_beyond_random",
    at={"dataset": "test", "layer": 1},
    wants=near(1.5),
    twins=(
        Twin(
            name="no random shift",
            broken="What a random shift of the same length does is not taken off.",
            sees=_no_random,
        ),
    ),
)
length = Check(
    probe=SHIFT,
    says="All states move by 4 along one axis, where their spread is the root of 6.",
    looks=shift.looks,
    metric="shift_length",
    at={"dataset": "test", "layer": 2},
    wants=near(4 / 6**0.5, 0.2),
    twins=(BASE_TWICE,),
)


# --- layer_readouts: what is read off tells entities apart and says nothing of their label

READOUT = LayerReadouts()
ENTITIES = 40


def _entities() -> Pair:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(ENTITIES) % 2)
    rows = tuple(
        Example(id=f"r{i}", target="t", cluster=f"c{i // 4}", meta={LABEL: str(labels[i // 4])})
        for i in range(4 * ENTITIES)
    )
    own = rng.normal(size=(ENTITIES, 64)).repeat(4, axis=0) + 0.1 * rng.normal(size=(4 * ENTITIES, 64))
    look: Looks = {READOUT.needs()[0]: seen(own[None], rows)}
    return look, look


entities = Check(
    probe=READOUT,
    says="States tell 40 entities apart and nothing else; labels of the entities are drawn at random.",
    looks=_entities,
    metric="readout_refit_accuracy",
    at={"dataset": "test", "layer": 0},
    wants=(0.25, 0.75),
    twins=(
        Twin(
            name="entities on both sides",
            broken="Rows of one entity stand among those fitted and those held out.",
            parts={
                "probes.layer_readouts:folds_of": lambda clusters, count=5: np.arange(len(clusters)) % count
            },
        ),
    ),
)


# --- logit_lens: the stream says the answer from layer 2 on, in the base from layer 4

LENS = LogitLens(steps=2)
FOLLOWING = np.arange(40) % 11 + 1


def _settled(layer: int) -> Looks:
    read, fit, head = LENS.needs()
    layers = np.stack([np.eye(12)[FOLLOWING if at >= layer else 0 * FOLLOWING] for at in range(5)])
    look = seen(layers, plain(10), FOLLOWING)
    return {
        read: look,
        fit: look,
        head: UnembeddingSeen(read=lambda rows: rows * 9.0, fit=_identity, text_of=str),
    }


settled = Check(
    probe=LENS,
    says="The last layer says the token that follows with nearly all of its probability.",
    looks=lambda: (_settled(2), _settled(4)),
    metric="lens_gold_logprob",
    at={"dataset": "test", "module": "logit", "layer": 4},
    wants=(-0.01, 0.0),
    twins=(
        Twin(
            name="position off by one",
            broken="A state is asked for the token after the one that it predicts.",
            sees=altered(StatesSeen, lambda look: replace(look, following=np.roll(look.following, 1))),
        ),
    ),
)
decided = Check(
    probe=LENS,
    says="The stream says the answer from layer 2 on.",
    looks=lambda: (_settled(2), _settled(4)),
    metric="decision_depth",
    at={"dataset": "test", "module": "logit"},
    wants=near(2.0),
    twins=(
        Twin(
            name="layer off by one",
            broken="Layers are counted from the first block, as if there were no embedding.",
            parts={
                "probes.logit_lens:decision_depth": lambda first: np.maximum(0, decision_depth(first) - 1)
            },
        ),
        EXCHANGED,
    ),
)


# --- attention_drift: a tenth of the attention goes from the first token to the context, where there is one

LOOKING = AttentionDrift()
KINDS = ("first", "context", "answer", "other")
SHARES = np.array([0.5, 0.2, 0.1, 0.2])


def _looking(moved: float) -> Looks:
    mass = np.tile(SHARES[:, None], (1, 2, 1, 6))
    mass[:, :, 0] -= moved
    mass[:, :, 1] += moved
    mass[:, :, 1, 3:] = 0.0
    present = np.ones((4, 6), dtype=bool)
    present[1, 3:] = False
    look = AttentionSeen(
        examples=plain(6),
        layers=(1,),
        kinds=KINDS,
        present=present,
        entropy=np.full((1, 2, 6), 1.0 + moved),
        distance=np.stack([np.full((1, 6), moved), np.full((1, 6), 3 * moved)], axis=1),
        mass=mass,
    )
    return {LOOKING.needs()[0]: look}


looking = Check(
    probe=LOOKING,
    says="A tenth of the attention moves to the context, in the three of six rows that have one.",
    looks=lambda: (_looking(0.1), _looking(0.0)),
    metric="attention_share_change",
    at={"dataset": "test", "layer": 1, "module": "context"},
    wants=near(0.1),
    twins=(
        Twin(
            name="absent counted as zero",
            broken="Rows without a context count as rows whose context nothing looks at.",
            sees=altered(AttentionSeen, lambda look: replace(look, present=np.ones_like(look.present))),
        ),
        Twin(
            name="kinds off by one",
            broken="What goes to one kind of token is written down for the next.",
            sees=altered(
                AttentionSeen, lambda look: replace(look, mass=np.roll(look.mass, 1, axis=2)), base=False
            ),
        ),
        EXCHANGED,
    ),
)

CHECKS = (drift, rotated, shift, length, entities, settled, decided, looking)
