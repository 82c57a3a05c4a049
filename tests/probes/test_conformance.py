"""Every built-in probe on real tiny models: full and LoRA, looked at through the real observer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.data.strata import decomposed
from sft_probe.models.load import LoadedModel
from sft_probe.registry import available, load
from sft_probe.testing.conformance import check_probe
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_data, tiny_lora, tiny_tuned

pytestmark = pytest.mark.slow

OPTIONS = {
    "instruction_following": {"prompts": 6, "conflicts": 2, "turns": 2, "max_new_tokens": 8},
    "refusal": {"dataset": "marked", "max_new_tokens": 6, "depths": (1,)},
    "social_bias": {"dataset": "marked"},
    "preference": {"dataset": "marked"},
    "forgetting": {"tasks": ("tiny_choice", "tiny_generate")},
    "forgetting_curve": {"tasks": ("tiny_choice",)},
    "lost_items": {"tasks": ("tiny_choice", "tiny_generate"), "shots": 1},
    "interpolation": {"tasks": ("tiny_choice",), "limit": 6},
    "knowledge_loss": {"dataset": "train", "distractors": 3},
    "representation_drift": {"dataset": "text"},
    "layer_readouts": {"dataset": "train"},
    "logit_lens": {"fit": "test", "steps": 2},
    "grafting": {"tasks": ("tiny_choice",), "limit": 4, "task_limit": 2, "most": 2, "width": 1},
    "context_use": {"dataset": "passages", "max_new_tokens": 8},
    "knowledge_categories": {"dataset": "train", "limit": 8, "sampled": 2, "distractors": 3},
    "intruder_shrinkage": {"epsilon": 0.95, "limit": 4},
    "mode_connectivity": {"points": 3, "limit": 4},
}
SHARES = {"E0": 0.2, "E1": 0.2, "E2": 0.2}
OURS = [name for name, entry in available("probes").items() if entry.value.startswith("sft_probe.")]


def marked(data: DataSets) -> DataSets:
    """The data with test rows that say of themselves what probes of preferences ask for."""
    rows = tuple(
        replace(
            row,
            choices=row.choices[:2],
            target=row.choices[0],
            meta={"refuse": i % 2 == 0, "bias_pair": True, "rejected": row.choices[1]},
        )
        for i, row in enumerate(data["test"])
    )
    return DataSets({**data, "marked": Dataset("marked", rows)})


@pytest.mark.parametrize("tune", [tiny_tuned, tiny_lora])
@pytest.mark.parametrize("name", OURS)
def test_probe_conforms(name: str, tune: Callable[[LoadedModel], nn.Module], tmp_path: Path) -> None:
    base = tiny_base()
    probe = load("probes", name)(**OPTIONS.get(name, {}))
    data = marked(decomposed(tiny_data(), SHARES, 6, seed=0))
    found = check_probe(probe, tune(base), base, data, benchmark_paths=(tiny_benchmarks(tmp_path),))
    assert any(row.value == row.value and row.value != row.null_value for row in found.rows)
