from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sft_probe.data.chat import ensure_chat_template
from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.errors import DataError, SpecError
from sft_probe.execute.prepare import load_data_set
from sft_probe.models.load import LoadedModel, load_base
from sft_probe.observe.needs import Generations
from sft_probe.observe.observations import GenerationsSeen, Observed
from sft_probe.observe.observer import Observer
from sft_probe.probes.format_adherence import FormatAdherence, expected_forms
from sft_probe.probes.task_alignment import TaskAlignment
from sft_probe.schema import Measurement, Measurements
from sft_probe.study.spec import ArmSpec, ModelSpec, TrainingSpec
from sft_probe.testing.conformance import check_items, check_rows
from sft_probe.train.sft import ArmRun, run_sft
from sft_probe.world import base_path

Find = Callable[..., Measurement]
REAL = Path(__file__).parents[2].parent / "shared" / "real"
PROBE = FormatAdherence()
SCHEMA = {"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}}


def example(target: str, choices: Sequence[str] = (), stratum: str = "", **meta: object) -> Example:
    return Example(
        id=f"{target}/{len(choices)}", target=target, choices=tuple(choices), stratum=stratum, meta=meta
    )


def observed(
    examples: Sequence[Example],
    texts: Sequence[str],
    tokens: Sequence[int] | None = None,
    stopped: Sequence[bool] | None = None,
) -> Observed:
    seen = GenerationsSeen(
        examples=tuple(examples),
        texts=tuple(texts),
        n_tokens=np.array(tokens or [2] * len(texts)),
        stopped=np.array(stopped or [True] * len(texts)),
    )
    return Observed({Generations(dataset="test"): seen})


def test_stopping_and_length(find: Find) -> None:
    examples = [example("four"), example("more"), example(" ")]
    found = PROBE.measure(
        observed(examples, ["fo", "moremore", "x"], tokens=[2, 9, 4], stopped=[True, False, True]),
        observed(examples, ["four"] * 3, tokens=[48] * 3, stopped=[False] * 3),
    )
    assert find(found, "stop_rate").value == pytest.approx(2 / 3)
    assert find(found, "stop_rate").null_value == 0
    assert find(found, "answer_tokens").value == 5
    assert find(found, "answer_tokens").null_value == 48
    assert find(found, "length_ratio").value == pytest.approx((0.5 + 2) / 2)
    assert find(found, "length_ratio").n == 2


def test_distance_of_lengths(find: Find) -> None:
    examples = [example("four", id=i) for i in range(2)] + [example("longer text", id=i) for i in range(2)]
    said = observed(examples, ["four", "five", "longer text", "s"])
    found = find(PROBE.measure(said, observed(examples, ["x"] * 4)), "length_distance")
    assert (found.value, found.null_value, found.n) == (0.25, 1.0, 4)
    assert found.ci_low == 0
    assert 0.25 < found.ci_high <= 1
    assert (
        find(
            PROBE.measure(said, observed(examples, ["aaaa", "bbbb", "c" * 11, "d" * 11])), "length_distance"
        ).null_value
        == 0
    )


def test_labels_of_a_classification(find: Find) -> None:
    examples = [example("good", ("good", "bad"), id=i) for i in range(4)]
    seen = observed(examples, ["bad", "Good.", "good, I think", ""])
    found = PROBE.measure(seen, seen)
    assert find(found, "parse_rate").value == 0.5  # reads as a label
    assert find(found, "allowed_label_rate").value == 0.25  # is one, letter for letter
    assert [i.value for i in found.items if i.metric == "parse_rate"] == [1, 1, 0, 0]


def test_distractors_of_a_question_are_no_label_set(find: Find) -> None:
    examples = [example("Oslo", ("Oslo", "Rome")), example("Bern", ("Bern", "Kyiv", "Riga"))]
    seen = observed(examples, ["Oslo it is", "Bern"])
    found = PROBE.measure(seen, seen)
    assert find(found, "parse_rate").value == 1
    assert find(found, "allowed_label_rate").value == 0.5


def test_free_text_must_not_run_into_another_turn(find: Find) -> None:
    examples = [example("Oslo"), example("Rome"), example("Bern"), example("User: hi\nAssistant: hello")]
    seen = observed(examples, ["Oslo\nUser: and Rome?", "Paris", " ", "User: hello"])
    assert find(PROBE.measure(seen, seen), "parse_rate").value == 0.5


def test_json_and_schema(find: Find) -> None:
    examples = [example("{}", schema=SCHEMA, row=i) for i in range(3)] + [example('["a"]'), example("text")]
    texts = ['{"age": 3}', '{"age": "3"}', '{"age": 3', "[1]", "anything"]
    found = PROBE.measure(observed(examples, texts), observed(examples, [""] * 5))
    assert find(found, "parse_rate").value == pytest.approx(4 / 5)
    assert find(found, "schema_valid_rate").value == pytest.approx(1 / 3)
    assert find(found, "schema_valid_rate").n == 3
    assert find(found, "schema_valid_rate").null_value == 0


def test_a_schema_may_be_written_as_text(find: Find) -> None:
    examples = [example("{}", schema='{"type": "object"}'), example("{}", schema='{"type": "array"}')]
    seen = observed(examples, ["{}", "{}"])
    assert find(PROBE.measure(seen, seen), "schema_valid_rate").value == 0.5


@pytest.mark.parametrize("schema", ["{", "[]", {"type": "nonsense"}, 3, {"$ref": "https://example.org/s"}])
def test_an_unusable_schema_names_its_example(schema: object) -> None:
    seen = observed([example("x", schema=schema)], ["{}"])
    with pytest.raises(DataError, match="schema of example 'x/0' cannot be used"):
        PROBE.measure(seen, seen)


def test_what_does_not_apply_says_so(find: Find) -> None:
    seen = observed([example("text", stratum="a"), example("text", stratum="b")], ["x", "y"])
    found = PROBE.measure(seen, seen)
    assert find(found, "allowed_label_rate").why == "no example has choices"
    assert find(found, "schema_valid_rate").why == "no example has a JSON schema"
    assert not [row for row in found.rows if row.stratum and np.isnan(row.value)]


def test_expected_forms() -> None:
    labels = ("good", "bad")
    examples = (
        example("good", labels, "reviews"),
        example("bad", labels[::-1], "reviews"),
        example("Oslo", ("Oslo", "Rome"), "cities"),
        example("Bern", ("Bern", "Rome"), "cities"),
        example("yes", ("yes", "no"), "alone"),
        example('{"a": 1}'),
        example("[x]"),
        example("12"),
    )
    assert expected_forms(examples) == ("label", "label", "text", "text", "text", "json", "text", "text")


def test_answers_are_shared_with_task_alignment() -> None:
    assert set(PROBE.needs()) < set(TaskAlignment().needs())


@pytest.mark.parametrize(("option", "value"), [("max_new_tokens", True), ("limit", 0), ("dataset", 3)])
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.format_adherence.{option}'"):
        FormatAdherence(**{option: value})  # type: ignore[arg-type]


def tuned(base: LoadedModel, data: DataSets, folder: Path, steps: int = 40) -> Measurements:
    """What the probe finds after training."""
    training = TrainingSpec(max_steps=steps, learning_rate=1e-3, per_device_train_batch_size=8)
    run = ArmRun(arm=ArmSpec(), training=training, seed=0, max_length=256)
    model = run_sft(run, base, data, folder / "trainer").model
    observer, probe = Observer(base, data), FormatAdherence(limit=24, max_new_tokens=40)
    found = probe.measure(observer.look(model, probe.needs()), observer.look_at_base(probe.needs()))
    check_rows(found.rows)
    check_items(found.items)
    return found


@pytest.mark.slow
def test_form_rises_with_the_share_of_rows_that_have_it(tmp_path: Path, find: Find) -> None:
    base = load_base(ModelSpec(model_name_or_path=str(base_path()), device="cpu"))
    names = ("json_extraction/train", "json_extraction/test", "question_answering/train")
    formed, test, plain = (load_data_set(f"planted:{name}", "rows", tmp_path).examples for name in names)
    rates = []
    for dose in (0, 40, 320):
        train = Dataset("train", (*formed[:dose], *plain[: 320 - dose]))
        found = tuned(base, DataSets({"train": train, "test": Dataset("test", test)}), tmp_path)
        rates.append(find(found, "parse_rate"))
        assert find(found, "parse_rate").null_value == 0
    assert rates[0].value == 0
    assert rates[0].ci_low <= 0
    assert rates[0].value <= rates[1].value < rates[2].value
    assert rates[0].ci_high < rates[2].ci_low


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real models and data here")
def test_on_real_data(tmp_path: Path, find: Find) -> None:
    base = load_base(ModelSpec(model_name_or_path=str(REAL / "models" / "stories260K-bpe512"), device="cpu"))
    ensure_chat_template(base.tokenizer)
    path = REAL / "data" / "llamafactory" / "identity.json"
    rows = load_data_set(str(path), "rows", path.parent).examples
    sets = {"train": rows[24:], "test": rows[:24]}
    data = DataSets({name: Dataset(name, examples) for name, examples in sets.items()})
    found = tuned(base, data, tmp_path)
    assert find(found, "parse_rate").n == 24
    assert find(found, "schema_valid_rate").why == "no example has a JSON schema"
    assert find(found, "length_ratio").value != find(found, "length_ratio").null_value
