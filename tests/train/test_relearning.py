"""Relearning on a copy: groups and texts by hand, and one tiny study from its option to its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest
import torch

from sft_probe.models.digest import weights_digest
from sft_probe.observe.observations import BenchmarkItem
from sft_probe.observe.weights import effective
from sft_probe.probes.scorers.documents import Pair
from sft_probe.schema import Measurements
from sft_probe.testing.tiny import tiny_base, tiny_lora, tiny_tuned
from sft_probe.train.relearning import HELD_OUT, LOST, NEVER, PRACTISED, _groups, _measured, _text, dense


def pair(name: str, before: float, after: float, prompt: str = "Where?") -> Pair:
    document = BenchmarkItem(
        task="t",
        item=name,
        cluster="",
        metric="acc",
        value=before,
        margin=nan,
        prompt=prompt,
        prediction="",
        target="in Abo | in Bern",
    )
    return Pair(document, replace(document, value=after))


PAIRS = [pair(f"l{i}", 1, 0) for i in range(10)] + [pair(f"n{i}", 0, 0) for i in range(6)] + [pair("k", 1, 1)]


def test_half_is_practised_and_as_much_news_as_lost() -> None:
    groups = {(group.fate, group.part): group.pairs for group in _groups(PAIRS, seed=0)}
    sizes = {key: len(own) for key, own in groups.items()}
    assert sizes == {(LOST, PRACTISED): 3, (LOST, HELD_OUT): 5, (NEVER, PRACTISED): 3, (NEVER, HELD_OUT): 3}
    assert len({p.key for own in groups.values() for p in own}) == 14
    assert _groups(PAIRS[:3], seed=0) == ()


def test_a_document_reads_as_text() -> None:
    assert _text(PAIRS[0]).target == "Where? in Abo"
    assert _text(pair("x", 1, 0, prompt="")).target == "in Abo"
    assert _text(PAIRS[0]).messages == ()


def test_times_and_shares() -> None:
    groups = _groups(PAIRS, seed=0)
    lost, news = ({p.key for g in groups if g.fate == fate for p in g.pairs} for fate in (LOST, NEVER))
    practised = {p.key for g in groups if g.part == PRACTISED for p in g.pairs}
    found: Measurements = _measured(groups, {0: set(), 1: lost, 2: lost | (news & practised)})
    rows = {(row.metric, row.stratum, row.module): row for row in found.rows}
    assert rows["steps_to_revive", "", ""].value == pytest.approx(0.5)
    assert rows["steps_to_learn", "", ""].value == pytest.approx(1.5)
    assert rows["revive_ratio", "", ""].value == pytest.approx(1 / 3)
    assert rows["relearned_beyond_chance", HELD_OUT, ""].value == 1
    held_out = rows["relearned_share", f"{LOST}, {HELD_OUT}", "step 2"]
    assert (held_out.value, held_out.null_value) == (1, 0)
    assert len(found.items) == 14


@pytest.mark.parametrize("tune", [tiny_tuned, tiny_lora])
def test_the_copy_has_the_weights_that_are_used(tune: Callable[..., torch.nn.Module]) -> None:
    base = tiny_base()
    tuned = tune(base)
    copy = dense(tuned, base)
    for name, weight in copy.model.named_parameters():
        own = effective(tuned, name)
        expected = own.weight if own.factors is None else own.weight + own.factors[0] @ own.factors[1]
        torch.testing.assert_close(weight, expected.detach(), check_device=False)
    assert copy.digest != base.digest == weights_digest(base.model)


@pytest.mark.slow
def test_a_study_relearns_if_asked(tmp_path: Path) -> None:
    import yaml

    from sft_probe.execute.local import run_study
    from sft_probe.store.runs import RunStore
    from sft_probe.study.yaml import parse_study

    study = {
        "name": "revival",
        "output_dir": str(tmp_path),
        "data": {"train": "planted:question_answering/train", "test": "planted:question_answering/test"},
        "max_test_rows": 4,
        "seeds": [0],
        "max_steps": 8,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "schedule": {"points": 0},
        "arms": {"high": {}},
        "probes": ["weight_change"],
        "revive": {"steps": 2, "documents": 16},
    }
    run_study(parse_study(yaml.safe_dump(study)))
    found = RunStore(tmp_path).measurements()
    own = found[found["probe"] == "relearning"]
    assert set(own["step"]) == {8}
    assert {"relearned_share", "revive_ratio"} <= set(own["metric"])
    shares = own[(own["metric"] == "relearned_share") & (own["module"] == "step 0")]
    assert (shares["value"] == 0).all()
    assert found[found["probe"] == "weight_change"]["step"].max() == 8
