"""Every built-in probe on real tiny models: full and LoRA, looked at through the real observer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from sft_probe.data.strata import decomposed
from sft_probe.models.load import LoadedModel
from sft_probe.registry import available, load
from sft_probe.testing.conformance import check_probe
from sft_probe.testing.tiny import tiny_base, tiny_benchmarks, tiny_data, tiny_lora, tiny_tuned

pytestmark = pytest.mark.slow

OPTIONS = {
    "instruction_following": {"prompts": 6, "conflicts": 2, "turns": 2, "max_new_tokens": 8},
    "forgetting": {"tasks": ("tiny_choice", "tiny_generate")},
    "representation_drift": {"dataset": "text"},
    "context_use": {"dataset": "passages", "max_new_tokens": 8},
    "knowledge_categories": {"dataset": "train", "limit": 8, "sampled": 2, "distractors": 3},
}
SHARES = {"E0": 0.2, "E1": 0.2, "E2": 0.2}
OURS = [name for name, entry in available("probes").items() if entry.value.startswith("sft_probe.")]


@pytest.mark.parametrize("tune", [tiny_tuned, tiny_lora])
@pytest.mark.parametrize("name", OURS)
def test_probe_conforms(name: str, tune: Callable[[LoadedModel], nn.Module], tmp_path: Path) -> None:
    base = tiny_base()
    probe = load("probes", name)(**OPTIONS.get(name, {}))
    data = decomposed(tiny_data(), SHARES, 6, seed=0)
    found = check_probe(probe, tune(base), base, data, benchmark_paths=(tiny_benchmarks(tmp_path),))
    assert any(row.value == row.value and row.value != row.null_value for row in found.rows)
