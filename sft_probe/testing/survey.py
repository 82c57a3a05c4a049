"""What works on an architecture, found out by trying. `architectures.json` holds what was found.

The listing is read by `sft-probe ls architectures`, written by `tests/golden/make_architectures.py`, and
compared with a new survey by `tests/architectures`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sft_probe.errors import UnknownArchitecture
from sft_probe.models.anatomy import Anatomy, anatomy, without_adapter
from sft_probe.observe.forward import arguments, can_branch
from sft_probe.observe.weights import effective
from sft_probe.testing.architectures import (
    check_anatomy,
    check_answers,
    check_battery,
    check_scores,
    check_states,
)
from sft_probe.testing.families import TinyFamily, family_base
from sft_probe.testing.tiny import tiny_lora, tiny_tuned


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row of `sft-probe ls architectures`.

    full, lora: "yes" if the whole battery measures such a model and leaves it as it was. adapts: kinds of
    modules that LoRA reaches. attention, mlp: below a block, what adds to the residual stream.
    shared_prefix: "yes" if choices behind one context cost one reading of it. why: what is not as usual.
    """

    family: str
    model_type: str
    full: str
    lora: str
    adapts: str
    states: str
    attention: str
    mlp: str
    shared_prefix: str
    why: str


def survey(family: TinyFamily, folder: Path) -> Architecture:
    """Try everything on a family and say what works. folder: for the files of the benchmarks."""
    base = family_base(family)
    try:
        parts = anatomy(base.model)
    except UnknownArchitecture:
        unknown = dict.fromkeys(("full", "lora", "states", "shared_prefix"), "no")
        unknown |= dict.fromkeys(("adapts", "attention", "mlp"), "")
        return Architecture(family=family.name, model_type=family.model_type, why=family.note, **unknown)
    model, adapted = base.model, tiny_lora(base, dropout=0.0)
    faults = {
        "anatomy": _fault(lambda: check_anatomy(model)),
        "states": _fault(lambda: check_states(base)),
        "scores": _fault(lambda: check_scores(model)),
        "answers": _fault(lambda: check_answers(model)),
        "full": _fault(lambda: check_battery(tiny_tuned(base), base, folder)),
        "lora": _fault(lambda: check_battery(adapted, base, folder)),
    }
    reached, passed_by = _reach(adapted, model)
    reasons = [family.note] if family.note else []
    reasons += [f"{what}: {fault}" for what, fault in faults.items() if fault]
    reasons += [f"no shared prefix: {reason}" for reason in [why_alone(model)] if reason]
    reasons += [f"LoRA does not reach {', '.join(passed_by)}"] if passed_by else []
    wrong = faults["anatomy"] or faults["scores"] or faults["answers"]
    return Architecture(
        family=family.name,
        model_type=family.model_type,
        full="no" if wrong or faults["full"] else "yes",
        lora="no" if wrong or faults["lora"] else "yes",
        adapts=", ".join(reached),
        states="no" if faults["states"] else "yes",
        attention=_places(parts, parts.attention),
        mlp=_places(parts, parts.mlp),
        shared_prefix="yes" if can_branch(model) else "no",
        why="; ".join(reasons),
    )


def why_alone(model: nn.Module) -> str:
    """Why choices behind one context are read one by one with it, or "" if they share it."""
    from transformers import DynamicCache

    if can_branch(model):
        return ""
    layers = DynamicCache(config=without_adapter(model).config).layers
    if any(hasattr(layer, "recurrent_states") for layer in layers):
        return "its state is recurrent"
    if lacking := sorted({"past_key_values", "position_ids", "attention_mask"} - arguments(model)):
        return f"its forward takes no {' and no '.join(lacking)}"
    return "its attention is local"


def _fault(check: Callable[[], object]) -> str:
    try:
        check()
    except Exception as error:  # whatever is wrong is what a survey is to tell
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ""


def _reach(adapted: nn.Module, base: nn.Module) -> tuple[list[str], list[str]]:
    """Kinds of modules in which LoRA changes a matrix, and last names of block matrices it leaves alone."""
    parts, reached, passed_by = anatomy(base), set(), set()
    for name, weight in base.named_parameters():
        place, now = parts.place(name), effective(adapted, name)
        if now.factors is not None or not torch.equal(now.weight, weight):
            reached.add(place.module)
        elif weight.ndim > 1 and 0 < place.layer <= len(parts.blocks) and "bias" not in name:
            passed_by.add(name.removesuffix(".weight").rpartition(".")[2])
    return sorted(reached), sorted(passed_by)


def _places(parts: Anatomy, modules: tuple[nn.Module | None, ...]) -> str:
    names = {
        next(name for name, inside in block.named_modules() if inside is module)
        for block, module in zip(parts.blocks, modules, strict=True)
        if module is not None
    }
    some = "" if None not in modules or not names else " (some blocks)"
    return ", ".join(sorted(names)) + some
