"""Two runs or arms of a study on disk: what is compared, said, and refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from sft_probe.errors import StoreError
from sft_probe.report.comparison import Comparison, compare
from sft_probe.report.comparison_page import comparison_json, comparison_page
from sft_probe.report.comparison_words import covers, difference_table, sentences, warnings
from sft_probe.report.words import Words
from sft_probe.schema import Measurement, Measurements
from sft_probe.store.documents import write_environment
from sft_probe.store.runs import RunStore

from .synthetic import ENVIRONMENT, HOSTILE, config
from .test_page import parsed


@pytest.fixture(scope="module")
def found(study: Path) -> Comparison:
    return compare(str(study / "runs" / "full_high-seed0"), str(study / "runs" / "lora-seed0"))


@pytest.fixture(scope="module")
def compared(found: Comparison) -> str:
    return comparison_page(found)


def test_a_known_difference_is_found_with_its_sign(found: Comparison) -> None:
    by_place = {d.place[:3]: d for d in found.differences if not d.place.stratum}
    kept = by_place["forgetting", "accuracy", "world_facts"]
    assert (kept.paired, kept.outcome, kept.good) == (True, "higher", 1)
    assert kept.change.estimate.low > 0.1
    drift = by_place["token_shift", "unshifted", "test"]
    assert not drift.paired
    assert drift.good == 0


def test_a_run_against_itself_shows_no_difference(study: Path) -> None:
    run = str(study / "runs" / "lora-seed0")
    same = compare(run, run)
    assert {d.change.estimate.value for d in same.differences} == {0.0}
    assert not [d for d in same.differences if d.outcome in ("higher", "lower")]
    assert sentences(same, Words())[0].startswith("No difference is shown on any of ")


def test_the_sentence_names_the_better_one(found: Comparison) -> None:
    said = " ".join(sentences(found, Words()))
    assert "LoRA r8, 1e-3, seed 0 does better than Full, 2e-3, seed 0: " in said
    assert "points (" in said
    assert "One training run says nothing about another seed" in covers(found, Words())


def test_whole_arms_are_compared_over_their_seeds(study: Path) -> None:
    arms = compare(f"{study}:full_high", f"{study}:lora")
    kept = next(d for d in arms.differences if d.place[:3] == ("forgetting", "accuracy", "world_facts"))
    assert len(kept.change.per_seed) == 2
    assert "for the seeds at hand" in covers(arms, Words())


def test_strata_are_compared_where_they_are_few(study: Path) -> None:
    runs = [str(study / "runs" / name) for name in ("full-seed0", "lora-seed0")]
    strata = {d.place.stratum for d in compare(*runs).differences}
    assert {"", "stored", "weak"} == strata
    metrics = {d.place.metric for d in compare(*runs).differences}
    assert {"lost", "mcnemar_p"} & metrics == set()
    assert {"lost", "mcnemar_p"} <= {d.place.metric for d in compare(*runs, everything=True).differences}


def test_runs_of_two_studies_with_other_bases_are_warned_of(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(study, other)
    write_environment(other, ENVIRONMENT | {"base": {"path": "x", "sha256": "e" * 64}})
    found = compare(str(study / "runs" / "full-seed0"), str(other / "runs" / "lora-seed1"))
    assert found.other_base
    assert "different base models" in warnings(found, Words())[0]
    assert all(d.paired for d in found.differences if d.place.metric == "exact_match")


def test_different_items_are_said_to_be_different(tmp_path: Path) -> None:
    row = Measurement(
        metric="exact_match", value=0.5, unit="1", ci_low=0.4, ci_high=0.6, n=90, dataset="test"
    )
    for name in ("a", "b"):
        with RunStore(tmp_path).open_run(
            f"{name}-seed0", config={"arm": name, "seed": 0, "digest": name}, environment={}
        ) as run:
            run.append(5, "task_alignment", Measurements((row,)))
            run.finish()
    found = compare(f"{tmp_path}:a", f"{tmp_path}:b")
    assert warnings(found, Words()) == [Words()("compare.no_items")]
    (one,) = found.differences
    assert (one.paired, one.outcome) == (False, "open")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("runs", "not the folder of a run"),
        ("runs/lora-seed9", "there is no folder"),
        ("runs/begun", "this run is not finished. Run the study again"),
        (":loro", r"no run of an arm 'loro' is finished. Did you mean 'lora'\?"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(
    study: Path, tmp_path: Path, name: str, sentence: str
) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    RunStore(copy).open_run("begun", config=config("full", 0), environment=ENVIRONMENT)
    selector = f"{copy}{name}" if name.startswith(":") else str(copy / name)
    with pytest.raises(StoreError, match=sentence):
        compare(selector, f"{copy}:lora")


def test_nothing_in_common_is_refused(study: Path, tmp_path: Path) -> None:
    with RunStore(tmp_path).open_run(
        "x-seed0", config={"arm": "x", "seed": 0, "digest": "x"}, environment={}
    ) as run:
        run.append(5, "own", Measurements((Measurement(metric="m", value=1.0, unit="1"),)))
        run.finish()
    with pytest.raises(StoreError, match="nothing was measured on both"):
        compare(f"{tmp_path}:x", f"{study}:lora")


def test_json_holds_what_the_table_holds(found: Comparison) -> None:
    data = json.loads(comparison_json(found))
    assert data["schema"] == "sft_probe.comparison/1"
    rows = difference_table(found, Words()).records()
    assert [row["difference"] for row in rows] == pytest.approx(
        [d["difference"] for d in data["differences"]]
    )
    assert data["a"]["runs"] == ["full_high-seed0"]


def test_the_page_is_whole_and_hostile_answers_are_text(compared: str) -> None:
    structure = parsed(compared)
    assert len(structure.ids) == len(set(structure.ids))
    assert len(structure.scripts) == 2
    assert not [tag for tag, _, value in structure.attributes if tag == "img" or "onerror" in value]
    said = {item["e"] for item in json.loads(structure.scripts[0])["items"]}
    assert HOSTILE[1] in said
    for tag, name, value in structure.attributes:
        if name in ("src", "href", "action"):
            assert value.startswith("#"), (tag, name, value)
    assert structure.headings[0] == 1
    assert all(b - a <= 1 for a, b in zip(structure.headings, structure.headings[1:], strict=False))


def test_the_page_speaks_chinese(found: Comparison) -> None:
    page = comparison_page(found, lang="zh")
    assert "优于" in page
    assert not re.search(r">[^<]*does better", page)


def test_the_margin_is_the_stricter_one_of_two_studies(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(study, other)
    (other / "study.yaml").write_text(yaml.safe_dump({"name": "other", "equivalence_margin": 0.005}))
    found = compare(f"{study}:lora", f"{other}:lora")
    assert found.margin == 0.005
