"""Published models: greedy continuations and likelihoods that somebody else computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sft_probe.models.load import load_base
from sft_probe.observe.generating import generate
from sft_probe.observe.passages import Budget
from sft_probe.observe.scoring import Question, score
from sft_probe.study.spec import ModelSpec

REAL = Path(__file__).parents[2].parent / "shared" / "real" / "models"
GOLDEN = json.loads((REAL / "golden.json").read_text()) if (REAL / "golden.json").is_file() else {}


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
