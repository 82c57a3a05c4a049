"""Load a base model and what was trained from it. Safetensors only; no remote code unless asked for."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sft_probe.errors import ModelError
from sft_probe.models.digest import weights_digest
from sft_probe.models.sharing import own_weights, shared_copy, without_adapters
from sft_probe.study.spec import ModelSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PLANTED = "planted"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A base model that nobody trains: in eval mode, without gradients.

    path: folder or hub id. digest: sha256 of its weights as loaded (after the cast to the asked dtype).
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    path: str
    digest: str
    device: torch.device


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, else MPS, else the CPU. Raises: ModelError if the named device is not there."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in found.items() if there))
    if not found.get(name.partition(":")[0], False):
        there = ", ".join(device for device, there in found.items() if there)
        raise ModelError(f"there is no device '{name}' here.", field="device", remedy=f"Found: {there}.")
    return torch.device(name)


def load_base(spec: ModelSpec) -> LoadedModel:
    """Load the base model of a study with its tokenizer.

    Raises: ModelError if the folder or hub id is not there, holds no safetensors, needs remote code that
    was not asked for, or does not fit its tokenizer.
    """
    path, device = model_path(spec.model_name_or_path), choose_device(spec.device)
    tokenizer = load_tokenizer(path, trust_remote_code=spec.trust_remote_code)
    model = _load_model(path, dtype=spec.dtype, trust_remote_code=spec.trust_remote_code)
    embedding: Any = model.get_input_embeddings()
    rows = embedding.weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer knows {len(tokenizer)} tokens, but the model embeds {rows}.",
            file=path,
            remedy="Use the tokenizer the model was trained with.",
        )
    return pristine(model, tokenizer, path=path, device=device)


def pristine(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, path: str, device: torch.device
) -> LoadedModel:
    """A model in memory as a base: moved to the device, frozen and in eval mode."""
    frozen: Any = model
    return LoadedModel(
        model=frozen.to(device).requires_grad_(False).eval(),
        tokenizer=tokenizer,
        path=path,
        digest=weights_digest(model),
        device=device,
    )


def fresh_copy(loaded: LoadedModel) -> nn.Module:
    """An independent, trainable copy of a base model. Training it leaves the base as it is."""
    trainable: nn.Module = copy.deepcopy(loaded.model)
    return trainable.requires_grad_(True).train()


def trainable_copy(loaded: LoadedModel) -> nn.Module:
    """Like `fresh_copy`, but over the base's own weights in memory.

    Before it is trained, `own_weights` must give it storage of its own for what is trained.
    """
    return shared_copy(loaded.model).requires_grad_(True).train()


def base_inside(
    adapted: nn.Module, tokenizer: PreTrainedTokenizerBase, *, path: str, digest: str = ""
) -> LoadedModel:
    """The base that a peft model was made from, without a second copy of its weights.

    digest: of the pristine base, if known. The peft model stays as it is; it may be trained on, as long as
    only its adapters are.  Raises: ModelError if the weights under the adapters are no longer the base's.
    """
    model: Any = without_adapters(adapted)
    loaded = pristine(model, tokenizer, path=path, device=next(model.parameters()).device)
    if digest and loaded.digest != digest:
        raise ModelError(
            "the weights under the adapters are not those of the base.",
            file=path,
            remedy="Load the base from where it was trained from.",
        )
    return loaded


def load_tuned(path: str | Path, base: LoadedModel, *, trust_remote_code: bool = False) -> nn.Module:
    """A fine-tuned model next to its base: a full checkpoint folder, a peft adapter folder, or a hub id.

    Returns it in eval mode on the base's device and in the base's dtype.
    Raises: ModelError if it is not there or was not trained from this architecture.
    """
    path = model_path(str(path))
    if (Path(path) / "adapter_config.json").is_file():
        model: nn.Module = _load_adapter(path, base)
    else:
        dtype = str(base.model.dtype).removeprefix("torch.")
        model = _load_model(path, dtype=dtype, trust_remote_code=trust_remote_code)
        _require_same_shapes(model, base, path)
    return model.to(base.device).requires_grad_(False).eval()


def model_path(name: str) -> str:
    """Folder or hub id of a model name; `planted` is the folder that ships with the package.

    Raises: ModelError if a folder is meant and is not there.
    """
    if name == PLANTED:
        folder = Path(str(resources.files("sft_probe"))) / "world" / "base"
        if not (folder / "config.json").is_file():
            raise ModelError("this installation carries no planted base model.", remedy="Reinstall it.")
        return str(folder)
    means_folder = name.startswith((".", "~", os.sep)) or name.count("/") > 1
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / config).is_file() for config in ("config.json", "adapter_config.json")):
            raise ModelError("the folder holds no config.json, so it is no Hugging Face model.", file=folder)
        return str(folder)
    if means_folder:
        raise ModelError(
            "there is no such model folder.",
            file=name,
            remedy=f"Give a folder with config.json and safetensors, a hub id, or '{PLANTED}'.",
        )
    return name


def load_tokenizer(path: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, with a pad token. The vocabulary is not changed: the end-of-text token pads.

    Raises: ModelError.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # transformers raises OSError, ValueError, ImportError, KeyError, ... here
        raise _not_loaded("tokenizer", path, error) from error
    return with_pad_token(tokenizer, path)


def with_pad_token(tokenizer: PreTrainedTokenizerBase, path: str) -> PreTrainedTokenizerBase:
    """The tokenizer itself, padding by its end-of-text token if it has no other. Raises: ModelError."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ModelError("the tokenizer has neither a pad, an end-of-text nor an unknown token.", file=path)
    return tokenizer


