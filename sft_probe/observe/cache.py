"""What the base shows, kept on disk under a name made of all that decides it.

A file holds one observation: the sha256 of what follows and the name of the look it was made in, a line
break, then safetensors (arrays, and one that is the JSON of all else). Nothing is unpickled. A file whose
digest does not fit is not trusted: the base is looked at again and the file replaced. Files appear by rename,
so processes may share a folder. What was kept of a look counts once all of it is there: how a sum rounds
depends on what shares a batch, so a look that was cut short is made again with the same company.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load, save

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.observe import observations
from sft_probe.observe.needs import Benchmark, Need, Standing, data_of
from sft_probe.observe.observations import Observation
from sft_probe.store.atomic import write_bytes

if TYPE_CHECKING:
    from sft_probe.models.load import LoadedModel

FORMAT = 4  # raised when an observation comes to mean something else under the same fields
SUFFIX = ".observation"
WHOLE = ".whole"
STRUCTURE = "structure"
VARIABLE = "SFT_PROBE_CACHE"
OFF = ("0", "off", "no", "none")

logger = logging.getLogger(__name__)


def cache_folder(output_dir: Path) -> Path | None:
    """`<output_dir>/cache`, or the folder that SFT_PROBE_CACHE names; None where it says "off"."""
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() in OFF:
        return None
    return Path(named).expanduser() if named else output_dir / "cache"


def cache_size(folder: Path) -> tuple[int, int]:
    """Number of entries and of bytes."""
    sizes = [path.stat().st_size for path in folder.glob(f"*{SUFFIX}")] if folder.is_dir() else []
    return len(sizes), sum(sizes)


@dataclass(frozen=True)
class BaseCache:
    """Observations of one base on the data sets of one study. A folder that cannot be written is only read.

    chat_template: where the study gives one; else the tokenizer's own counts.
    benchmark_paths: folders with lm-eval tasks.
    """

    folder: Path
    base: LoadedModel
    data: DataSets
    chat_template: str | None = None
    benchmark_paths: tuple[Path, ...] = ()

    def get(self, need: Need) -> Observation | None:
        """What is kept for a need, or None if nothing is, or nothing that can be trusted."""
        if isinstance(need, Standing):
            return None
        path = self.path(need)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        head, _, payload = content.partition(b"\n")
        digest, _, look = head.decode(errors="replace").partition(" ")
        if hashlib.sha256(payload).hexdigest() != digest:
            logger.warning("%s is damaged; the base is looked at again", path)
            return None
        if not (self.folder / f"{look}{WHOLE}").is_file():
            return None
        return decode(payload, self._examples(need))

    def put(self, seen: Mapping[Need, Observation]) -> None:
        """Keep what one look at the base has shown.

        Weights and unembedding are not kept: they are the base itself.
        """
        kept = {self.path(need): need for need in seen if not isinstance(need, Standing)}
        if not kept:
            return
        look = hashlib.sha256("\n".join(sorted(path.name for path in kept)).encode()).hexdigest()
        try:
            for path, need in kept.items():
                payload = encode(seen[need], self._examples(need))
                write_bytes(path, f"{hashlib.sha256(payload).hexdigest()} {look}\n".encode() + payload)
            write_bytes(self.folder / f"{look}{WHOLE}", b"")
        except OSError as error:
            logger.warning("%s cannot be written, so nothing is kept there: %s", self.folder, error)

    def path(self, need: Need) -> Path:
        """Where the observation of a need stands."""
        return self.folder / (self.key(need) + SUFFIX)

    def key(self, need: Need) -> str:
        """sha256 over all that decides what the base shows for a need."""
        return _digest(self._identity | {"need": repr(need), "data": self._content(need)})

    @cached_property
    def _identity(self) -> dict[str, Any]:
        model, tokenizer = self.base.model, self.base.tokenizer
        config = model.config.to_dict()
        for irrelevant in ("_name_or_path", "transformers_version"):
            config.pop(irrelevant, None)
        return {
            "format": FORMAT,
            "versions": {name: version(name) for name in ("torch", "transformers")},
            "weights": self.base.digest,
            "config": config,
            "adapter": repr(getattr(model, "peft_config", None)),
            "tokenizer": tokenizer_digest(tokenizer),
            "template": self.chat_template or tokenizer.chat_template,
            "dtype": str(model.dtype),
            "attention": str(getattr(model.config, "_attn_implementation", "")),
            "device": self.base.device.type,
        }

    def _content(self, need: Need) -> list[str]:
        """Digests of the rows that are read; of whole data sets where interventions draw from them."""
        if getattr(need, "under", ()):
            rows = [self.data[name].digest for name in sorted(data_of(need))]
        else:
            rows = [Dataset("", self._examples(need)).digest]
        if isinstance(need, Benchmark):
            from sft_probe.observe.lm_eval_tasks import tasks_digest

            rows.append(tasks_digest(need.tasks, self.benchmark_paths, need.num_fewshot))
        return rows

    def _examples(self, need: Need) -> tuple[Example, ...]:
        dataset = getattr(need, "dataset", None)
        return self.data[dataset].examples[: getattr(need, "limit", None)] if dataset else ()


def tokenizer_digest(tokenizer: Any) -> str:
    """sha256 over vocabulary, merges, normalisation and special tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return _digest([type(tokenizer).__name__, content, tokenizer.special_tokens_map, tokenizer.eos_token_id])


def encode(observation: Observation, examples: Sequence[Example]) -> bytes:
    """An observation as safetensors; its examples as places among those given. Raises: TypeError."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    places = {id(example): place for place, example in enumerate(examples)}

    def plain(value: Any) -> Any:
        match value:
            case Example():
                return {"example": places[id(value)]}
            case np.ndarray() if value.dtype.kind in "biuf":
                arrays[name := str(len(arrays))] = np.ascontiguousarray(value).reshape(value.shape)
                return {"array": name}
            case tuple():
                return {"tuple": [plain(part) for part in value]}
            case dict():
                return {"dict": [[plain(key), plain(part)] for key, part in value.items()]}
            case None | bool() | int() | str() | float():
                return value.item() if isinstance(value, np.generic) else value
        if is_dataclass(value) and (kind := type(value).__name__) in _KINDS:
            return {"kind": kind, "fields": {f.name: plain(getattr(value, f.name)) for f in fields(value)}}
        raise TypeError(f"a {type(value).__name__} cannot be kept")

    structure = json.dumps(plain(observation), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return save({**arrays, STRUCTURE: np.frombuffer(structure, dtype=np.uint8)})


def decode(payload: bytes, examples: Sequence[Example]) -> Observation:
    """The observation that `encode` was given."""
    arrays = load(payload)

    def value(node: Any) -> Any:
        match node:
            case {"example": place}:
                return examples[place]
            case {"array": name}:
                return arrays[name]
            case {"tuple": parts}:
                return tuple(value(part) for part in parts)
            case {"dict": pairs}:
                return {value(key): value(part) for key, part in pairs}
            case {"kind": kind, "fields": parts}:
                return _KINDS[kind](**{name: value(part) for name, part in parts.items()})
        return node

    structure = arrays.pop(STRUCTURE).tobytes().decode("utf-8", "surrogatepass")
    observation: Observation = value(json.loads(structure))
    return observation


_KINDS: Mapping[str, Any] = {
    name: kind for name, kind in vars(observations).items() if name.endswith(("Seen", "Item"))
}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
