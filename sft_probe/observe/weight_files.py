"""What training added to each weight, read from the safetensors files of two checkpoints, tensor by tensor.

No model is loaded: a pair of 7 B parameters takes the memory of its largest tensor. Files are read in ranges,
not mapped, because mapped pages stay in a process's memory as long as the system likes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sft_probe.errors import ModelError
from sft_probe.models.anatomy import Anatomy, anatomy
from sft_probe.observe.observations import WeightDelta, WeightsSeen

Matrix = NDArray[np.float32]

PIECE = 2**22  # numbers that are read and converted at once
STORED = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # bfloat16 is the upper half of float32
OLDER = {"lm_head.weight": "embed_out.weight"}
INSIDE_ADAPTER = "base_model.model."  # what peft puts before the names of the model it wraps


class Stored(NamedTuple):
    """Where a tensor lies. offset: of its first byte in the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class WeightFiles:
    """The tensors of a checkpoint folder, in one safetensors file or in shards."""

    folder: Path
    stem: str = "model"

    @cached_property
    def stored(self) -> Mapping[str, Stored]:
        """Name -> where it lies. Raises: ModelError if the files are not there or not safetensors."""
        found: dict[str, Stored] = {}
        for file in self._files():
            found |= _header(file)
        return found

    def read(self, name: str) -> Iterator[Matrix]:
        """A tensor as flat float32 pieces, in order. Raises: ModelError for a type that is not a float."""
        file, dtype, shape, offset = self.stored[name]
        if dtype not in STORED:
            raise ModelError(f"'{name}' is stored as {dtype}; only floats can be compared.", file=file)
        kind, left = np.dtype(STORED[dtype]), prod(shape)
        while left:
            piece = np.fromfile(file, dtype=kind, count=min(left, PIECE), offset=offset)
            if not piece.size:
                raise ModelError(f"the file ends inside of '{name}'.", file=file, remedy="Fetch it again.")
            left, offset = left - piece.size, offset + piece.nbytes
            if dtype == "BF16":
                yield (piece.astype(np.uint32) << 16).view(np.float32)
            else:
                yield piece.astype(np.float32, copy=False)

    def whole(self, name: str) -> Matrix:
        """A tensor in its shape, as float32."""
        shape = self.stored[name].shape
        values, at = np.empty(prod(shape), dtype=np.float32), 0
        for piece in self.read(name):
            values[at : at + piece.size] = piece
            at += piece.size
        return values.reshape(shape)

    def _files(self) -> list[Path]:
        index, single = (self.folder / f"{self.stem}.safetensors{end}" for end in (".index.json", ""))
        if index.is_file():
            names = json.loads(index.read_text("utf-8"))["weight_map"].values()
            return [self.folder / name for name in dict.fromkeys(names)]
        if single.is_file():
            return [single]
        raise ModelError(f"the folder holds no {single.name}, nor shards of it.", file=self.folder)


def weights_on_disk(base: str | Path, tuned: str | Path) -> WeightsSeen:
    """Compare two checkpoint folders lazily; `tuned` may hold a LoRA adapter.

    Gives what `weights_seen` gives on the loaded models. Raises: ModelError if a folder holds no safetensors,
    the architecture is not known, a tensor is missing or of another shape, or the adapter is of another kind.
    """
    before, tuned = WeightFiles(Path(base)), Path(tuned)
    shapes, parts, tied = _skeleton(before.folder)
    names = _names(shapes, before)
    if (tuned / "adapter_config.json").is_file():
        return WeightsSeen(iterate=lambda: _adapter_deltas(before, names, _Adapter(tuned), parts))
    after = WeightFiles(tuned)
    _require_same(before, after, names, tied)
    return WeightsSeen(iterate=lambda: _deltas(before, after, names, parts))


def _deltas(
    before: WeightFiles, after: WeightFiles, names: Mapping[str, str], parts: Anatomy
) -> Iterator[WeightDelta]:
    for name, stored in names.items():
        base, at = before.whole(stored), 0
        delta = np.empty_like(base)
        flat, old = delta.reshape(-1), base.reshape(-1)
        for piece in after.read(stored):
            np.subtract(piece, old[at : at + piece.size], out=flat[at : at + piece.size])
            at += piece.size
        place = parts.place(name)
        yield WeightDelta(name=name, layer=place.layer, module=place.module, base=base, delta=delta)


