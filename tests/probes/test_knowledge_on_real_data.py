"""Facts that nobody here wrote, asked of a model that nobody here trained."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.data.strata import decomposed
from sft_probe.models.load import load_base
from sft_probe.observe.observer import Observer
from sft_probe.probes.gain_waterfall import GainWaterfall
from sft_probe.probes.knowledge_categories import KnowledgeCategories
from sft_probe.study.spec import ModelSpec

REAL = Path(__file__).parents[3] / "shared" / "real"
RELATIONS = ("commonsense__fruit_outside_color", "commonsense__object_superclass", "linguistic__adj_antonym")


def facts() -> DataSets:
    """Subject and object of three relations of evandez/relations, with its own templates as beginnings."""
    rows = []
    for name in RELATIONS:
        relation = json.loads((REAL / "data" / "relations" / f"{name}.json").read_text("utf-8"))
        templates = [*relation["prompt_templates"], *relation["prompt_templates_zs"]]
        for i, sample in enumerate(relation["samples"]):
            texts = list(dict.fromkeys(template.format(sample["subject"]) for template in templates))
            rows.append(
                Example(
                    id=f"{name}-{i}",
                    target=sample["object"],
                    messages=(Message("user", texts[0]),),
                    cluster=sample["subject"],
                    stratum=name,
                    meta={"cloze": texts, "paraphrases": texts[1:]},
                )
            )
    return DataSets({"train": Dataset("train", tuple(rows[::2])), "test": Dataset("test", tuple(rows[1::2]))})


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real material is not there")
def test_knowledge_of_a_real_model_is_judged_with_its_error_rates() -> None:
    base = load_base(ModelSpec(model_name_or_path=str(REAL / "models" / "stories260K-bpe512")))
    data = decomposed(facts(), {"E0": 0.2, "E1": 0.2, "E2": 0.2}, 12, seed=0)
    probes = (
        GainWaterfall(max_new_tokens=6, shots=2, distractors=5),
        KnowledgeCategories(limit=24, sampled=4, samples=2, max_new_tokens=6, distractors=5),
    )
    found = {}
    for probe in probes:
        sets = DataSets({**data, **probe.derive(data)})
        seen = Observer(base, sets).look_at_base(probe.needs())
        found[probe.name] = probe.measure(seen, seen).rows
        assert all(not isnan(row.value) or row.why for row in found[probe.name])
    rows = {row.metric: row for row in found["gain_waterfall"] if not row.stratum}
    assert rows["strict_accuracy"].n == 36
    assert rows["knowledge_specificity"].value >= 0.94
    assert isnan(rows["known_share"].value) or 0 <= rows["known_share"].value <= 1
    kinds = {
        row.stratum: row.value for row in found["knowledge_categories"] if row.metric == "category_share"
    }
    assert set(kinds) == {"highly known", "maybe known", "weakly known", "unknown"}