def _load_model(path: str, *, dtype: str, trust_remote_code: bool) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        with _no_progress_bar():
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, trust_remote_code=trust_remote_code, use_safetensors=True
            )
    except Exception as error:  # transformers raises OSError, ValueError, ImportError, KeyError, ... here
        raise _not_loaded("model", path, error) from error
    return model


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """transformers draws a bar of its own, across that of a running study."""
    from transformers import utils

    logging: Any = utils.logging
    drawing = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if drawing:
            logging.enable_progress_bar()


def _load_adapter(path: str, base: LoadedModel) -> nn.Module:
    from peft import PeftModel
    from safetensors import safe_open

    if not (Path(path) / "adapter_model.safetensors").is_file():
        raise ModelError("the adapter folder holds no adapter_model.safetensors.", file=path)
    try:
        with safe_open(Path(path) / "adapter_model.safetensors", framework="pt") as weights:
            names = list(weights.keys())
        # An adapter may bring biases or embeddings of its own, which peft writes in place.
        stored = [name.replace(".base_layer.", ".") for name in names]
        inside: Any = own_weights(shared_copy(base.model), base.model, named=stored)
        adapted: nn.Module = PeftModel.from_pretrained(inside, path)
    except Exception as error:  # peft raises ValueError, KeyError, RuntimeError, ... here
        raise _not_loaded("adapter", path, error) from error
    if weights_digest(base.model) != base.digest:
        raise ModelError("loading this adapter wrote into the weights of the base.", file=path)
    return adapted


def _require_same_shapes(model: nn.Module, base: LoadedModel, path: str) -> None:
    ours = {name: tuple(tensor.shape) for name, tensor in base.model.named_parameters()}
    theirs = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    if different := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
        name = different[0]
        raise ModelError(
            f"it is not a fine-tuned version of {base.path}: '{name}' has shape {theirs.get(name)} here "
            f"and {ours.get(name)} in the base.",
            file=path,
        )


def _not_loaded(what: str, path: str, error: Exception) -> ModelError:
    reason: Any = str(error).strip().splitlines() or [type(error).__name__]
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    hint = "HF_HUB_OFFLINE is set, so only files on this machine are used." if offline else ""
    if "trust_remote_code" in str(error):
        hint = "Set `trust_remote_code: true` if you trust the code in this repository."
    elif not Path(path).is_dir() and not offline:
        hint = "Give a local folder, or check the hub id and the network."
    return ModelError(f"the {what} cannot be loaded: {reason[0].rstrip('.')}.", file=path, remedy=hint)
