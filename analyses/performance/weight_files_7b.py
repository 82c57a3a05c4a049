"""Two checkpoints of 7 B shape, sparse on disk, and their comparison in a process of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
FILLED = 8  # rows of each matrix that are not zero
SHARDS = 8


def write_pair(folder: Path) -> None:
    """Write `base` and `tuned`: bfloat16, sharded, random in the first rows of a matrix, holes elsewhere."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(**SHAPE, tie_word_embeddings=False)
    make: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = make.from_config(config)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    names = list(shapes)
    for seed, side in enumerate(("base", "tuned")):
        (folder / side).mkdir(parents=True)
        config.save_pretrained(folder / side)
        weight_map = {}
        for shard in range(SHARDS):
            own = names[shard * len(names) // SHARDS : (shard + 1) * len(names) // SHARDS]
            file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
            _write_shard(folder / side / file, {name: shapes[name] for name in own}, seed)
            weight_map |= dict.fromkeys(own, file)
        index = folder / side / "model.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), "utf-8")


def _write_shard(path: Path, shapes: dict[str, tuple[int, ...]], seed: int) -> None:
    rng, header, at = np.random.default_rng(seed), {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            file.seek(8 + len(text) + header[name]["data_offsets"][0])
            rows = shape if len(shape) == 1 else (FILLED, shape[1])
            values = rng.standard_normal(rows, dtype=np.float32)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
        file.truncate(8 + len(text) + at)


def measure(folder: str) -> dict[str, Any]:
    """Run `weight_change` on the files; time and what it found."""
    import torch

    from sft_probe.observe.needs import Weights
    from sft_probe.observe.observations import Observed
    from sft_probe.observe.weight_files import WeightFiles, weights_on_disk
    from sft_probe.probes.weight_change import WeightChange

    torch.set_num_threads(1)
    start = time.perf_counter()
    seen = Observed({Weights(): weights_on_disk(Path(folder) / "base", Path(folder) / "tuned")})
    rows = WeightChange().measure(seen, seen).rows
    stored = WeightFiles(Path(folder) / "base").stored
    whole = next(row.value for row in rows if row.metric == "relative_norm" and row.layer == -1)
    return {
        "seconds": time.perf_counter() - start,
        "rows": len(rows),
        "relative_norm": whole,
        "parameters": sum(int(np.prod(entry.shape)) for entry in stored.values()),
        "tensors": len(stored),
        "shards": len({entry.file for entry in stored.values()}),
    }
