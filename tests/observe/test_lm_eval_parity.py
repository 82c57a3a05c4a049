"""The adapter against lm-eval's own Hugging Face model: every request of tasks of many kinds, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sft_probe.models.load import LoadedModel, load_base
from sft_probe.study.spec import ModelSpec
from sft_probe.world import materialise
from sft_probe.world.benchmarks import BENCHMARKS, GROUP

from .task_kinds import GROUPS, KINDS, write_kinds

REAL = Path(__file__).parents[2].parent / "shared" / "real" / "models"
MODELS = (
    "planted",
    pytest.param("stories260K-bpe512", marks=pytest.mark.slow),
    pytest.param("babyllama-char-0.9M", marks=pytest.mark.slow),
)
CHAT = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
VERDICTS = ("acc", "exact_match")
NATS = 1e-4
ROUNDING = 2**-23  # relative, of the sums over thousands of nats that the other side keeps in float32


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("parity")
    return write_kinds(root / "kinds"), materialise(root / "world").benchmarks


@pytest.fixture(scope="module", params=MODELS)
def base(request: pytest.FixtureRequest) -> LoadedModel:
    name: str = request.param
    if name != "planted" and not (REAL / name).is_dir():
        pytest.skip("no real models here")
    path = name if name == "planted" else str(REAL / name)
    found = load_base(ModelSpec(model_name_or_path=path, device="cpu"))
    if found.tokenizer.chat_template is None:
        found.tokenizer.chat_template = CHAT
    return found


def test_choices_last_words_texts_and_generations(base: LoadedModel, folders: tuple[Path, Path]) -> None:
    tasks = [name for name in KINDS if "few_shot" not in name]
    ours, theirs = both(base, folders, [*tasks, GROUP], limit=4)
    assert sorted(ours["samples"]) == sorted([*tasks, *BENCHMARKS])
    same(ours, theirs)


def test_few_shots(base: LoadedModel, folders: tuple[Path, Path]) -> None:
    ours, theirs = both(base, folders, ["choice_few_shot", "generate_few_shot"])
    for samples in ours["samples"].values():
        assert len(samples) == 8
        assert samples[0]["arguments"][0][0].count("Answer:") == 3
    same(ours, theirs)


@pytest.mark.parametrize("multiturn", [False, True])
def test_chat_template(base: LoadedModel, folders: tuple[Path, Path], multiturn: bool) -> None:
    tasks = ["choice_words", "generate_stopped", "choice_few_shot", "generate_few_shot"]
    chat = {"apply_chat_template": True, "fewshot_as_multiturn": multiturn}
    ours, theirs = both(base, folders, tasks, limit=3, system_instruction="Say where.", **chat)
    for task in tasks:
        context = ours["samples"][task][0]["arguments"][0][0]
        assert context.count("Say where.") == 1
        assert context.count("assistant") == (3 if multiturn and "few_shot" in task else 1)
    same(ours, theirs)


def test_groups_within_groups_by_simple_evaluate(base: LoadedModel, folders: tuple[Path, Path]) -> None:
    import lm_eval

    ours, theirs = (
        lm_eval.simple_evaluate(
            model, tasks=["group_outer"], task_manager=manager(folders), limit=5, bootstrap_iters=0
        )
        for model in sides(base)
    )
    assert set(GROUPS) <= set(ours["results"])
    same(ours, theirs)


def manager(folders: tuple[Path, Path]) -> Any:
    """lm-eval's index of the tasks written for these tests and of the world's, and of no others."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=[str(folder) for folder in folders], include_defaults=False)


def sides(base: LoadedModel) -> tuple[Any, Any]:
    """The same model behind the adapter, and behind lm-eval's own class."""
    from lm_eval.models.huggingface import HFLM

    from sft_probe.observe.lm_eval import LiveModel

    stock = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=5, device="cpu")
    return LiveModel(base.model, base.tokenizer), stock


def both(base: LoadedModel, folders: tuple[Path, Path], tasks: list[str], **options: Any) -> list[Any]:
    """What lm-eval finds on either side."""
    from lm_eval.evaluator import evaluate

    loaded, found = manager(folders).load(tasks), []
    for model in sides(base):
        for task in loaded["tasks"].values():
            task.set_fewshot_seed(seed=1234)
        found.append(evaluate(model, loaded, bootstrap_iters=0, **options))
    return found


def same(ours: Any, theirs: Any) -> None:
    """Every request has the same answer, every document the same verdict, every task the same figures."""
    assert ours["samples"].keys() == theirs["samples"].keys()
    for task, samples in ours["samples"].items():
        assert samples
        for mine, own in zip(samples, theirs["samples"][task], strict=True):
            assert mine["arguments"] == own["arguments"]
            for answer, expected in zip(answers(mine), answers(own), strict=True):
                place = f"{task}, document {mine['doc_id']}"
                if isinstance(expected, float):
                    assert answer == pytest.approx(expected, abs=NATS, rel=ROUNDING), place
                else:
                    assert answer == expected, place
            assert verdicts(mine) == verdicts(own)
    assert ours["results"].keys() == theirs["results"].keys()
    for task, figures in ours["results"].items():
        for name, figure in figures.items():
            expected = theirs["results"][task][name]
            exact = name.startswith(VERDICTS) or not isinstance(expected, float)
            assert figure == (expected if exact else pytest.approx(expected, rel=NATS)), f"{task}, {name}"


def answers(sample: dict[str, Any]) -> Iterator[float | bool | str]:
    """Log-likelihoods, greedy flags, texts of one document, request by request."""
    for (response,) in sample["resps"]:
        yield from response if isinstance(response, tuple | list) else [response]


def verdicts(sample: dict[str, Any]) -> list[Any]:
    """Whether a document was answered rightly, for which nothing but equality will do."""
    return [sample[metric] for metric in sample["metrics"] if metric.startswith(VERDICTS)]
