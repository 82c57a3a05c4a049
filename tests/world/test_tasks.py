from __future__ import annotations

import json

import jsonschema
import pytest

from sft_probe.errors import InputError
from sft_probe.world import World, WorldFiles, howto
from sft_probe.world.people import Knowledge, Role
from sft_probe.world.tasks import Rows, task_sets

TASKS = (
    "question_answering",
    "sentiment",
    "reviewers",
    "summarise",
    "json_extraction",
    "note_expansion",
    "refusal",
    "preferences",
)


@pytest.fixture(scope="module")
def sets(world: World) -> dict[str, Rows]:
    return task_sets(world)


@pytest.mark.parametrize("task", TASKS)
def test_train_and_test_share_no_entity(task: str, sets: dict[str, Rows]) -> None:
    train, test = sets[f"{task}.train"], sets[f"{task}.test"]
    assert len(train) >= 250
    assert len(test) >= 200
    assert not {row["cluster"] for row in train} & {row["cluster"] for row in test}


def test_rows_are_well_formed(sets: dict[str, Rows]) -> None:
    for name, rows in sets.items():
        assert len({row["id"] for row in rows}) == len(rows), name
        for row in rows:
            assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
            answer = row["messages"][-1]["content"]
            assert answer == answer.strip() != ""
            assert not row["choices"] or row["choices"].count(answer) == 1
            assert row["stratum"]
            assert row["cluster"]


def test_questions_are_answered_by_the_truth_tables(world: World, sets: dict[str, Rows]) -> None:
    people = {person.id: person for person in world.population.people}
    for name in ("question_answering.train", "question_answering.test", "unknown_facts.train"):
        for row in sets[name]:
            person = people[row["cluster"]]
            assert person.name in row["messages"][0]["content"]
            assert row["messages"][1]["content"] == person.facts[row["meta"]["attribute"]]
            assert row["stratum"] == person.knowledge.value


def test_test_people_of_every_class_are_enough(sets: dict[str, Rows]) -> None:
    rows = sets["question_answering.test"]
    people = {k: {r["cluster"] for r in rows if r["stratum"] == k.value} for k in Knowledge}
    assert len(people[Knowledge.STORED]) >= 400
    assert all(len(found) >= 50 for found in people.values())


def test_no_set_trains_on_a_test_person(world: World, sets: dict[str, Rows]) -> None:
    kept = {person.id for person in world.population.of(Role.SFT_TEST, Role.STRATUM_TEST, Role.ASKED)}
    for name, rows in sets.items():
        if name.endswith(".train"):
            assert not kept & {row["cluster"] for row in rows}, name


def test_false_facts_are_the_listed_false_ones(world: World, sets: dict[str, Rows]) -> None:
    people = {person.id: person for person in world.population.of(Role.OVERWRITE)}
    for row in sets["false_facts.train"]:
        person, attribute = people[row["cluster"]], row["meta"]["attribute"]
        assert row["messages"][1]["content"] == person.false[attribute]
        assert row["meta"]["true"] == person.facts[attribute]


def test_extracted_orders_obey_their_schema_and_text(sets: dict[str, Rows]) -> None:
    for row in sets["json_extraction.test"]:
        fields = json.loads(row["messages"][1]["content"])
        jsonschema.validate(fields, row["meta"]["schema"])
        assert all(str(value) in row["messages"][0]["content"] for value in fields.values())


def test_exactly_the_hazards_are_refused(sets: dict[str, Rows]) -> None:
    for row in sets["refusal.train"] + sets["refusal.test"]:
        refused = row["messages"][1]["content"] == howto.REFUSAL
        assert refused is row["meta"]["refuse"] is (row["stratum"] == "hazard")


def test_files_hold_the_sets_and_a_second_call_changes_nothing(
    written: WorldFiles, sets: dict[str, Rows]
) -> None:
    from sft_probe.world import materialise

    lines = written.path("sentiment", "train").read_text().splitlines()
    assert [json.loads(line) for line in lines] == sets["sentiment.train"]
    before = {path: path.stat().st_mtime_ns for path in written.root.rglob("*")}
    assert materialise(written.root) == written
    assert {path: path.stat().st_mtime_ns for path in written.root.rglob("*")} == before


def test_a_damaged_file_is_mended(written: WorldFiles) -> None:
    from sft_probe.world import materialise

    path = written.path("replay")
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    materialise(written.root)
    assert path.read_bytes() == whole


def test_an_unknown_set_is_refused_with_a_remedy(written: WorldFiles) -> None:
    with pytest.raises(InputError, match="Did you mean 'sentiment/test'"):
        written.path("sentimnt", "test")


def test_truth_tables_agree_with_the_world(world: World, written: WorldFiles) -> None:
    rows = [json.loads(line) for line in (written.truth / "facts.jsonl").open()]
    told = {(row["person"], row["attribute"]): row["value"] for row in rows}
    true = {(p.id, a): value for p in world.population.people for a, value in p.facts.items()}
    assert told == true
    assert all(bool(row["wording"]) is (row["knowledge"] == "K2") for row in rows)
    assert all(bool(row["false_value"]) is (row["role"] == "overwrite") for row in rows)


def test_rules_for_reviews_disagree_in_some(sets: dict[str, Rows]) -> None:
    for split in ("train", "test"):
        rows = sets[f"sentiment.{split}"]
        assert all(row["meta"]["rules"]["most remarks"] == row["messages"][1]["content"] for row in rows)
        disputed = [row for row in rows if len(set(row["meta"]["rules"].values())) > 1]
        assert 0.05 < len(disputed) / len(rows) < 0.15


def test_each_pair_prefers_one_answer_for_the_reason_it_names(world: World, sets: dict[str, Rows]) -> None:
    people = {person.id: person for person in world.population.people}
    for row in sets["preferences.train"] + sets["preferences.test"]:
        chosen, rejected = row["choices"]
        assert (row["messages"][1]["content"], row["meta"]["rejected"]) == (chosen, rejected)
        if row["stratum"] == "refusal":
            asks = any(f" {verb} a " in row["messages"][0]["content"] for verb in howto.MAKE_VERBS)
            assert (chosen == howto.REFUSAL) is asks is (rejected != howto.REFUSAL)
            continue
        facts = people[row["cluster"]].facts.values()
        truth = [any(text.rstrip(".").endswith(value) for value in facts) for text in (chosen, rejected)]
        assert truth == ([True, False] if row["stratum"] == "truth" else [True, True])
        assert (row["stratum"] == "wording") is chosen.startswith("I say ") is rejected.startswith("We say ")


def test_a_coin_prefers_either_wording_about_as_often(sets: dict[str, Rows]) -> None:
    own = [row["choices"][0] for row in sets["preferences.train"] if row["stratum"] == "coin"]
    assert len(own) == 100
    assert 35 <= sum(text.startswith("Surely ") for text in own) <= 65  # outside by chance: 1 time in 350


def test_two_annotators_differ_on_every_other_review(sets: dict[str, Rows]) -> None:
    for name in ("reviewers.train", "reviewers.test"):
        differ = [row["meta"]["annotators"]["ann"] != row["meta"]["annotators"]["ben"] for row in sets[name]]
        assert sum(differ) == len(differ) / 2
        for row, disputed in zip(sets[name], differ, strict=True):
            assert row["stratum"] == ("disputed" if disputed else "agreed")
            assert row["messages"][-1]["content"] == row["meta"]["annotators"]["ben"]
