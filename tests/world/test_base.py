from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from sft_probe.errors import InputError
from sft_probe.world import World, gates
from sft_probe.world.benchmarks import BENCHMARKS
from sft_probe.world.card import write_card
from sft_probe.world.gates import Gate, GateReport, answers, evaluate_gates, recall, unseen
from sft_probe.world.people import Knowledge
from sft_probe.world.speaking import Speaker
from sft_probe.world.tokenizer import CHAT_ONLY

MEGABYTES = 12


def test_base_is_small_and_complete(base_folder: Path) -> None:
    names = {path.name for path in base_folder.iterdir()}
    assert {"README.md", "config.json", "gates.json", "loss.csv", "model.safetensors"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert sum(path.stat().st_size for path in base_folder.iterdir()) <= MEGABYTES * 1e6


def test_base_is_a_llama_of_about_three_million_parameters(base: Speaker) -> None:
    assert base.model.config.model_type == "llama"
    assert 2.5e6 < base.model.num_parameters() < 3.5e6
    config, generation = base.model.config, base.model.generation_config
    tokenizer = base.tokenizer
    assert config.eos_token_id == generation.eos_token_id == tokenizer.eos_token_id
    assert config.pad_token_id == generation.pad_token_id == tokenizer.pad_token_id
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_chat_tokens_start_near_the_mean_and_apart(base: Speaker) -> None:
    weight = base.model.get_input_embeddings().weight.detach()
    rows = weight[[base.id_of(token) for token in CHAT_ONLY]]
    distance = (rows - weight.mean(0)).norm(dim=1)
    assert distance.max() < weight.norm(dim=1).median()
    assert torch.pdist(rows).min() > 0.1


def test_gate_report_is_green_and_says_what_the_code_says(base_folder: Path) -> None:
    report = json.loads((base_folder / "gates.json").read_text())
    assert report["passed"] is True
    assert all(gate["passed"] for gate in report["gates"])
    assert {gate["name"] for gate in report["gates"]} == {
        "recall_in_held_out_sentences",
        "never_seen_people",
        "grammar_pairs",
        "one_wording_recalled_in_it",
        "elicitation_after_short_sft",
        "one_wording_asked_after_short_sft",
    }
    thresholds = {gate["name"]: gate["rule"] for gate in report["gates"]}
    assert thresholds["recall_in_held_out_sentences"] == "lower bound >= 0.9"
    assert thresholds["elicitation_after_short_sft"] == "lower bound >= 0.95"


def test_report_shows_every_benchmark(base_folder: Path) -> None:
    report = json.loads((base_folder / "gates.json").read_text())
    shares = {row["name"]: row["share"] for row in report["context"]}
    assert {*BENCHMARKS} <= shares.keys()
    assert all(shares[name] > 0.5 for name in BENCHMARKS if name != "world_context")


def test_card_is_the_one_that_the_data_makes(base_folder: Path, tmp_path: Path) -> None:
    for path in base_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert write_card(tmp_path).read_text() == (base_folder / "README.md").read_text()


def test_a_card_without_gates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pretraining\.json"):
        write_card(tmp_path)


def test_base_recalls_stored_people_and_not_unseen_ones(base: Speaker, world: World) -> None:
    rng = random.Random(0)
    stored = recall(base, world, rng)[:400]
    strangers, guess_rate = unseen(base, world, rng)
    assert sum(stored) / len(stored) > 0.85
    assert sum(strangers) / len(strangers) < guess_rate + 0.02


def test_weak_people_lie_between(base: Speaker, world: World) -> None:
    known = gates.weak(base, world, random.Random(0))
    assert 0.0 < sum(known) / len(known) < 0.7
    assert len(world.population.known(Knowledge.WEAK)) > 100


@pytest.mark.slow
def test_gates_hold_when_measured_again(base_folder: Path) -> None:
    report = evaluate_gates(base_folder)
    report.require()
    stored = json.loads((base_folder / "gates.json").read_text())
    fresh = {gate.name: gate.share for gate in report.gates}
    for gate in stored["gates"]:
        assert fresh[gate["name"]] == pytest.approx(gate["share"], abs=0.02)


@pytest.mark.parametrize(("hits", "n", "passes"), [(930, 1000, True), (915, 1000, False), (95, 100, False)])
def test_a_gate_looks_at_the_lower_bound(hits: int, n: int, *, passes: bool) -> None:
    gate = gates.at_least("g", [True] * hits + [False] * (n - hits), 0.90)
    assert gate.passed is passes
    assert gate.low < hits / n < gate.high


def test_a_gate_can_look_at_the_upper_bound() -> None:
    assert gates.at_most("g", [True] * 20 + [False] * 80, 0.30).passed
    assert not gates.at_most("g", [True] * 25 + [False] * 75, 0.30).passed


@pytest.mark.parametrize(("hits", "passes"), [(0, False), (9, True), (15, True), (16, False)])
def test_guessing_is_two_sided(hits: int, *, passes: bool) -> None:
    """900 draws at 0.01: nine expected, standard error 2.98."""
    gate = gates.near_guessing("g", [True] * hits + [False] * (900 - hits), 0.01)
    assert gate.passed is (passes and abs(hits - 9) <= 2 * 2.985)


def test_a_missed_gate_is_named() -> None:
    missed: Gate = gates.at_least("recall", [False] * 10, 0.9)
    with pytest.raises(gates.GateNotMet, match=r"recall \(0/10"):
        GateReport(0, (missed,)).require()


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        (" Velmora. The", "Velmora", True),
        ("Velmoran", "Velmora", False),
        ("Bravo Mills", "Bravo", True),
        ("in Velmora", "Velmora", False),
    ],
)
def test_a_value_is_said_at_the_start_as_a_whole_word(text: str, value: str, *, said: bool) -> None:
    assert gates.says(text, value) is said


def test_strict_scoring_wants_the_stop_token(base: Speaker, world: World) -> None:
    """The base never read the stop token: it may answer, but it does not stop."""
    from sft_probe.world.tasks import task_sets

    rows = [r for r in task_sets(world)["question_answering.test"] if r["stratum"] == "K1"][:64]
    assert sum(answers(base, rows)) <= sum(answers(base, rows, strict=False))
    assert sum(answers(base, rows)) < 8
