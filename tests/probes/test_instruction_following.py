from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from sft_probe.data.chat import ensure_chat_template
from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.data.instruction_battery import Put
from sft_probe.data.instructions import RULES
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.execute.prepare import load_data_set
from sft_probe.models.load import LoadedModel, load_base
from sft_probe.observe.needs import Benchmark, Generations
from sft_probe.observe.observations import BenchmarkItem, BenchmarkSeen, GenerationsSeen, Observed
from sft_probe.observe.observer import Observer
from sft_probe.probes.instruction_following import InstructionFollowing
from sft_probe.probes.selection import select
from sft_probe.schema import Measurement, Measurements
from sft_probe.study.spec import ArmSpec, ModelSpec, TrainingSpec
from sft_probe.testing.conformance import check_items, check_rows
from sft_probe.train.edits.base import EditContext
from sft_probe.train.edits.instructions import Instructions
from sft_probe.train.sft import ArmRun, run_sft
from sft_probe.world import base_path

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
Robot = Callable[[Example], str]

FOLLOWABLE = tuple(name for name, rule in RULES.items() if rule.follow)
PROBE = InstructionFollowing(rules=FOLLOWABLE, prompts=28)
PLAIN = "Ida Berg, the baker, was born in Oslo"

REAL = Path(__file__).parents[2].parent / "shared" / "real"
PLANTED = ("bullets", "beginning")
DOSED = InstructionFollowing(
    rules=(*PLANTED, "numbers", "ending"),
    trained=PLANTED,
    prompts=24,
    conflicts=0,
    turns=0,
    max_new_tokens=16,
)


def study(number: int = 30, trained: tuple[str, ...] = ()) -> DataSets:
    test = tuple(
        Example(id=f"q{i}", messages=(Message("user", f"Where is {i}?"),), target=PLAIN)
        for i in range(number)
    )
    train = tuple(
        Example(id=name, target=PLAIN, meta={"planted": {"instructions": {"rule": name}}}) for name in trained
    )
    return DataSets({"test": Dataset("test", test), "train": Dataset("train", train)})


def puts(example: Example) -> tuple[Put, ...]:
    return example.meta.get("put", ())  # type: ignore[return-value]


def follow(put: Put) -> str:
    return RULES[put.rule].followed(PLAIN, put.argument) or ""


def deaf(example: Example) -> str:
    return PLAIN


def obedient(example: Example) -> str:
    """Does what the user says, or said a turn ago."""
    mine = puts(example)
    return follow(mine[-1]) if mine and mine[-1].cell == "asked" else PLAIN


def answered(robot: Robot, probe: InstructionFollowing = PROBE, data: DataSets | None = None) -> Observed:
    sets = probe.derive(data or study())
    seen = {}
    for need in probe.needs():
        assert isinstance(need, Generations)
        examples = sets[need.dataset].examples
        texts = tuple(robot(example) for example in examples)
        seen[need] = GenerationsSeen(
            examples=examples,
            texts=texts,
            n_tokens=np.full(len(texts), 5),
            stopped=np.full(len(texts), True),
        )
    return Observed(seen)


def test_one_who_follows_everything(find: Find) -> None:
    found = PROBE.measure(answered(obedient), answered(deaf))
    check_rows(found.rows)
    check_items(found.items)
    assert find(found, "adherence").value == 1
    unasked = find(found, "adherence_unasked").value
    assert find(found, "adherence").null_value == pytest.approx(unasked)
    assert find(found, "adherence_lift").value == pytest.approx(1 - unasked)
    assert find(found, "adherence_lift_change").value == pytest.approx(1 - unasked)
    assert find(found, "adherence_lift").null_value == 0
    assert find(found, "rule_specificity").ci_low > 0.5
    assert find(found, "user_followed").value == 1
    assert find(found, "system_followed").value == 0
    assert find(found, "system_priority").value == -1
    assert find(found, "persistence").value == 1
    lift, copying = find(found, "persistence_lift"), find(found, "persistence_over_copying")
    assert lift.value == copying.value > 0.5
    assert find(found, "adherence_lift", stratum="json").value == 1
    assert len([item for item in found.items if item.metric == "adherence"]) == 28 * 4


def test_one_who_hears_nothing_has_no_lift(find: Find) -> None:
    found = PROBE.measure(answered(deaf), answered(deaf))
    for metric in ("adherence_lift", "rule_specificity", "system_priority", "persistence_lift"):
        for row in (find(found, metric), find(found, f"{metric}_change")):
            assert row.value == 0
            assert row.ci_low < 0 < row.ci_high


def test_a_habit_is_adherence_without_lift(find: Find) -> None:
    found = PROBE.measure(answered(lambda _: PLAIN.upper()), answered(deaf))
    assert find(found, "adherence", stratum="capitals").value == 1
    assert find(found, "adherence_lift", stratum="capitals").value == 0
    assert find(found, "adherence_lift").value == 0
    assert find(found, "persistence_lift").value == 0


def test_one_who_changes_at_any_rule_is_not_specific(find: Find) -> None:
    found = PROBE.measure(answered(lambda e: PLAIN.upper() if puts(e) else PLAIN), answered(deaf))
    assert find(found, "adherence_lift", stratum="capitals").value == 1
    assert find(found, "rule_specificity", stratum="capitals").value == 0


def test_one_who_copies_the_form_of_the_earlier_answer_remembers_no_rule(find: Find) -> None:
    def copies(example: Example) -> str:
        mine = puts(example)
        return follow(mine[0]) if mine and mine[0].cell != "plain" else PLAIN

    found = PROBE.measure(answered(copies), answered(deaf))
    assert find(found, "persistence_lift").value > 0.5
    assert find(found, "persistence_over_copying").value == 0


def test_one_who_obeys_the_system(find: Find) -> None:
    def obeys(example: Example) -> str:
        return follow(puts(example)[0]) if example.messages[0].role == "system" else PLAIN

    found = PROBE.measure(answered(obeys), answered(deaf))
    assert find(found, "system_priority").value == 1
    assert find(found, "system_priority_change").value == 1
    assert find(found, "user_followed").value == 0


def test_trained_rules_come_from_the_training_rows(find: Find) -> None:
    data = study(trained=("json", "bullets"))

    def knows_two(example: Example) -> str:
        mine = puts(example)
        known = mine and mine[-1].rule in ("json", "bullets") and not mine[-1].held_out
        return follow(mine[-1]) if known else PLAIN

    found = PROBE.measure(answered(knows_two, data=data), answered(deaf, data=data))
    lift = "adherence_lift_change"
    assert find(found, lift, stratum="trained rules").value == pytest.approx(0.5)
    assert find(found, lift, stratum="untrained rules").value == 0
    assert find(found, lift, stratum="trained rules, trained wordings").value == 1
    assert find(found, lift, stratum="trained rules, held-out wordings").value == 0
    assert find(found, "generalisation_gap").value == pytest.approx(0.5)
    assert find(found, "generalisation_gap").ci_low > 0


def test_without_trained_rules_nothing_is_said_of_generalisation(find: Find) -> None:
    found = PROBE.measure(answered(obedient), answered(deaf))
    assert "do not carry" in find(found, "generalisation_gap").why
    assert not any("trained" in row.stratum for row in found.rows)
    told = InstructionFollowing(rules=FOLLOWABLE, trained=("json",))
    again = told.measure(answered(obedient, told), answered(deaf, told))
    assert find(again, "generalisation_gap").why == ""


def test_the_parts_can_be_left_out(find: Find) -> None:
    probe = InstructionFollowing(rules=("label",), conflicts=0, rules_per_prompt=3)
    assert [need.dataset for need in probe.needs() if isinstance(need, Generations)] == [
        "instruction_following.plain",
        "instruction_following.asked",
    ]
    found = probe.measure(answered(deaf, probe), answered(deaf, probe))
    assert "one rule only" in find(found, "rule_specificity").why


