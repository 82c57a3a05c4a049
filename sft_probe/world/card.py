"""The model card of a base: what it was trained on, how long, and which gates it passed."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sft_probe.errors import InputError

REPORTED_ONLY = "reported only"
"""The rule of a share that the gates report without a threshold."""
VERSIONED = ("torch", "transformers", "tokenizers", "numpy")


def versions() -> dict[str, str]:
    """The interpreter and the libraries that decide the arithmetic of a run."""
    return {"python": platform.python_version(), **{name: version(name) for name in VERSIONED}}


def write_card(folder: Path) -> Path:
    """Write `README.md` from `pretraining.json`, `gates.json` and `config.json` beside it."""
    run, gates, config = (_read(folder / f"{name}.json") for name in _SOURCES)
    path = folder / "README.md"
    recipe, seconds = run["recipe"], run["seconds"]
    exposure, sft = recipe["exposure"], gates["sft"]
    weights = (folder / "model.safetensors").stat().st_size
    others = [file for file in folder.iterdir() if file.is_file() and file != path]
    path.write_text(
        _TEXT.format(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            parameters=weights / 2e6,
            context=config["max_position_embeddings"],
            tokens=run["tokens"],
            steps=run["step"],
            seconds=seconds,
            speed=run["tokens"] / seconds,
            megabytes=sum(file.stat().st_size for file in others) / 1e6,
            registers=", ".join(f"{name} {count:,}" for name, count in exposure["registers"]),
            versions=", ".join(f"{name} {number}" for name, number in run["versions"].items()),
            sft=f"{sft['steps']} steps of {sft['batch']} answers at rate {sft['learning_rate']:g}",
            rows="\n".join(_table_row(gate) for gate in (*gates["gates"], *gates["context"])),
            passed="yes" if gates["passed"] else "NO",
            **{name: recipe[name] for name in _FROM_RECIPE},
            **{name: exposure[name] for name in _FROM_EXPOSURE},
        )
    )
    return path


_TEXT = """---
license: apache-2.0
language: [en, zh]
library_name: transformers
tags: [synthetic, planted-world, sft_probe]
---
# The planted base of sft_probe

A Llama of {layers} layers, width {width} ({parameters:.1f} M parameters, tied embeddings, context {context})
that has read one synthetic world and nothing else. What is true in that world, what the base has
read and how often is known exactly, so that probes can be calibrated on it. It says nothing about the
real world; its clinical and legal texts are made of templates and must not be used as advice.

- Licence: Apache-2.0, for weights, tokenizer and text alike. No outside text was used.
- World seed {seed}; {tokens:,} tokens in {steps:,} steps of {batch} windows; {seconds:,.0f} s on two CPU
  cores that other work shared ({speed:,.0f} tokens/s).
- AdamW, peak rate {learning_rate:g}, cosine to {final_rate:g}, warm-up {warmup} steps, decay
  {weight_decay:g}, gradient clip {clip:g}; trained in fp32, shipped in fp16; {megabytes:.1f} MB in all.
- Each fact of a K1 person stands in {unasked_text} sentences, or in {asked_text} sentences and
  {asked_questions} question-answer documents; each K2 person in {one_wording} copies of one document; K4
  facts in 3 to 8 sentences; U facts nowhere. {opening_people} K1 people (none of them a test person) open
  the corpus with {opening_text} sentences per fact more.
- Other documents: {registers}.
- A closing part states each K1 fact {closing_text} times more, mostly behind an opening such as "It is true
  that", one in five in a cleft sentence, at a rate that starts again at {closing_rate:g}. It was added
  because recall in held-out sentences stood at 0.83 without it; no held-out sentence is in it.
- The four chat tokens were never read; their embeddings start at the mean of the others.
- Versions: {versions}.
- Remake: `sft-probe world pretrain`, `sft-probe world gates`, `sft-probe world card`. The same seed gives the
  identical corpus everywhere; the weights also depend on the machine's arithmetic.

## Gates

Wilson 95 % intervals. Short SFT: {sft}, on people who are not in the test.

| gate | hits | share | interval | rule | |
|---|---|---|---|---|---|
{rows}

Guessing gives 0.25 in the `world_*` benchmarks and 0.5 in `world_grammar`. A base near 0.33 in
`world_context` names one of the three places of a passage, but not the one that was asked for.
The closing part was designed after seeing which held-out sentences the base missed (unfamiliar
openings, cleft sentences), so the recall gate was met at the third attempt and is not a blind test.

All gates met: {passed}. The loss curve is in `loss.csv`, the gates as data in `gates.json`.
"""
_FROM_RECIPE = "seed batch learning_rate final_rate warmup weight_decay clip closing_rate".split()
_FROM_EXPOSURE = (
    "unasked_text asked_text asked_questions one_wording opening_people opening_text closing_text".split()
)
_SOURCES = ("pretraining", "gates", "config")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(
            "a model card needs this file.",
            file=path,
            remedy="Run `sft-probe world pretrain` and `sft-probe world gates` first.",
        )
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _table_row(gate: dict[str, Any]) -> str:
    verdict = "met" if gate["passed"] else "NOT MET"
    if gate["rule"] == REPORTED_ONLY:
        verdict = ""
    share = f"{gate['share']:.4f} | {gate['low']:.4f} to {gate['high']:.4f}"
    return f"| {gate['name']} | {gate['hits']} / {gate['n']} | {share} | {gate['rule']} | {verdict} |"
