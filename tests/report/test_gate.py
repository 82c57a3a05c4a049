"""Rules and what decides them: known losses, thin evidence, and rules that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from sft_probe.errors import SpecError, StoreError
from sft_probe.report.gate import Judgement, gate_json, judge
from sft_probe.report.rules import Rule, Rules, load_rules, rules_template
from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.store.failures import Failure
from sft_probe.store.runs import RunStore


def write_runs(folder: Path, before: int, after: int, n: int = 200, *, run: str = "a-seed0") -> Path:
    """A run of which `before` and `after` of n answers are right, the first ones."""
    config = {"arm": "a", "seed": 0, "digest": "d"}
    with RunStore(folder).open_run(run, config=config, environment={}) as writer:
        for step, right in ((0, before), (5, after)):
            items = tuple(
                Item(metric="correct", item=f"i{i}", value=float(i < right), dataset="facts")
                for i in range(n)
            )
            share = right / n
            kw = {"metric": "accuracy", "value": share, "unit": "1", "n": n, "better": "higher"}
            row = Measurement(ci_low=share - 0.05, ci_high=share + 0.05, dataset="facts", **kw)  # type: ignore[arg-type]
            odd = Measurement(metric="odd", value=float("nan"), unit="1", dataset="facts", why="no labels")
            writer.append(step, "forgetting", Measurements((row, odd), items))
        writer.finish()
    return folder / "runs" / run


def rule(**more: object) -> Rule:
    known = {"probe": "forgetting", "metric": "accuracy", "change": "at_least", "value": -0.02}
    return Rule.model_validate(known | more)


def judged(folder: Path, **more: object) -> Judgement:
    (one,) = judge(folder, Rules(rules=(rule(**more),)))
    return one


@pytest.mark.parametrize(
    ("after", "outcome", "lenient", "strict"),
    [(180, "kept", True, True), (174, "open", True, False), (150, "broken", False, False)],
)
def test_a_loss_is_kept_open_or_broken(
    tmp_path: Path, after: int, outcome: str, lenient: bool, strict: bool
) -> None:
    run = write_runs(tmp_path, 180, after)
    found = judged(run)
    assert (found.outcome, found.passed) == (outcome, lenient)
    assert found.paired
    assert found.place.dataset == "facts"
    assert judged(run, decide="pass_only_if_kept").passed is strict


def test_more_confidence_breaks_less_and_keeps_less(tmp_path: Path) -> None:
    run = write_runs(tmp_path, 180, 168)
    sure, surer = judged(run, confidence=0.9), judged(run, confidence=0.999)
    assert (sure.outcome, surer.outcome) == ("broken", "open")
    assert surer.found.low < sure.found.low < sure.found.high < surer.found.high


def test_half_confidence_lets_the_estimate_decide(tmp_path: Path) -> None:
    run = write_runs(tmp_path, 180, 175)
    assert judged(run, confidence=0.5, value=-0.03).outcome == "kept"
    assert judged(run, confidence=0.5, value=-0.02).outcome == "broken"


def test_upper_limits_and_results_are_bounded_too(tmp_path: Path) -> None:
    run = write_runs(tmp_path, 100, 180)
    assert judged(run, change="at_most", value=0.1).outcome == "broken"
    assert judged(run, change="at_most", value=0.6).outcome == "kept"
    assert judged(run, change=None, result="at_least", value=0.8).outcome == "kept"
    assert judged(run, change=None, result="at_least", value=0.9).outcome == "open"
    assert judged(run, change=None, result="at_most", value=0.8).outcome == "broken"


def test_what_is_undefined_does_not_pass(tmp_path: Path) -> None:
    found = judged(write_runs(tmp_path, 180, 180), metric="odd")
    assert (found.outcome, found.passed, found.why) == ("unknown", False, "no labels")
    assert gate_json([found])["rules"][0]["found"] is None


def test_every_run_of_a_study_is_held_to_the_rules_by_itself(tmp_path: Path) -> None:
    write_runs(tmp_path, 180, 180)
    write_runs(tmp_path, 180, 120, run="a-seed1")
    rules = Rules(rules=(rule(),))
    assert [one.passed for one in judge(tmp_path, rules)] == [True, False]
    assert not gate_json(judge(tmp_path, rules))["passed"]


def test_together_the_rules_share_one_error_rate(tmp_path: Path) -> None:
    write_runs(tmp_path, 180, 168)
    strict = rule(decide="pass_only_if_kept")
    judged = judge(tmp_path, Rules(together=True, rules=(rule(), rule(), strict)))
    assert [one.confidence for one in judged] == pytest.approx([0.975, 0.975, 0.95])


def test_runs_that_did_not_finish_are_not_passed_over(tmp_path: Path) -> None:
    write_runs(tmp_path, 180, 180)
    failure = Failure(run="a-seed1", arm="a", seed=1, digest="d", kind="diverged", reason="NaN.")
    RunStore(tmp_path).fail(failure)
    with pytest.raises(StoreError, match="a-seed1 did not finish"):
        judge(tmp_path, Rules(rules=(rule(),)))
    with pytest.raises(StoreError, match=r"this run failed: NaN."):
        judge(tmp_path / "runs" / "a-seed1", Rules(rules=(rule(),)))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"probe": "forgeting"}, r"field 'rules\[0\].probe': .* Did you mean 'forgetting'\?"),
        ({"metric": "acuracy"}, r"field 'rules\[0\].metric': .* Did you mean 'accuracy'\?"),
        ({"dataset": "fact"}, r"field 'rules\[0\].dataset': .* Did you mean 'facts'\?"),
        ({"stratum": "x"}, r"field 'rules\[0\].stratum': run 'a-seed0' has no stratum 'x' there"),
    ],
)
def test_unknown_places_name_the_nearest(tmp_path: Path, changed: dict[str, str], sentence: str) -> None:
    run = write_runs(tmp_path, 180, 180)
    with pytest.raises(SpecError, match=rf"gate.yaml, {sentence}"):
        judge(run, Rules(rules=(rule(**changed),)), file=Path("gate.yaml"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- {probe: p, metric: m, change: at_least}", r"field 'rules\[0\].value': this key is required"),
        ("- {probe: p, metric: m, value: 1}", "bounds either `change` or `result`"),
        ("- {probe: p, metric: m, change: at_least, result: at_most, value: 1}", "either `change` or"),
        ("- {probe: p, metrik: m, change: at_least, value: 1}", r"unknown key. Did you mean 'metric'"),
        ("- {probe: p, metric: m, change: atleast, value: 1}", r"rules\[0\].change"),
        ("rulez: []", "Did you mean 'rules'"),
        ("rules: []", "field 'rules'"),
        ("just text", "expected a list of rules"),
        ("- {probe: p", "this is not YAML in line"),
        ("- {probe: p, metric: m, change: at_least, value: 1, confidence: 95}", r"rules\[0\].confidence"),
    ],
)  # fmt: skip
def test_bad_rules_are_refused_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=sentence) as caught:
        load_rules(path)
    assert "gate.yaml" in str(caught.value)


def test_the_rules_that_ship_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(rules_template())
    assert {rule.decide for rule in load_rules(path).rules} == {"fail_if_broken", "pass_only_if_kept"}