def _adapter_deltas(
    before: WeightFiles, names: Mapping[str, str], adapter: _Adapter, parts: Anatomy
) -> Iterator[WeightDelta]:
    adapter.require_known({*names})
    for name, stored in names.items():
        base, place = before.whole(stored), parts.place(name)
        factors = adapter.factors(name)
        if factors:
            delta = factors[0] @ factors[1]
        elif name in adapter.replaced:
            delta = adapter.files.whole(INSIDE_ADAPTER + name) - base
        else:
            delta = np.zeros_like(base)
        yield WeightDelta(
            name=name, layer=place.layer, module=place.module, base=base, delta=delta, factors=factors
        )


class _Adapter:
    """A LoRA adapter folder. Other adapters must be loaded, because only peft can merge them."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        self.files = WeightFiles(folder, "adapter_model")
        odd = [key for key in ("use_dora", "alora_invocation_tokens", "lora_bias") if self.config.get(key)]
        if self.config.get("peft_type") != "LORA" or odd or self.config.get("rank_pattern"):
            raise ModelError(
                "only plain LoRA adapters can be read without loading the model.",
                file=folder,
                remedy="Use `weights_seen` on the loaded model.",
            )
        inside = {name.removeprefix(INSIDE_ADAPTER) for name in self.files.stored}
        self.replaced = {name for name in inside if ".lora_" not in name}
        self.adapted = {name.rpartition(".lora_")[0] + ".weight" for name in inside - self.replaced}

    def require_known(self, names: set[str]) -> None:
        """Raises: ModelError for a weight of the adapter that the base does not have."""
        if unknown := sorted((self.replaced | self.adapted) - names):
            raise ModelError(f"the adapter changes '{unknown[0]}', which the base does not have.")

    def factors(self, name: str) -> tuple[Matrix, Matrix] | None:
        """(out, r) and (r, in) factors of what is added to a weight, scaling inside the first."""
        if name not in self.adapted:
            return None
        stem = INSIDE_ADAPTER + name.removesuffix("weight")
        right, left = (self.files.whole(f"{stem}lora_{part}.weight") for part in "AB")
        rank, alpha = right.shape[0], self.config["lora_alpha"]
        scaling = np.float32(alpha / rank**0.5 if self.config.get("use_rslora") else alpha / rank)
        left = left * scaling
        return (right.T, left.T) if self.config.get("fan_in_fan_out") else (left, right)


def _skeleton(folder: Path) -> tuple[dict[str, tuple[int, ...]], Anatomy, bool]:
    """From a config alone: shapes of the parameters, parts of the model, whether its embeddings are tied."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        raise ModelError("the folder holds no config.json, so it is no Hugging Face model.", file=folder)
    config: Any = AutoConfig.from_pretrained(folder)
    make: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model: Any = make.from_config(config)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    return shapes, anatomy(model), bool(config.get_text_config().tie_word_embeddings)


def _names(shapes: Mapping[str, tuple[int, ...]], files: WeightFiles) -> dict[str, str]:
    """Parameter -> name under which the files hold it.

    Some are saved without the name of the inner model; GPT-NeoX saves its unembedding under an older name.
    """
    names: dict[str, str] = {}
    for name, shape in shapes.items():
        known = (name, name.partition(".")[2], OLDER.get(name, ""))
        stored = next((n for n in known if n in files.stored), None)
        if stored is None or files.stored[stored].shape != shape:
            found = files.stored[stored].shape if stored else None
            raise ModelError(
                f"the checkpoint holds '{name}' with shape {found}; its config says {shape}.",
                file=files.folder,
                remedy="Use `weights_seen` on the loaded model.",
            )
        names[name] = stored
    return names


def _require_same(before: WeightFiles, after: WeightFiles, names: Mapping[str, str], tied: bool) -> None:
    """Raises: ModelError if a tensor is missing, of another shape, or only in the tuned checkpoint."""
    for stored in names.values():
        ours, theirs = before.stored[stored].shape, after.stored.get(stored)
        if theirs is None or theirs.shape != ours:
            raise ModelError(
                f"it is not a fine-tuned version of {before.folder}: '{stored}' has shape "
                f"{theirs.shape if theirs else None} here and {ours} in the base.",
                file=after.folder,
            )
    more = sorted(after.stored.keys() - before.stored.keys())
    if more and not (tied and len(more) == 1):  # a tied unembedding may be saved once more
        raise ModelError(f"it holds '{more[0]}', which the base does not.", file=after.folder)


def _header(file: Path) -> dict[str, Stored]:
    """The tensors of one file. See github.com/huggingface/safetensors, section Format."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, file.stat().st_size)))
    except (OSError, ValueError) as error:
        raise ModelError("this is not a readable safetensors file.", file=file) from error
    return {
        name: Stored(file, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }
