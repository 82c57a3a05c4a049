"""Attention patterns against those that the model gives when asked for them; a model left as it was."""

import numpy as np
import pytest
import torch

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import SpecError
from sft_probe.measures.attention import pattern_distance, pattern_entropy
from sft_probe.observe.attending import KERNEL, named_tokens, showing
from sft_probe.observe.interventions import Template
from sft_probe.observe.needs import Attention, Scores
from sft_probe.observe.observer import Observer
from sft_probe.testing.conformance import fingerprint
from sft_probe.testing.families import FAMILIES, family_base
from sft_probe.testing.tiny import tiny_base, tiny_data, tiny_lora, tiny_tuned

BASE = tiny_base()
ROWS = tuple(
    Example(
        id=str(i),
        messages=(Message("user", f"the cat sat on the sofa today\nwhere is the {animal}"),),
        target="the sofa",
        meta={
            "text": {"context": ["the cat sat on the sofa today"], "instruction": [f"where is the {animal}"]}
        },
    )
    for i, animal in enumerate(("cat", "dog", "fox"))
)
DATA = DataSets({**tiny_data(), "rows": Dataset("rows", ROWS)})
NEED = Attention(dataset="rows", field="text")


def test_statistics_are_those_of_the_models_own_patterns() -> None:
    tuned = tiny_tuned(BASE).eval()
    seen = Observer(BASE, DATA).look(tuned, [NEED])[NEED]
    assert (seen.layers, seen.kinds) == ((1, 2), ("first", "context", "instruction", "answer", "other"))
    prepared = Observer(BASE, DATA)._rendering.prepared("rows", None)
    for i, row in enumerate(prepared):
        ids = torch.tensor([(*row.prompt, *row.target)[:-1]])
        with showing(tuned), showing(BASE.model), torch.no_grad():
            own, before = (model(ids, output_attentions=True).attentions for model in (tuned, BASE.model))
        for layer in range(2):
            queries = slice(len(row.prompt) - 1, None)
            pattern, other = own[layer][0][:, queries], before[layer][0][:, queries]
            np.testing.assert_allclose(
                seen.entropy[layer, :, i], pattern_entropy(pattern).mean(-1), atol=1e-5
            )
            np.testing.assert_allclose(
                seen.distance[layer, :, i], pattern_distance(pattern, other).mean(-1), atol=1e-5
            )
            np.testing.assert_allclose(seen.mass[layer, :, 0, i], pattern[..., 0].mean(-1), atol=1e-5)
            answered = pattern[..., len(row.prompt) :].sum(-1).mean(-1)
            np.testing.assert_allclose(seen.mass[layer, :, 3, i], answered, atol=1e-5)
    np.testing.assert_allclose(seen.mass.sum(axis=2), 1, atol=1e-5)
    assert seen.present.all()


def test_named_pieces_are_found_in_the_prompt() -> None:
    row = ROWS[0]
    prompt = Observer(BASE, DATA)._rendering.prepared("rows", 1)[0].prompt
    found = named_tokens(row, prompt, "text", BASE.tokenizer)
    for kind, piece in (("context", "the cat sat on the sofa today"), ("instruction", "where is the cat")):
        assert piece in BASE.tokenizer.decode(np.array(prompt)[found[kind]])
    assert not (found["context"] & found["instruction"]).any()
    assert named_tokens(row, prompt, "nothing", BASE.tokenizer) == {}
    assert named_tokens(row, prompt[1:], "text", BASE.tokenizer) == {}  # not the tokens of this prompt


@pytest.mark.parametrize("tune", [tiny_tuned, tiny_lora])
def test_model_and_kernel_are_left_as_they_were(tune: object) -> None:
    tuned = tune(BASE)  # type: ignore[operator]
    kernels = [getattr(model.config, KERNEL) for model in (tuned, BASE.model)]
    before = fingerprint(tuned), fingerprint(BASE.model)
    scores = Scores(dataset="test", limit=3)
    observer = Observer(BASE, DATA)
    alone = observer.look(tuned, [scores])[scores].target_logprob
    beside = observer.look(tuned, [NEED, scores])[scores].target_logprob
    np.testing.assert_array_equal(alone, beside)
    assert before == (fingerprint(tuned), fingerprint(BASE.model))
    assert kernels == [getattr(model.config, KERNEL) for model in (tuned, BASE.model)]


def test_an_error_inside_gives_the_kernel_back() -> None:
    before = getattr(BASE.model.config, KERNEL)

    def fail() -> None:
        with showing(BASE.model):
            assert getattr(BASE.model.config, KERNEL) == "eager"
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert getattr(BASE.model.config, KERNEL) == before


def test_the_base_has_not_moved() -> None:
    seen = Observer(BASE, DATA).look_at_base([NEED])[NEED]
    assert (seen.distance == 0).all()


@pytest.mark.parametrize(
    ("kind", "layers"),
    [("gpt2", (1, 2)), ("gpt_neox", (1, 2)), ("mistral", (1, 2)), ("mamba", ()), ("lfm2", None)],
)
def test_families(kind: str, layers: tuple[int, ...] | None) -> None:
    base = family_base(next(family for family in FAMILIES if family.model_type == kind))
    need = Attention(dataset="test", limit=2)
    seen = Observer(base, tiny_data()).look(tiny_tuned(base), [need])[need]
    if layers is None:
        assert 0 < len(seen.layers) < 2  # a convolution in the other block
    else:
        assert seen.layers == layers
    assert seen.entropy.shape[0] == len(seen.layers)


def test_pieces_are_not_looked_for_in_other_words() -> None:
    with pytest.raises(SpecError, match="wording"):
        Attention(dataset="rows", under=(Template(on=False),))