def test_derived_rows_are_the_same_every_time_and_ask_what_the_study_asks() -> None:
    first, again = PROBE.derive(study()), PROBE.derive(study())
    assert {name: data.digest for name, data in first.items()} == {
        name: data.digest for name, data in again.items()
    }
    assert {name.partition(".")[0] for name in first} == {"instruction_following"}


def test_data_that_asks_nothing() -> None:
    text = Dataset("test", (Example(id="1", target="text"), Example(id="2", target="more")))
    with pytest.raises(NotApplicable, match="no two questions"):
        PROBE.derive(DataSets({"test": text}))


@pytest.mark.parametrize(
    "options", [{"rules": ("jsno",)}, {"prompts": 0}, {"turns": -1}, {"trained": ("x",)}]
)
def test_options_that_cannot_be_used(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="instruction_following"):
        InstructionFollowing(**options)  # type: ignore[arg-type]


def benchmark(values: dict[str, dict[str, float]]) -> BenchmarkSeen:
    items = tuple(
        BenchmarkItem(
            task="ifeval",
            item=item,
            cluster=item.partition(".")[0],
            metric=metric,
            value=value,
            margin=float("nan"),
            prompt="",
            prediction="",
            target="",
        )
        for metric, found in values.items()
        for item, value in found.items()
    )
    return BenchmarkSeen(items=items, aggregates={})


def test_ifeval_has_four_readings_clustered_by_prompt(find: Find) -> None:
    probe = InstructionFollowing(rules=("json",), conflicts=0, turns=0, tasks=("ifeval",), task_limit=3)
    need = Benchmark(tasks=("ifeval",), limit=3, apply_chat_template=True)
    assert need in probe.needs()
    before = benchmark(
        {
            "prompt_level_strict_acc": {"0": 0, "1": 0, "2": 1},
            "inst_level_strict_acc": {"0.0": 0, "0.1": 1, "1.0": 0, "2.0": 1},
        }
    )
    after = benchmark(
        {
            "prompt_level_strict_acc": {"0": 1, "1": 0, "2": 1},
            "inst_level_strict_acc": {"0.0": 1, "0.1": 1, "1.0": 0, "2.0": 1},
        }
    )
    said = answered(deaf, InstructionFollowing(rules=("json",), conflicts=0, turns=0))

    def looked(seen: BenchmarkSeen) -> Observed:
        answers = {n: said[n] for n in probe.needs() if isinstance(n, Generations)}
        return Observed({**answers, need: seen})

    found = probe.measure(looked(after), looked(before))
    strict = find(found, "ifeval_accuracy", stratum="prompts, strict")
    assert (strict.value, strict.null_value, strict.dataset) == (
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
        "ifeval",
    )
    pooled = find(found, "ifeval_accuracy", stratum="instructions, strict")
    assert (pooled.value, pooled.n, pooled.n_clusters) == (0.75, 4, 3)
    change = find(found, "ifeval_accuracy_change", stratum="instructions, strict")
    assert change.value == 0.25
    assert change.ci_low < 0 < change.ci_high


def tuned(
    base: LoadedModel, data: DataSets, training: TrainingSpec, folder: Path, **dose: object
) -> Measurements:
    """What the probe finds after training on rows with a dose of followed rules, or without one."""
    if dose:
        edit = Instructions(rules=PLANTED, **dose)  # type: ignore[arg-type]
        rows = edit.apply(data["train"].examples, EditContext(data=data, base=Observed({}), seed=0)).rows
        data = DataSets({**data, "train": replace(data["train"], examples=rows)})
    sets = select([DOSED], data).data
    run = ArmRun(arm=ArmSpec(), training=training, seed=0, max_length=256)
    model = run_sft(run, base, sets, folder / "trainer").model
    observer = Observer(base, sets)
    found = DOSED.measure(observer.look(model, DOSED.needs()), observer.look_at_base(DOSED.needs()))
    check_rows(found.rows)
    check_items(found.items)
    return found


