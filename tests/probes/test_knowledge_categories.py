from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.observe.needs import Generations
from sft_probe.observe.observations import GenerationsSeen, Observed, ScoresSeen
from sft_probe.probes.knowledge_categories import KnowledgeCategories, Sampling
from sft_probe.schema import Measurement

TOWNS = ("Arby", "Borth", "Cromer", "Dunwich", "Exham", "Fowey")
PROBE = KnowledgeCategories(limit=40, sampled=20, prompts=2, samples=8)


def facts(name: str) -> Dataset:
    rows = tuple(
        Example(
            id=f"{name}{i}",
            target=TOWNS[i % 6],
            messages=(Message("user", f"Where was {name}{i} Quill{i} born?"),),
            cluster=f"{name} {i}",
        )
        for i in range(60)
    )
    return Dataset(name, rows)


@pytest.fixture(scope="module")
def data() -> DataSets:
    given = DataSets({"train": facts("train"), "test": facts("test")})
    return DataSets({**given, **PROBE.derive(given)})


def observed(data: DataSets, known: set[str], right: set[str], draws: dict[str, int]) -> Observed:
    """Known facts stand out in both wordings; `right` are answered as asked; `draws` hits per 8 samples."""
    rng, seen = np.random.default_rng(0), {}
    for need in PROBE.needs():
        rows = data[need.dataset].examples[: need.limit]
        if isinstance(need, Generations):
            hits = [need.n if row.id in right and not need.under else draws.get(row.id, 0) for row in rows]
            texts = [
                row.target if copy < hit else "no idea"
                for row, hit in zip(rows, hits, strict=True)
                for copy in range(need.n)
            ]
            ones = np.ones(len(texts))
            seen[need] = GenerationsSeen(
                examples=rows,
                texts=tuple(texts),
                n_tokens=ones.astype(int),
                stopped=ones.astype(bool),
                n=need.n,
            )
        else:
            scores = [rng.normal(0, 0.5, len(row.choices)) for row in rows]
            for row, own in zip(rows, scores, strict=True):
                own[0] = 9.0 if row.meta["fact"] in known else own[1:].min()
            seen[need] = ScoresSeen(
                examples=rows,
                target_logprob=np.zeros(len(rows)),
                target_tokens=np.ones(len(rows), dtype=np.int64),
                target_greedy=np.zeros(len(rows), dtype=np.bool_),
                choice_logprob=tuple(scores),
                choice_tokens=tuple(np.ones(len(own), dtype=np.int64) for own in scores),
            )
    return Observed(seen)


def value(rows: tuple[Measurement, ...], metric: str, dataset: str, stratum: str) -> Measurement:
    (row,) = (r for r in rows if (r.metric, r.dataset, r.stratum) == (metric, dataset, stratum))
    return row


def test_answers_are_told_apart_by_what_the_base_knew(data: DataSets) -> None:
    known = {f"train{i}" for i in range(15)} | {f"test{i}" for i in range(30)}
    base = observed(data, known, set(), {})
    tuned = observed(data, known, {f"train{i}" for i in range(10)} | {f"test{i}" for i in range(6)}, {})
    rows = PROBE.measure(tuned, base).rows
    assert value(rows, "answered_accuracy", "train", "highly known").value == pytest.approx(10 / 15)
    assert value(rows, "answered_accuracy", "train", "unknown").value == 0
    assert value(rows, "answered_accuracy", "train", "").value == pytest.approx(10 / 40)
    assert value(rows, "answered_accuracy", "test", "highly known").value == pytest.approx(6 / 30)
    assert value(rows, "answered_accuracy", "test", "highly known").null_value == 0
    assert value(rows, "category_share", "train", "highly known").value == pytest.approx(15 / 40)
    assert value(rows, "likely_share", "train", "unknown").value == 0


def test_samples_give_slick_categories_with_a_guess_test(data: DataSets) -> None:
    draws = {"train0": 8, "train1": 8, "train2": 4, "train3": 0}
    seen = observed(data, {"train0", "train1"}, set(), draws)
    rows = PROBE.measure(seen, seen).rows
    share = {row.stratum: row.value for row in rows if row.metric == "sampled_category_share"}
    assert share == {"highly known": 3 / 20, "maybe known": 0, "weakly known": 0, "unknown": 17 / 20}
    agreement = next(row for row in rows if row.metric == "category_agreement_share")
    assert agreement.value == pytest.approx(19 / 20)
    assert next(row for row in rows if row.metric == "guess_rate").value == 0


def test_hits_that_guessing_gives_are_not_knowledge() -> None:
    rng = np.random.default_rng(0)
    rows = facts("f").examples
    wrong = {row.id: (row.target, *(town for town in TOWNS if town != row.target)) for row in rows}

    def said(n: int) -> GenerationsSeen:
        texts = tuple(str(rng.choice(TOWNS)) for _ in rows for _ in range(n))
        ones = np.ones(len(texts))
        return GenerationsSeen(
            examples=rows, texts=texts, n_tokens=ones.astype(int), stopped=ones.astype(bool), n=n
        )

    guessing = Sampling.of([(said(1), said(16)) for _ in range(4)], wrong)
    kinds = list(guessing.categories().values())
    assert guessing.guesses.mean() == pytest.approx(1 / 6, abs=0.02)
    assert kinds.count("unknown") >= 57
    assert (guessing.hits > 0).mean() > 0.99  # one hit as proof would call all of them known


def test_without_samples_nothing_is_generated_behind_prompts() -> None:
    probe = KnowledgeCategories(sampled=0)
    assert not any(getattr(need, "under", ()) for need in probe.needs())


def test_what_cannot_be_judged_is_named() -> None:
    few = DataSets({name: Dataset(name, facts(name).examples[:2]) for name in ("train", "test")})
    with pytest.raises(NotApplicable, match=r"cannot be told \(data set 'train'\)"):
        PROBE.derive(few)
    with pytest.raises(SpecError, match="samples"):
        KnowledgeCategories(samples=1)


@pytest.mark.slow
def test_facts_new_to_the_base_among_those_trained(planted_study: Callable[..., pd.DataFrame]) -> None:
    """Three shares of new facts, trained far beyond their fit. Forty rows are fitted whatever they are; the
    fewer of them are known, the fewer held-out known facts are answered meanwhile. None is forgotten."""
    shares = (0.0, 0.5, 1.0)
    rows = planted_study(
        [{"knowledge_categories": {"limit": 40, "sampled": 0, "max_new_tokens": 10}}],
        {f"new-{share}": {"edits": [{"unknown_share": {"share": share, "rows": 40}}]} for share in shares},
        {
            "train": "planted:mixed_facts/train",
            "test": "planted:question_answering/test",
            "max_train_rows": 300,
        },
        max_steps=100,
        learning_rate=5e-4,
        schedule={"points": 3},
    )
    rows = rows.set_index(["metric", "dataset", "stratum", "step", "arm"]).sort_index()
    arms = [f"new-{share}" for share in shares]
    for step in (22, 100):
        fitted = rows.loc["answered_accuracy", "train", "", step]
        assert fitted.value[arms].min() > 0.95
        answered = rows.loc["answered_accuracy", "test", "highly known", step].value[arms].tolist()
        assert answered == sorted(answered, reverse=True)
        assert answered[0] > answered[-1]
    likely = rows.loc["likely_share", "test", "highly known", 100]
    assert likely.ci_low[arms].min() > 0.7
