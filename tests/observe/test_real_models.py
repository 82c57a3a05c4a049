"""Published models: greedy continuations and likelihoods that somebody else computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.models.load import load_base
from sft_probe.observe.generating import generate
from sft_probe.observe.interventions import FewShot
from sft_probe.observe.needs import Scores
from sft_probe.observe.observer import Observer
from sft_probe.observe.passages import Budget
from sft_probe.observe.scoring import Question, score
from sft_probe.study.spec import ModelSpec

REAL = Path(__file__).parents[2].parent / "shared" / "real" / "models"
GOLDEN = json.loads((REAL / "golden.json").read_text()) if (REAL / "golden.json").is_file() else {}
SENTENCES = (
    "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ ' ' }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("name", GOLDEN or [pytest.param("", marks=pytest.mark.skip("no real models here"))])
def test_likelihood_and_greedy_text_of_a_published_model(name: str) -> None:
    base = load_base(ModelSpec(model_name_or_path=str(REAL / name), device="cpu"))
    cases: list[dict[str, Any]] = GOLDEN[name]
    prompts = [case["prompt_ids"] for case in cases]
    questions = [Question(tuple(ids[:1]), (tuple(ids[1:]),)) for ids in prompts]
    with torch.no_grad():
        scores = score(base.model, questions, Budget())
        answers = generate(base.model, prompts, max_new_tokens=60, stops=(), budget=Budget())
    for case, (scored,), answer in zip(cases, scores, answers, strict=True):
        assert -scored.logprob.mean() == pytest.approx(case["prompt_nll_per_token"], abs=2e-4)
        text = "".join(str(base.tokenizer.decode(answer)).split())
        assert text[:40] == "".join(case["greedy"].split())[:40]


@pytest.mark.parametrize("name", GOLDEN or [pytest.param("", marks=pytest.mark.skip("no real models here"))])
def test_examples_in_the_prompt_reach_a_published_model(name: str) -> None:
    """Shots that all have one answer make it likelier. Neither model maps by example, so no more is asked."""
    base = load_base(ModelSpec(model_name_or_path=str(REAL / name), device="cpu"))
    rows = tuple(
        Example(id=who, target=" very blue.", messages=(Message("user", f"{who} had a hat. The hat was"),))
        for who in "Tim Lily Tom Sue Ben Mia Max Anna Sam Jack".split()
    )
    observer = Observer(base, DataSets({"test": Dataset("test", rows)}), chat_template=SENTENCES)
    plain = Scores(dataset="test")
    shown = Scores(dataset="test", under=(FewShot(4, "test"),))
    seen = observer.look_at_base([plain, shown])
    gain = seen[shown].target_logprob - seen[plain].target_logprob
    assert gain.mean() > 2
    assert (gain > 0).all()
