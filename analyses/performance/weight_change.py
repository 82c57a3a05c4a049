"""Weight change of two checkpoints: against weightwatcher, and a pair of 7 B shape tensor by tensor."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from typing import Any

import numpy as np
import torch
from torch import nn

from analyses.performance.bench import (
    BENCH,
    Result,
    Row,
    Settings,
    at_least,
    at_most,
    in_fresh_process,
    race,
    require,
    speedup,
)
from analyses.performance.weight_files_7b import SHAPE, write_pair
from sft_probe.measures.spectra import squared_norm, stable_rank
from sft_probe.observe.needs import Weights
from sft_probe.observe.observations import Observed
from sft_probe.observe.weights import weights_seen
from sft_probe.probes.weight_change import WeightChange

MIDDLE = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 4, "vocab_size": 2048}


def run(settings: Settings) -> Result:
    """Time on two models in memory, memory on two checkpoints on disk."""
    versions = require(weightwatcher=BENCH)
    base, tuned = models()
    same = agreement(tuned, base)
    timings = race(
        {
            "ours": lambda: ours(tuned, base),
            "weightwatcher": lambda: weightwatcher(tuned, base),
            "svd": lambda: by_svd(tuned, base),
        },
        min(5, settings.repetitions),
    )
    count = sum(weight.numel() for weight in base.parameters())
    case = f"{count / 1e6:.0f} M parameters, {len(matrices(tuned, base))} matrices"
    write_pair(settings.work / "pair")
    large = in_fresh_process(
        "analyses.performance.weight_files_7b:measure", folder=str(settings.work / "pair")
    )
    return Result(
        name="weight_change",
        question="How long does it take to say how much every weight changed, and over how many directions?",
        goal="at least 5 times as fast as weightwatcher; a pair of 7 B shape under 2 GB",
        rows=(
            speedup(f"weightwatcher, {case}", timings["ours"], timings["weightwatcher"], at_least(5), same),
            speedup(
                f"norms and stable ranks by full SVD, {case}", timings["ours"], timings["svd"], None, same
            ),
            Row(
                case=f"a pair of {large['parameters'] / 1e9:.2f} B parameters in bfloat16, "
                f"{large['tensors']} tensors in {large['shards']} shards each",
                value=large["peak_rss"] / 1e9,
                unit="GB at the peak",
                goal=at_most(2),
                same=f"{large['rows']} rows, whole-model norm {large['relative_norm']:.2e}",
            ),
            Row(case="the same pair, time", value=large["seconds"], unit="s"),
        ),
        setting={"model": f"random Llama, {MIDDLE}, float32; noise of 1 % added", "7 B shape": SHAPE},
        versions=versions,
        notes=NOTES,
    )


def models() -> tuple[Any, Any]:
    """A base and a copy with noise on every weight."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**MIDDLE, num_attention_heads=8, tie_word_embeddings=False))
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        for weight in tuned.parameters():
            weight.add_(0.01 * weight.std() * torch.randn_like(weight))
    return base, tuned


def ours(tuned: nn.Module, base: nn.Module) -> int:
    """The probe, on every weight."""
    seen = Observed({Weights(): weights_seen(tuned, base)})
    return len(WeightChange().measure(seen, seen).rows)


def weightwatcher(tuned: nn.Module, base: nn.Module) -> Any:
    """weightwatcher's analysis of what was added to the base, as its documentation has it.

    It also fits a power law to every spectrum, which cannot be switched off.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from weightwatcher import WeightWatcher

        logging.getLogger("weightwatcher").setLevel(logging.CRITICAL)
        return WeightWatcher(model=tuned, base_model=base).analyze()


def by_svd(tuned: nn.Module, base: nn.Module) -> dict[str, tuple[float, float]]:
    """Norm and stable rank of every changed matrix from all its singular values, with nothing else."""
    found = {}
    for name, delta in matrices(tuned, base).items():
        squares = np.linalg.svd(delta, compute_uv=False).astype(np.float64) ** 2
        found[name] = (float(squares.sum()), float(squares.sum() / squares[0]))
    return found


def matrices(tuned: nn.Module, base: nn.Module) -> dict[str, Any]:
    """What was added to every matrix."""
    before = dict(base.named_parameters())
    pairs = {name: (weight, before[name]) for name, weight in tuned.named_parameters() if weight.ndim == 2}
    return {name: (new.detach() - old.detach()).numpy() for name, (new, old) in pairs.items()}


def agreement(tuned: nn.Module, base: nn.Module) -> str:
    """Stable ranks of all three, matrix by matrix, checked before anything is timed."""
    exact = by_svd(tuned, base)
    deltas = matrices(tuned, base)
    svd = max(
        abs(stable_rank(deltas[name]) / rank - 1) + abs(squared_norm(deltas[name]) / norm - 1)
        for name, (norm, rank) in exact.items()
    )
    table = weightwatcher(tuned, base)
    theirs = {f"{row.longname}.weight": row.stable_rank for row in table.itertuples()}
    shared = [name for name in theirs if name in exact]
    ww = max(abs(theirs[name] / exact[name][1] - 1) for name in shared)
    if not (svd < 1e-3 and ww < 1e-2 and len(shared) >= len(exact) - 2):
        raise AssertionError(f"stable ranks differ: SVD {svd}, weightwatcher {ww} on {len(shared)} matrices")
    return f"stable ranks to {ww:.0e} ({len(shared)} shared matrices), with SVD to {svd:.0e}"


NOTES = (
    "weightwatcher analyses the difference to a base model (`base_model=`) by all singular values and fits a "
    "power law to each spectrum; the fit cannot be switched off, so the same two numbers per matrix from a "
    "full SVD stand beside it.",
    "Here the largest singular value comes from an eigenvalue decomposition of the Gram matrix up to a "
    "shorter side of 256, beyond by Lanczos iteration.",
    "The pair of 7 B shape is sparse on disk: every matrix holds 8 rows of random numbers, the rest are "
    "holes that read as zeros. Reading, conversion and norms take the same time as on dense files in the "
    "page cache; the Lanczos iteration takes more steps on dense matrices, so the time is a lower "
    "bound. The memory is the same.",
)