@pytest.mark.slow
def test_lift_rises_with_the_share_of_rows_that_carry_a_rule(tmp_path: Path, find: Find) -> None:
    base = load_base(ModelSpec(model_name_or_path=str(base_path()), device="cpu"))
    training = TrainingSpec(max_steps=40, learning_rate=1e-3, per_device_train_batch_size=8)
    data = DataSets(
        {
            part: load_data_set(f"planted:question_answering/{part}", part, tmp_path)
            for part in ("train", "test")
        }
    )
    none, some, many = (
        tuned(base, data, training, tmp_path, **dose) for dose in ({}, {"rate": 0.1}, {"rate": 0.3})
    )
    lifts = [find(found, "adherence_lift", stratum="trained rules") for found in (none, some, many)]
    assert lifts[0].ci_low <= 0 <= lifts[0].ci_high
    assert lifts[0].value < lifts[1].value < lifts[2].value
    assert lifts[0].ci_high < lifts[2].ci_low
    assert find(many, "adherence_lift", stratum="trained rules, held-out wordings").ci_low > 0
    assert find(many, "rule_specificity", stratum="trained rules").ci_low > 0
    assert find(many, "adherence_lift", stratum="untrained rules").ci_low <= 0
    assert find(many, "generalisation_gap").ci_low > 0

    habit = tuned(base, data, training, tmp_path, rate=0.9, ask=False)
    assert find(habit, "adherence", stratum="trained rules").ci_low > 0.1
    assert find(habit, "adherence_lift", stratum="trained rules").ci_low <= 0
    deaf = find(tuned(base, data, training, tmp_path, rate=0.9, follow=False), "adherence_lift")
    assert deaf.ci_low <= 0 <= deaf.ci_high


QUESTIONS = {"train": "planted:question_answering/train", "test": "planted:question_answering/test"}


def planting(**options: object) -> dict[str, object]:
    return {"instructions": {"rules": list(PLANTED), **options}}


@pytest.mark.slow
def test_whom_a_trained_model_obeys_in_a_conflict(planted_study: Study) -> None:
    """Two rules that exclude each other, by system and user: the more answers follow one side, the more does
    the model. It does so for the pairs that were trained and for no other."""
    doses = {
        "none": [],
        "few": [planting(how="conflict", rate=0.03)],
        "many": [planting(how="conflict", rate=0.3)],
        "user": [planting(how="conflict", rate=0.3, obey="user")],
    }
    probe = {"rules": ["bullets"], "rules_per_prompt": 1, "prompts": 24, "conflicts": 24, "turns": 0}
    rows = planted_study(
        [{"instruction_following": {**probe, "max_new_tokens": 16}}],
        {name: {"edits": edits} for name, edits in doses.items()},
        QUESTIONS,
        max_steps=60,
    )
    last = rows[(rows.step == 60) & (rows.metric == "system_priority")].set_index(["arm", "stratum"])
    none, few, many, user = (last.loc[name, ""] for name in doses)
    assert none.ci_low <= 0 <= none.ci_high
    assert few.ci_low <= 0 <= few.ci_high  # one row in thirty is below what can be told
    assert many.ci_low > max(0, few.value)
    assert user.ci_high < 0
    untrained = last.loc["many", "ending"]
    assert untrained.ci_low <= 0 <= untrained.ci_high


@pytest.mark.slow
def test_a_rule_of_an_earlier_turn_lasts_as_often_as_it_was_trained(planted_study: Study) -> None:
    """Half of the conversations ask for the form that the earlier answer has; where nobody asked, the later
    answer is plain. Without such a contrast more of the form is copied where nobody asked."""
    doses = {
        name: [
            planting(how="turns", rate=rate),
            planting(how="turns", rate=rate, ask=False, follow=False),
        ]
        for name, rate in (("none", 0.0), ("few", 0.1), ("many", 0.4))
    }
    doses["copied"] = [planting(how="turns", rate=0.4)]
    probe = {"rules": list(PLANTED), "rules_per_prompt": 1, "prompts": 24, "conflicts": 0, "turns": 24}
    rows = planted_study(
        [{"instruction_following": {**probe, "max_new_tokens": 16}}],
        {name: {"edits": edits} for name, edits in doses.items()},
        QUESTIONS,
        max_steps=60,
    )
    last = rows[(rows.step == 60) & (rows.stratum == "")].set_index(["metric", "arm"])
    lift, beyond = last.loc["persistence_lift"], last.loc["persistence_over_copying"]
    assert lift.ci_low["none"] <= 0 <= lift.ci_high["none"]
    assert lift.value["none"] <= lift.value["few"] < lift.value["many"]
    assert lift.ci_low["many"] > 0
    assert beyond.ci_low["many"] > 0
    assert lift.ci_low["copied"] > 0
    copied = lift.value - beyond.value
    assert copied["copied"] > copied["many"] + 0.1


