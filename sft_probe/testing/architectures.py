"""What every architecture must pass. Packages that register one call `check_architecture` in their tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sft_probe.data.chat import render
from sft_probe.models.anatomy import Anatomy, anatomy, residual
from sft_probe.models.load import LoadedModel
from sft_probe.observe.forward import arguments
from sft_probe.observe.generating import generate
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import Need, States
from sft_probe.observe.observations import Observed
from sft_probe.observe.observer import Observer
from sft_probe.observe.passages import Budget
from sft_probe.observe.scoring import Question, score
from sft_probe.probes.base import About, Probe
from sft_probe.probes.battery import make_probe
from sft_probe.schema import Measurements
from sft_probe.testing.conformance import check_probe
from sft_probe.testing.tiny import tiny_benchmarks, tiny_data

TOLERANCE = 1e-5  # nats, or units of a state, beside the same share of the number
BATTERY: dict[str, dict[str, object]] = {
    "task_alignment": {"max_new_tokens": 6},
    "format_adherence": {"max_new_tokens": 6},
    "forgetting": {"tasks": ("tiny_choice", "tiny_generate"), "limit": 3},
    "representation_drift": {"dataset": "text"},
    "token_shift": {"max_new_tokens": 6},
    "weight_change": {},
}


def check_architecture(base: LoadedModel) -> None:
    """Anatomy, states, scores and answers of a model, against its own plain forward pass.

    Raises: AssertionError.
    """
    check_anatomy(base.model)
    check_states(base)
    check_scores(base.model)
    check_answers(base.model)


def check_anatomy(model: nn.Module) -> None:
    """Every weight has a place; where a block is attention and MLP, their outputs sum to what it adds."""
    parts, names = anatomy(model), [name for name, _ in model.named_parameters()]
    unplaced = [name for name in names if parts.place(name).layer < 0 or parts.place(name).module == "other"]
    assert not unplaced, f"weights without a place: {unplaced}"
    layers = {parts.place(name).layer for name in names}
    assert {0, *range(1, len(parts.blocks) + 1)} <= layers, f"weights only in layers {sorted(layers)}"
    mixed = {parts.place(name).layer for name in names if parts.place(name).module == "mixer"}
    factor = getattr(model.config, "residual_multiplier", 1.0)
    for layer, (added, attention, mlp) in enumerate(_contributions(model, parts), start=1):
        if attention is not None and mlp is not None and layer not in mixed:
            torch.testing.assert_close(factor * (attention + mlp), added, atol=1e-4, rtol=1e-4)


def check_states(base: LoadedModel) -> None:
    """States taken by hooks are those that `output_hidden_states` gives on a copy, which keeps its hooks."""
    data, need = tiny_data(3), States(dataset="text", positions=3)
    seen, plain = Observer(base, data).look_at_base([need])[need], copy.deepcopy(base.model)
    norm = plain.get_submodule(anatomy(plain).family.final_norm)
    for i, example in enumerate(data["text"]):
        rendered, rows = render(example, base.tokenizer), seen.example == i
        read = torch.tensor([(rendered.prompt_ids + rendered.target_ids)[:-1]])
        with torch.no_grad():
            expected = [h[0, seen.position[rows]] for h in _plain_states(plain, read)]
            last = norm(torch.from_numpy(seen.states[-1, rows]))
        assert len(seen.layers) == len(expected)
        for layer in seen.layers[:-1]:
            _near(seen.states[layer, rows], expected[layer].numpy())
        _near(last.numpy(), expected[-1].numpy())


def check_scores(model: nn.Module) -> None:
    """Scores equal those of a plain forward pass of one sequence, together, alone and in small batches."""
    draw, plain = _drawing(), copy.deepcopy(model)
    questions = [
        Question(draw(3), (draw(4), draw(2), draw(5))),
        Question(draw(25), (draw(3), draw(12), draw(1))),
        Question(draw(11), (draw(6), draw(3))),
    ]
    with lend(model) as lent:
        together, small = (score(lent, questions, Budget(tokens=tokens)) for tokens in (4096, 30))
        alone = [score(lent, [question], Budget())[0] for question in questions]
    for found in (together, small, alone):
        for question, row in zip(questions, found, strict=True):
            for continuation, scores in zip(question.continuations, row, strict=True):
                expected = _plain_scores(plain, question.context, continuation)
                _near(scores.logprob, expected)


def check_answers(model: nn.Module) -> None:
    """Greedy answers in a batch that shrinks equal those of plain forward passes over everything so far."""
    draw, plain = _drawing(), copy.deepcopy(model)
    prompts = [draw(3), draw(20), draw(9), draw(1)]
    expected = [_plain_answer(plain, prompt, 10) for prompt in prompts]
    stop = expected[0][3]
    cut = [answer[: answer.index(stop) + 1] if stop in answer else answer for answer in expected]
    with lend(model) as lent:
        assert generate(lent, prompts, max_new_tokens=10, stops=(), budget=Budget()) == expected
        assert generate(lent, prompts, max_new_tokens=10, stops=(stop,), budget=Budget()) == cut


def check_battery(model: nn.Module, base: LoadedModel, folder: Path) -> Measurements:
    """`check_probe` with all built-in probes at once; each measures something, and something has moved."""
    probes = tuple(make_probe(name, options) for name, options in BATTERY.items())
    paths = (tiny_benchmarks(folder),)
    found = check_probe(Together(probes=probes), model, base, tiny_data(4), benchmark_paths=paths)
    for probe in probes:
        rows = [row for row in found.rows if row.metric.startswith(f"{probe.name}/")]
        assert any(row.value == row.value for row in rows), f"{probe.name} measured nothing"
    assert any(row.value == row.value and row.value != row.null_value for row in found.rows), "nothing moved"
    return found


@dataclass(frozen=True, kw_only=True)
class Together:
    """Several probes as one, so that one look serves all. Metrics are named `probe/metric`."""

    name: ClassVar[str] = "together"
    about: ClassVar[About] = About(
        question="What do all probes see?",
        axis="what",
        source="own",
        null="those of its probes",
        blind_spots="Those of its probes.",
        cost="benchmark",
    )
    probes: tuple[Probe, ...]

    def needs(self) -> tuple[Need, ...]:
        """Each need once."""
        return tuple(dict.fromkeys(need for probe in self.probes for need in probe.needs()))

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows and items of all probes."""
        rows, items = [], []
        for probe in self.probes:
            found = probe.measure(seen, base)
            rows += [replace(row, metric=f"{probe.name}/{row.metric}") for row in found.rows]
            items += [replace(item, metric=f"{probe.name}/{item.metric}") for item in found.items]
        return Measurements(rows=tuple(rows), items=tuple(items))


