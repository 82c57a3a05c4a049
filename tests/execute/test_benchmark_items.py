"""What lm-eval finds about every document, from the model to the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sft_probe.execute.local import run_study
from sft_probe.store.runs import RunStore
from sft_probe.study.spec import StudySpec
from sft_probe.testing.tiny import tiny_benchmarks


def test_documents_of_the_users_tasks_are_items_of_the_store(
    study: Callable[..., StudySpec], data_files: dict[str, Path], tmp_path: Path
) -> None:
    folder = tiny_benchmarks(tmp_path / "tasks")
    files = {split: str(path) for split, path in data_files.items()}
    tasks = ["tiny_choice", "tiny_generate", "world_rule"]
    spec = study(
        data={**files, "max_test_rows": 8, "include_path": [str(folder)]},
        arms={"full": {}},
        seeds=[0],
        probes=[{"forgetting": {"tasks": tasks, "limit": 6}}],
    )
    run_study(spec)
    found = RunStore(spec.output_dir).items()
    assert set(found.probe) == {"forgetting"}
    found = found[found.metric == "correct"]
    assert found.groupby(["run", "step", "dataset"]).size().to_dict() == {
        (run, step, task): 6
        for run, step in (("base", 0), ("full-seed0", 0), ("full-seed0", 3))
        for task in tasks
    }
    choice = found[found.dataset == "tiny_choice"]
    assert set(choice.item) == {f"d{i}" for i in range(6)}
    assert set(choice.cluster) == {"c0", "c1", "c2"}
    assert ((choice.prediction == choice.target) == (choice.value == 1)).all()
    assert choice.prompt.str.startswith("Question: Where is the").all()
