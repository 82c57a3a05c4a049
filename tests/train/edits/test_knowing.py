"""Edits that pick rows by what the base knows: on likelihoods by hand, and on the planted base."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.load import load_dataset
from sft_probe.errors import NotApplicable
from sft_probe.execute.prepare import Prepared
from sft_probe.models.load import load_base
from sft_probe.observe.observations import Observed, ScoresSeen
from sft_probe.observe.observer import Observer
from sft_probe.study.spec import ModelSpec
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.knowing import PicksByKnowledge
from sft_probe.train.edits.known_only import KnownOnly
from sft_probe.train.edits.pipeline import make_edit
from sft_probe.train.edits.unknown_only import UnknownOnly
from sft_probe.train.edits.unknown_share import UnknownShare
from sft_probe.world import WorldFiles, materialise


def seeing(edit: PicksByKnowledge, data: DataSets, context: EditContext, known: set[str]) -> EditContext:
    """The base gives the right answer of known facts 9 nats more than others, which differ a little."""
    (made,) = edit.derive(data).values()
    rng = np.random.default_rng(0)
    logprob = [rng.normal(0, 0.5, len(row.choices)) for row in made]
    for row, scores in zip(made, logprob, strict=True):
        scores[0] = 9.0 if row.meta["fact"] in known else scores[1:].min()
    seen = ScoresSeen(
        examples=made.examples,
        target_logprob=np.zeros(len(made)),
        target_tokens=np.ones(len(made), dtype=np.int64),
        target_greedy=np.zeros(len(made), dtype=np.bool_),
        choice_logprob=tuple(logprob),
        choice_tokens=tuple(np.ones(len(row.choices), dtype=np.int64) for row in made),
    )
    return replace(context, data=data, base=Observed({edit.needs()[0]: seen}))


KNOWN = {f"p{i}" for i in range(20)}


def test_known_and_unknown_rows_are_told_apart(
    people: list[Example], data: DataSets, context: EditContext
) -> None:
    for edit, kept in ((KnownOnly(), KNOWN), (UnknownOnly(), {row.id for row in people} - KNOWN)):
        edited = edit.apply(people, seeing(edit, data, context, KNOWN))
        assert {row.id for row in edited.rows} == kept
        assert len(edited.rows) + len(edited.changes) == 60


def test_only_the_asked_part_of_a_decomposed_study_is_used(
    people: list[Example], data: DataSets, context: EditContext
) -> None:
    parts = [replace(row, meta={"decompose": "reserve" if i % 2 else "E1"}) for i, row in enumerate(people)]
    edit = KnownOnly(within=("reserve",))
    edited = edit.apply(parts, seeing(edit, data, context, KNOWN))
    assert {row.id for row in edited.rows} == {f"p{i}" for i in range(1, 20, 2)}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_unknown_rows_have_their_share(
    share: float, people: list[Example], data: DataSets, context: EditContext
) -> None:
    edit = UnknownShare(share=share, rows=20)
    edited = edit.apply(people, seeing(edit, data, context, KNOWN))
    assert len(edited.rows) == 20
    assert sum(row.id not in KNOWN for row in edited.rows) == round(20 * share)


def test_impossible_shares_and_ignorant_bases_are_named(
    people: list[Example], data: DataSets, context: EditContext
) -> None:
    edit = UnknownShare(share=0.5, rows=50)
    with pytest.raises(NotApplicable, match="only 40 rows can be kept: the base knows 20"):
        edit.apply(people, seeing(edit, data, context, KNOWN))
    with pytest.raises(NotApplicable, match="knows none"):
        KnownOnly().apply(people, seeing(KnownOnly(), data, context, set()))
    with pytest.raises(NotApplicable, match="cannot be told"):
        KnownOnly().derive(DataSets({"train": Dataset("train", tuple(people[:2]))}))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldFiles:
    return materialise(tmp_path_factory.mktemp("world"))


def test_the_planted_base_knows_its_people_and_no_others(world: WorldFiles) -> None:
    whole = load_dataset(str(world.path("mixed_facts", "train")), name="train", limit=None, seed=0)
    rows = [row for row in whole if row.stratum in ("K1", "U")][:80]
    data = DataSets({"train": Dataset("train", tuple(rows)), "test": Dataset("test", tuple(rows[:2]))})
    base = load_base(ModelSpec())
    prepared = Prepared(
        base=base,
        given=data,
        data=data,
        observer=Observer(base, data),
        probes=(),
        findings=(),
        environment={},
    )
    done, log = prepared.edited([make_edit("known_only", {"distractors": 5})], seed=0)
    kept = [row.stratum for row in done.given["train"]]
    truly = [row.stratum for row in rows]
    assert kept.count("K1") >= 0.9 * truly.count("K1")
    assert kept.count("U") <= 0.15 * truly.count("U")
    assert len(kept) + len(log) == 80