def _contributions(model: nn.Module, parts: Anatomy) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
    """Per block: what it adds to the stream, and the outputs of its attention and its MLP."""
    taken: dict[nn.Module, Tensor] = {}
    entered: list[Tensor] = []

    def keep(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        taken[module] = residual(output).clone()

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        entered.append((args[0] if args else kwargs["hidden_states"]).clone())

    with ExitStack() as stack, lend(model) as lent:
        for module in filter(None, {*parts.blocks, *parts.attention, *parts.mlp}):
            stack.callback(module.register_forward_hook(keep, with_kwargs=True).remove)
        for block in parts.blocks:
            stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
        lent(input_ids=torch.arange(7, 27)[None])
    for before, block, attention, mlp in zip(entered, parts.blocks, parts.attention, parts.mlp, strict=True):
        added = taken[block] - before
        of_attention, of_mlp = (taken[m].reshape(added.shape) if m else None for m in (attention, mlp))
        yield added, of_attention, of_mlp


def _near(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


def _drawing() -> Callable[[int], tuple[int, ...]]:
    generator = torch.Generator().manual_seed(5)
    return lambda n: tuple(torch.randint(7, 320, (n,), generator=generator).tolist())


def _plain_states(model: Any, read: Tensor) -> list[Tensor]:
    """What enters the first block, what leaves each block but the last, and the final norm's output."""
    states = list(model(read, output_hidden_states=True).hidden_states)
    if "cache_params" in arguments(model):  # Mamba's leave out what enters the first block
        states = [model.get_input_embeddings()(read), *states[:-2], states[-1]]
    return states


def _plain_scores(model: nn.Module, context: tuple[int, ...], continuation: tuple[int, ...]) -> Any:
    with torch.no_grad():
        logprob = model(torch.tensor([context + continuation])).logits[0].float().log_softmax(-1)
    rows = logprob[len(context) - 1 : -1]
    return rows.gather(1, torch.tensor(continuation)[:, None]).squeeze(1).double().numpy()


def _plain_answer(model: nn.Module, prompt: tuple[int, ...], n: int) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(n):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]