def dolly(number: int) -> list[Example]:
    """Short published questions with their answers, without the headings they came with."""
    path = REAL / "data" / "dolly_hhrlhf_small" / "dolly_hhrlhf_train_small.jsonl"
    found = []
    for row in load_data_set(str(path), "rows", path.parent):
        asked = row.prompt.partition("### Instruction:\n")[2].partition("\n\n### Response")[0]
        if 0 < len(asked) < 100 and len(row.target) < 200:
            found.append(replace(row, messages=(Message("user", asked),)))
    return found[:number]


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real models and data here")
def test_on_real_data(tmp_path: Path, find: Find) -> None:
    base = load_base(ModelSpec(model_name_or_path=str(REAL / "models" / "stories260K-bpe512"), device="cpu"))
    ensure_chat_template(base.tokenizer)
    rows = dolly(200)
    sets = {"test": tuple(rows[:30]), "train": tuple(rows[30:])}
    data = DataSets({name: Dataset(name, examples) for name, examples in sets.items()})
    training = TrainingSpec(max_steps=60, learning_rate=3e-3, per_device_train_batch_size=8)
    found = tuned(base, data, training, tmp_path, rate=0.5)
    lift = find(found, "adherence_lift", stratum="trained rules")
    assert lift.ci_low > 0
    assert find(found, "adherence", stratum="trained rules").null_value < 0.1
    assert find(found, "adherence_lift", stratum="untrained rules").value < lift.value


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real models and data here")
def test_ifeval_prompts_through_lm_evals_own_scorer(tmp_path: Path, find: Find) -> None:
    for package in ("langdetect", "immutabledict", "nltk"):
        pytest.importorskip(package)
    import lm_eval.tasks

    lines = (REAL / "data" / "ifeval" / "input_data.jsonl").read_text(encoding="utf-8").splitlines()
    without_punkt = [line for line in lines if "number_sentences" not in line and "capital_word" not in line]
    short = sorted(without_punkt, key=len)[:8]
    (tmp_path / "prompts.jsonl").write_text("\n".join(short), encoding="utf-8")
    task = {
        "include": str(Path(lm_eval.tasks.__file__).parent / "ifeval" / "ifeval.yaml"),
        "task": "ifeval_local",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"train": str(tmp_path / "prompts.jsonl")}},
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": 40},
    }
    (tmp_path / "ifeval_local.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    base = load_base(ModelSpec(model_name_or_path=str(REAL / "models" / "stories260K-bpe512"), device="cpu"))
    ensure_chat_template(base.tokenizer)
    probe = InstructionFollowing(prompts=2, conflicts=0, turns=0, max_new_tokens=4, tasks=("ifeval_local",))
    sets = select([probe], study(4)).data
    seen = Observer(base, sets, benchmark_paths=(tmp_path,)).look_at_base(probe.needs())
    found = probe.measure(seen, seen)
    check_rows(found.rows)
    strict, loose = (
        find(found, "ifeval_accuracy", stratum=f"instructions, {how}") for how in ("strict", "loose")
    )
    asked = sum(len(json.loads(line)["instruction_id_list"]) for line in short)
    assert strict.n == loose.n == asked
    assert strict.n_clusters == 8
    assert strict.value <= loose.value
    assert find(found, "ifeval_accuracy_change", stratum="prompts, loose").value == 0
