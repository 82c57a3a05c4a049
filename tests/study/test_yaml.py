"""A flat file becomes a nested study; what is wrong in it is named by file, key and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_probe.errors import SpecError
from sft_probe.registry import available
from sft_probe.study.spec import (
    ArmSpec,
    DataSpec,
    ModelSpec,
    ProbeSpec,
    RegulariserSpec,
    ReplaySpec,
    ScheduleSpec,
    StudySpec,
    TrainingSpec,
)
from sft_probe.study.yaml import dump_study, load_study, parse_study


def test_flat_keys_find_their_sections(study_text: str) -> None:
    study = parse_study(study_text)
    assert study.base == ModelSpec(model_name_or_path="planted")
    assert study.training == TrainingSpec(learning_rate=2e-4, max_steps=60)
    assert study.seeds == (0, 1)
    assert study.arms["full"] == ArmSpec()
    assert study.arms["lora"] == ArmSpec(
        method="lora", method_options={"r": 8}, training={"learning_rate": 1e-3}
    )
    assert study.probes[0] == ProbeSpec(name="task_alignment")
    assert study.probes[2] == ProbeSpec(name="forgetting", options={"tasks": ["world"], "limit": 100})


def test_flat_and_nested_say_the_same(study_text: str) -> None:
    nested = (
        study_text.replace("model_name_or_path: planted", "base: {model_name_or_path: planted}")
        .replace("max_steps: 60\n", "")
        .replace("learning_rate: 2.0e-4", "training: {learning_rate: 2.0e-4, max_steps: 60}")
        .replace("learning_rate: 1e-3", "training: {learning_rate: 1e-3}")
        .replace("[task_alignment,", "[{name: task_alignment, options: {}},")
    )
    assert parse_study(nested) == parse_study(study_text)


def test_one_seed_and_one_tracker_need_no_list(study_text: str) -> None:
    study = parse_study(study_text.replace("seeds: [0, 1]", "seed: 3\nreport_to: tensorboard"))
    assert study.seeds == (3,)
    assert study.report_to == ("tensorboard",)
    assert parse_study(study_text + "report_to: none\n").report_to == ()


def test_numbers_may_be_written_as_yaml_does_not_read_them(study_text: str) -> None:
    """YAML 1.1 takes `1e-3` for text; nobody who writes a learning rate means that."""
    lora = parse_study(study_text).arms["lora"].training["learning_rate"]
    assert lora == 1e-3
    assert isinstance(lora, float)


def test_the_first_arm_is_the_reference_unless_another_is_named(study_text: str) -> None:
    assert parse_study(study_text).reference == "full"
    assert parse_study(study_text + "reference_arm: lora\n").reference == "lora"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "learning_rate: 2",
            "learning_rat: 2",
            "field 'learning_rat': unknown key. Did you mean 'learning_rate'?",
        ),
        ("data:\n", "data:\n  tran: x\n", "field 'data.tran': unknown key. Did you mean 'train'?"),
        ("{method: lora,", "{metod: lora,", "field 'arms.lora.metod': unknown key. Did you mean 'method'?"),
        (
            "rate: 1e-3",
            "rat: 1e-3",
            "field 'arms.lora.learning_rat': unknown key. Did you mean 'learning_rate'?",
        ),
        ("fraction", "fractoin", "field 'arms.replay.regulariser.replay.fractoin': unknown key."),
        (
            "method: lora,",
            "method: lorra,",
            "field 'arms.lora.method': there is no method named 'lorra'. Did you",
        ),
        (
            "[task_alignment",
            "[task_alignmnt",
            "field 'probes[0]': there is no probe named 'task_alignmnt'. Did",
        ),
        ("data:\n", "data:\n  format: mesages\n", "field 'data.format': there is no format named 'mesages'."),
        (
            "seeds:",
            "schedule: {ends_only: [forget]}\nseeds:",
            "field 'schedule.ends_only[0]': there is no probe",
        ),
        (
            "max_steps: 60",
            "max_steps: many",
            "field 'training.max_steps': expected a whole number, found 'many'.",
        ),
        (
            "learning_rate: 1e-3",
            "learning_rate: fast",
            "field 'arms.lora.training.learning_rate': expected a number",
        ),
        ("learning_rate: 2.0e-4", "learning_rate: .inf", "field 'training.learning_rate'"),
        (
            "learning_rate: 2.0e-4",
            "learning_rate: 0",
            "field 'training.learning_rate': the value should be greater",
        ),
        ("fraction: 0.2", "fraction: 1.2", "the value should be less than 1, found 1.2."),
        (
            "dataset: generic",
            "dataset: generc",
            "arms.replay.regulariser.replay: data.others has no 'generc'",
        ),
        (
            "max_steps: 60",
            "dtype: float8",
            "field 'base.dtype': expected 'auto', 'float32', 'bfloat16' or 'float16'",
        ),
        ("seeds: [0, 1]", "seeds: [0, 0]", "field 'seeds': expected different whole numbers, none below 0."),
        ("seeds: [0, 1]", "seeds: []", "field 'seeds': expected at least one."),
        ("seeds: [0, 1]", "seeds: 3", "field 'seeds': expected a list, found 3."),
        ("seeds: [0, 1]", "seeds: [0]\nseed: 1", "field 'seed': 'seeds' is given twice."),
        (
            "max_steps: 60",
            "max_steps: 60\ntraining: {max_steps: 9}",
            "field 'training': 'max_steps' is given twice.",
        ),
        ("max_steps: 60", "max_steps: 60\ntraining: 9", "field 'training': expected keys and values."),
        ("full:", "lora:", "this is not YAML in line 14, column 3: the key 'lora' stands twice"),
        ("full:", "7:", "the key 7 is not text; quote it"),
        ("full:", "base:", "'base' cannot name an arm"),
        ("full:", "a/b:", "'a/b' cannot name an arm"),
        ("full:", "full: 3", "field 'arms.full': expected keys and values, found 3."),
        ("name: my_study", "name: [", "this is not YAML in line"),
        ("name: my_study\n", "", "field 'name': this key is required."),
        ("seeds:", "reference_arm: ful\nseeds:", "there is no arm 'ful'. Did you mean 'full'?"),
        ("format_adherence,", "task_alignment,", "the same probe is asked for twice"),
        (
            "limit: 100}",
            "limit: 100}, other: 1",
            "field 'probes[2]': expected a name, alone or with",
        ),
        (
            "seeds:",
            "schedule: {steps: [-1, 3]}\nseeds:",
            "field 'schedule.steps': expected at least one step",
        ),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, message: str, study_text: str) -> None:
    assert old in study_text
    with pytest.raises(SpecError) as caught:
        parse_study(study_text.replace(old, new, 1), file="study.yaml")
    assert str(caught.value).startswith("study.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match="expected keys and values"):
        parse_study("- 1\n- 2\n")


@pytest.mark.parametrize("key", ["max_steps", "training.max_steps"])
@pytest.mark.parametrize("flat", [True, False])
def test_overrides_win_wherever_the_key_stands(key: str, flat: bool, study_text: str) -> None:
    text = study_text if flat else study_text.replace("max_steps: 60", "training: {max_steps: 60}")
    assert parse_study(text, overrides={key: "9"}).training.max_steps == 9


def test_overrides_reach_into_arms_and_new_sections(study_text: str) -> None:
    overrides = {
        "arms.lora.method_options.r": "4",
        "schedule.points": "2",
        "output_dir": "elsewhere",
        "seeds": "[5]",
    }
    study = parse_study(study_text, overrides=overrides)
    assert study.arms["lora"].method_options == {"r": 4}
    assert (study.schedule.points, str(study.output_dir), study.seeds) == (2, "elsewhere", (5,))
    with pytest.raises(SpecError, match=r"'name' holds no keys"):
        parse_study(study_text, overrides={"name.x": "1"})


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
RATES = st.floats(1e-7, 10)
OPTIONS = st.dictionaries(
    NAMES, st.one_of(st.integers(), st.booleans(), TEXTS, st.lists(TEXTS, max_size=2)), max_size=2
)
TRAINING = st.builds(
    TrainingSpec, learning_rate=RATES, max_steps=st.integers(1, 1000), weight_decay=RATES, bf16=st.booleans()
)
ARMS = st.builds(
    ArmSpec,
    method=st.sampled_from(["full", "lora"]),
    method_options=OPTIONS,
    training=st.fixed_dictionaries({}, optional={"learning_rate": RATES, "optim": TEXTS}),
    regulariser=st.just(RegulariserSpec())
    | st.builds(
        RegulariserSpec,
        replay=st.builds(ReplaySpec, dataset=st.just("generic"), fraction=st.floats(0.01, 0.99)),
    ),
    label=st.just("") | TEXTS,
)
STUDIES = st.builds(
    StudySpec,
    name=TEXTS,
    output_dir=st.builds(Path, NAMES),
    base=st.builds(ModelSpec, model_name_or_path=TEXTS, device=st.sampled_from(["auto", "cpu"])),
    data=st.builds(
        DataSpec,
        train=TEXTS,
        test=st.none() | TEXTS,
        others=st.just({"generic": "planted:replay"}),
        allow=st.just(()) | st.just(("truncated",)),
    ),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True).map(tuple),
    training=TRAINING,
    arms=st.dictionaries(NAMES.filter(lambda name: name != "base"), ARMS, min_size=1, max_size=3),
    probes=st.builds(
        lambda o: (ProbeSpec(name="forgetting", options=o), ProbeSpec(name="token_shift")), OPTIONS
    ),
    schedule=st.builds(ScheduleSpec, steps=st.none() | st.just((0, 3))),
    save_model=st.booleans(),
)


@settings(deadline=None, max_examples=40)  # names are looked up among installed packages
@given(study=STUDIES)
def test_a_dumped_study_reads_back_equal(study: StudySpec) -> None:
    assert parse_study(dump_study(study)) == study


def test_a_dumped_flat_study_reads_back_equal(study_text: str, tmp_path: Path) -> None:
    study = parse_study(study_text)
    path = tmp_path / "study.yaml"
    path.write_text(dump_study(study), encoding="utf-8")
    assert load_study(path) == study


def test_all_probes_are_spelled_out_and_those_not_named_are_optional(study_text: str) -> None:
    def asking(probes: str) -> StudySpec:
        return parse_study(re.sub(r"probes:.*\n", f"probes: {probes}\n", study_text))

    study = asking("[all, forgetting: {limit: 3}]")
    assert study.probes[0] == ProbeSpec(name="forgetting", options={"limit": 3})
    assert {p.name: p.optional for p in study.probes if p.name != "forgetting"} == {
        name: True for name in available("probes") if name != "forgetting"
    }
    assert parse_study(dump_study(study)) == study
    assert asking("all").probes[0].optional


def test_edits_of_an_arm_are_named_like_probes(study_text: str) -> None:
    text = study_text.replace("arms:", "arms:\n  noisy: {edits: [label_noise: {rate: 0.2}]}", 1)
    (edit,) = parse_study(text).arms["noisy"].edits
    assert (edit.name, edit.options) == ("label_noise", {"rate": 0.2})
    with pytest.raises(SpecError, match=r"arms.noisy.edits\[0\].*no edit named 'label_nose'"):
        parse_study(text.replace("label_noise", "label_nose"))
