"""The adapter against lm-eval's own Hugging Face model, on tasks in a folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from sft_probe.errors import DataError
from sft_probe.models.load import LoadedModel
from sft_probe.observe.needs import Benchmark
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import (
    ARCHITECTURES,
    Architecture,
    tiny_base,
    tiny_benchmarks,
    tiny_data,
    tiny_tuned,
)

TASKS = ("tiny_choice", "tiny_generate", "tiny_rolling")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_benchmarks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return tiny_base()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_responses_equal_those_of_hflm(architecture: Architecture, folder: Path) -> None:
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from sft_probe.observe.lm_eval import LiveModel

    base = tiny_base(architecture)
    manager = TaskManager(include_path=str(folder), include_defaults=False)

    def samples(model: Any) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, Any] = evaluate(model, manager.load(list(TASKS)), bootstrap_iters=0)
        return found["samples"]  # type: ignore[no-any-return]

    ours = samples(LiveModel(base.model, base.tokenizer))
    theirs = samples(HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=3, device="cpu"))
    for a, b in zip(ours["tiny_choice"], theirs["tiny_choice"], strict=True):
        for (mine,), (own,) in zip(a["resps"], b["resps"], strict=True):
            assert mine[0] == pytest.approx(own[0], abs=1e-4)
            assert mine[1] == own[1]
        assert (a["acc"], a["acc_norm"]) == (b["acc"], b["acc_norm"])
    for a, b in zip(ours["tiny_rolling"], theirs["tiny_rolling"], strict=True):
        assert a["resps"][0][0] == pytest.approx(b["resps"][0][0], abs=1e-4)
    assert [s["resps"] for s in ours["tiny_generate"]] == [s["resps"] for s in theirs["tiny_generate"]]


def test_every_document_is_a_row_with_margin_and_cluster(folder: Path, base: LoadedModel) -> None:
    need = Benchmark(tasks=TASKS)
    seen = Observer(base, tiny_data(), benchmark_paths=(folder,)).look(tiny_tuned(base), [need])[need]
    choice = [i for i in seen.items if (i.task, i.metric) == ("tiny_choice", "acc")]
    assert [i.item for i in choice] == [f"d{n}" for n in range(8)]
    assert [i.cluster for i in choice] == [f"c{n // 2}" for n in range(8)]
    assert [i.target for i in choice] == ["sofa", "table", "garden", "river bank"] * 2
    for item in choice:
        assert item.prompt.startswith("Question: Where is the")
        assert item.value == (item.prediction == item.target) == (item.margin > 0)
    answers = [i for i in seen.items if i.task == "tiny_generate"]
    assert len(answers) == 8
    assert all(math.isnan(i.margin) and "\n" not in i.prediction for i in answers)
    assert seen.aggregates["tiny_choice"]["acc"] == sum(i.value for i in choice) / 8
    assert seen.aggregates["tiny_rolling"]["word_perplexity"] > 1


def test_few_shot_and_limit_are_honoured_and_looks_repeat(folder: Path, base: LoadedModel) -> None:
    need = Benchmark(tasks=("tiny_choice",), limit=3, num_fewshot=2)
    observer, tuned = Observer(base, tiny_data(), benchmark_paths=(folder,)), tiny_tuned(base)
    first, again = (observer.look(tuned, [need])[need] for _ in range(2))
    assert first == again
    assert len({i.item for i in first.items}) == 3
    assert first.items[0].prompt.count("Answer:") == 3


def test_a_task_can_be_asked_in_chat_form(folder: Path, base: LoadedModel) -> None:
    need = Benchmark(tasks=("tiny_generate",), apply_chat_template=True)
    seen = Observer(base, tiny_data(), benchmark_paths=(folder,)).look_at_base([need])[need]
    assert seen.items[0].prompt.startswith("<|user|>Question:")
    assert seen.items[0].prompt.endswith("<|assistant|>")


def test_a_task_whose_data_is_missing_is_named(tmp_path: Path, base: LoadedModel) -> None:
    folder = tiny_benchmarks(tmp_path)
    (folder / "rows.jsonl").unlink()
    need = Benchmark(tasks=("tiny_choice",))
    with pytest.raises(DataError, match="tiny_choice"):
        Observer(base, tiny_data(), benchmark_paths=(folder,)).look_at_base([need])


@pytest.mark.slow
def test_an_unknown_task_is_one_sentence(folder: Path, base: LoadedModel) -> None:
    need = Benchmark(tasks=("tiny_chioce",))
    with pytest.raises(DataError, match="Did you mean 'tiny_choice'"):
        Observer(base, tiny_data(), benchmark_paths=(folder,)).look_at_base([need])


def test_what_tasks_ask_is_made_once_and_asked_of_every_model(
    folder: Path, base: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval.api.task

    need = Benchmark(tasks=TASKS, num_fewshot=1)
    tuned, other = tiny_tuned(base), tiny_tuned(base, seed=7)

    def anew() -> Observer:
        return Observer(base, tiny_data(), benchmark_paths=(folder,))

    expected = [anew().look(model, [need])[need] for model in (tuned, other)]
    assert expected[0] != expected[1]
    observer = anew()
    first = observer.look(tuned, [need])[need]
    monkeypatch.setattr(lm_eval.api.task.utils, "apply_template", None)
    assert [first, observer.look(other, [need])[need]] == expected
