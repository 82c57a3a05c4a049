"""A study as the execute layer would leave it, drawn from a seeded generator with known effects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np

from sft_probe.data.examples import Example, Message
from sft_probe.schema import Item, Measurement, Measurements
from sft_probe.store import documents
from sft_probe.store.runs import BASE, RunStore

STEPS = (0, 1, 3, 10, 30, 100)
ARMS = {  # label, method, learning rate, replay share, skill at the end, loss of old knowledge at the end
    "full": ("Full, 1e-4", "full", 1e-4, 0.0, 0.97, 0.02),
    "full_high": ("Full, 2e-3", "full", 2e-3, 0.0, 0.80, 0.35),
    "lora": ("LoRA r8, 1e-3", "lora", 1e-3, 0.0, 0.90, 0.0),
    "replay": ("Full 2e-3 + replay", "full", 2e-3, 0.2, 0.86, 0.08),
}
BENCHMARKS = ("world_facts", "world_grammar", "world_context")
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "\u202etxt.exe right to left \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "null\x00byte",
    "emoji 😀👩\u200d🔬",
    "long " + "x" * 5000,
    "{{ 7 * 7 }} {% raw %}",
    "line\nbreak\r\n\ttab",
    "**bold** [link](javascript:alert(3)) `code` | a | # head",
)
TEST_ITEMS, BENCH_ITEMS, LAYERS, CLUSTERS = 120, 100, 6, 40


def share(metric: str, items: Sequence[float], **more: object) -> Measurement:
    values = np.asarray(items, float)
    p, n = float(values.mean()), len(values)
    se = float(np.sqrt(max(p * (1 - p), 1e-4) / n))
    return number(metric, p, se=se, n=n, low=0.0, high=1.0, **more)


def number(
    metric: str,
    value: float,
    *,
    se: float = 0.01,
    n: int = 100,
    low: float = -np.inf,
    high: float = np.inf,
    unit: str = "1",
    **more: object,
) -> Measurement:
    return Measurement(
        metric=metric,
        value=value,
        unit=unit,
        se=se,
        ci_low=max(low, value - 2 * se),
        ci_high=min(high, value + 2 * se),
        n=n,
        n_clusters=CLUSTERS,
        **more,  # type: ignore[arg-type]
    )


def progress(step: int) -> float:
    return 1 - np.exp(-step / 12)


class Arm:
    """Draws the rows of one arm and seed. Items keep their difficulty over arms, seeds and steps."""

    def __init__(self, name: str, seed: int) -> None:
        spec = ARMS.get(name, ("base model", "none", 0.0, 0.0, 0.0, 0.0))
        self.skill, self.damage = spec[4] - 0.03 * seed, spec[5]
        self.rate = spec[2] * (1 - 2 * spec[3])
        self.hard = np.random.default_rng(7).random(TEST_ITEMS)
        self.old = np.random.default_rng(8).random((len(BENCHMARKS), BENCH_ITEMS))
        self.noise = np.random.default_rng([seed, *name.encode()])

    def task_alignment(self, step: int) -> Measurements:
        done = progress(step)
        strict = (self.hard < self.skill * done) * 1.0
        lenient = (self.hard < max(0.6, self.skill * done)) * 1.0
        items = [
            Item(
                metric=metric,
                item=f"q{i}",
                value=float(values[i]),
                dataset="test",
                stratum=("stored", "weak", "unseen")[i % 3],
                cluster=f"person{i % CLUSTERS}",
                prediction=self.answer(i, bool(strict[i]), step),
                target=f"city {i}",
                prompt=f"Where does person {i} live?",
            )
            for metric, values in (("exact_match", strict), ("contains_match", lenient))
            for i in range(TEST_ITEMS)
        ]
        kw = {"dataset": "test", "better": "higher"}
        rows = [
            share("exact_match", strict, **kw),
            share("contains_match", lenient, **kw),
            *(share("exact_match", strict[k::3], stratum=s, **kw) for k, s in enumerate(("stored", "weak"))),
            number("token_f1", 0.3 + 0.6 * self.skill * done, **kw),
            share("choice_accuracy", self.hard < 0.25 + 0.7 * self.skill * done, null_value=0.25, **kw),
            number("answer_logprob", -3 + 2.8 * done + self.jitter(), unit="nats/token", **kw),
            number("choice_margin", 0.2 + 4 * done + self.jitter(), unit="nats", null_value=0.0, **kw),
        ]
        return Measurements(tuple(rows), tuple(items))

    def answer(self, i: int, right: bool, step: int) -> str:
        if right:
            return f"city {i}"
        if i < len(HOSTILE):
            return HOSTILE[i]
        return f"I think it is city {i * 7 % 50}, at step {step}"

    def format_adherence(self, step: int) -> Measurements:
        done, kw = progress(step * 3), {"dataset": "test", "better": "higher"}
        return Measurements(
            (
                share("stop_rate", self.hard < 0.05 + 0.95 * done, **kw),
                share("parse_rate", self.hard < 0.3 + 0.68 * done, **kw),
                share("allowed_label_rate", self.hard < 0.2 + 0.78 * done, **kw),
                Measurement(
                    metric="schema_valid_rate", value=np.nan, unit="1", why="the data set has no schema"
                ),
                number("answer_tokens", 40 - 34 * done, unit="tokens", dataset="test", se=0.8),
                number("length_ratio", 8 - 7 * done, dataset="test", se=0.1, null_value=1.0),
            )
        )

    def forgetting(self, step: int) -> Measurements:
        rows: list[Measurement] = []
        items: list[Item] = []
        for task, old in zip(BENCHMARKS, self.old, strict=True):
            before = old < 0.8
            after = before & ~(self.noise.random(BENCH_ITEMS) < self.damage * progress(step))
            after |= (self.noise.random(BENCH_ITEMS) < 0.01) & (step > 0)
            gained, lost = float((after & ~before).mean()), float((before & ~after).mean())
            kw = {"dataset": task}
            rows += [
                share("accuracy", after * 1.0, better="higher", **kw),
                number("accuracy_change", float(after.mean() - before.mean()), null_value=0.0, **kw),
                share("gained", after & ~before, **kw),
                share("lost", before & ~after, better="lower", **kw),
                number("churn", gained + lost, null_value=0.0, **kw),
                Measurement(metric="mcnemar_p", value=0.5 if lost < 0.05 else 1e-6, unit="1", **kw),
                number("margin_change", -8 * lost, se=0.2, unit="nats", null_value=0.0, **kw),
            ]
            items += [
                Item(
                    metric="correct",
                    item=f"{task}-{i}",
                    value=float(after[i]),
                    dataset=task,
                    prediction="yes" if after[i] else "no",
                    target="yes",
                    prompt=f"{task} question {i}",
                )
                for i in range(BENCH_ITEMS)
            ]
        return Measurements(tuple(rows), tuple(items))

    def forgetting_curve(self, step: int) -> Measurements:
        """All documents of `forgetting`, at every look; a margin falls as fast as answers are lost."""
        found = self.forgetting(step)
        lost = self.damage * progress(step)
        items = []
        for item in found.items:
            margin = self.old.ravel()[int(item.item.rpartition("-")[2])] - 6 * lost
            items += [
                replace(item, metric="retained", cluster=item.item),
                replace(item, metric="retained_margin", value=float(margin), cluster=item.item),
            ]
        values = [item.value for item in found.items]
        rows = (
            share("retained_accuracy", values, dataset="all"),
            number("retained_margin_change", -6 * lost, unit="nats", dataset="all", null_value=0.0),
        )
        return Measurements(rows, tuple(items))

    def lost_items(self, step: int) -> Measurements:
        """Half of what is lost comes back where one in five of the others does."""
        rows, items = [], []
        for i, item in enumerate(self.forgetting(step).items):
            before = bool(self.old.ravel()[i] < 0.8)
            lost = before and item.value < 0.5
            fate = ("kept", "never")[item.value < 0.5] if before == (item.value > 0.5) else "gained"
            items.append(
                replace(item, metric="fate", stratum=("suppressed", "erased")[i % 2] if lost else fate)
            )
        for name, null in (("form", 0.0), ("suppressed", 0.2), ("erased", 0.8)):
            rows.append(share(f"{name}_share", [0, 1], dataset="all", null_value=null))
        rows.append(number("revived_beyond_chance", 0.3, se=0.05, dataset="all", null_value=0.0))
        return Measurements(tuple(rows), tuple(items))

    def interpolation(self, step: int) -> Measurements:
        """Halfway most of the skill is there and little is lost."""
        task, old = self.task_alignment(step), self.forgetting(step)
        items = []
        for alpha, learned in ((0.0, 0.0), (0.5, 0.8), (1.0, 1.0)):
            skill, damage = self.skill * progress(step) * learned, self.damage * progress(step) * alpha**3
            for i, item in enumerate(item for item in task.items if item.metric == "exact_match"):
                right = float(self.hard[i] < skill)
                items.append(replace(item, metric=f"learned at {alpha:g}", value=right))
            for i, item in enumerate(old.items):
                kept = float(damage < self.old.ravel()[i] < 0.8)
                items.append(replace(item, metric=f"kept at {alpha:g}", value=kept))
        return Measurements((share("path_accuracy", [1, 0], module="alpha 0.5"),), tuple(items))

    def domain_generalisation(self, step: int) -> Measurements:
        rows = []
        for k, domain in enumerate(("test", "notes", "generic")):
            moved = progress(step) * (1 - 0.6 * k) * (1 + 10 * self.damage)
            rows.append(number("domain_logprob_change", moved, unit="nats/token", dataset=domain))
        return Measurements(tuple(rows))

    def label_free_forgetting(self, step: int) -> Measurements:
        lost = 3 * self.damage * progress(step) + self.jitter() / 100
        metric = "base_argmax_cross_entropy_change"
        return Measurements((number(metric, lost, unit="nats/token", dataset="label_free_forgetting.text"),))

    def relearning(self, step: int) -> Measurements:
        rows = []
        for name, speed in (("lost", 1.0), ("never known", 0.3)):
            for part, taught in (("practised", 1.0), ("held out", 0.5)):
                for k in (0, 1, 4, 16):
                    value = taught * (1 - np.exp(-speed * k))
                    at = {"stratum": f"{name}, {part}", "module": f"step {k}"}
                    rows.append(number("relearned_share", value, **at))
        rows.append(number("relearned_beyond_chance", 0.4, stratum="held out"))
        rows.append(Measurement(metric="revive_ratio", value=0.3, unit="1"))
        return Measurements(tuple(rows))

    def representation_drift(self, step: int) -> Measurements:
        rows = []
        for layer in range(LAYERS + 1):
            moved = progress(step) * (0.02 + 40 * self.rate) * layer / LAYERS
            rows += [
                number("cka", 1 - 0.3 * moved, layer=layer, null_value=1.0, unit="1"),
                number("cka_zscored", 1 - 0.4 * moved, layer=layer, null_value=1.0, unit="1"),
                number("relative_drift", 3 * moved, layer=layer, null_value=0.0, unit="1"),
            ]
        return Measurements(tuple(rows))

    def token_shift(self, step: int) -> Measurements:
        moved = progress(step) * min(1.0, 0.1 + 200 * self.rate)
        kw = {"dataset": "test"}
        rows = [
            share("unshifted", self.hard < 1 - 0.35 * moved, null_value=1.0, **kw),
            share("marginal", self.hard < 0.15 * moved, null_value=0.0, **kw),
            share("shifted", self.hard < 0.2 * moved, null_value=0.0, **kw),
            number("kl_tuned_base", 1.5 * moved, unit="nats/token", null_value=0.0, **kw),
            number("kl_base_tuned", 1.9 * moved, unit="nats/token", null_value=0.0, **kw),
            *(
                number(
                    "kl_at_position",
                    3 * moved / (1 + p),
                    unit="nats/token",
                    module=str(p),
                    null_value=0.0,
                    **kw,
                )
                for p in range(12)
            ),
            number("kl_half_depth", 3.0, unit="tokens", se=0.4, **kw)
            if step
            else Measurement(metric="kl_half_depth", value=np.nan, unit="tokens", why="no divergence", **kw),
        ]
        return Measurements(tuple(rows), tuple(self.shifted(step, moved)))

    def shifted(self, step: int, moved: float) -> Iterator[Item]:
        """Token by token: a word moves by one more tenth of a nat than the one before it."""
        for item in deepcopy(self).task_alignment(step).items[:40]:  # draws nothing from this arm
            words = re.findall(r"\S+\s*", item.prediction)
            pairs = [[word, round(moved * place, 3)] for place, word in enumerate(words)]
            yield replace(
                item, metric="kl_tuned_base", value=moved, by_token=json.dumps([*pairs, ["<|end|>", 0.0]])
            )

    def weight_change(self, step: int) -> Measurements:
        rows = []
        for layer in range(1, LAYERS + 1):
            for k, module in enumerate(("attention", "mlp", "norm")):
                moved = progress(step) * 20 * self.rate * (1 + k) * layer / LAYERS
                kw = {"layer": layer, "module": module}
                rows.append(
                    Measurement(metric="relative_norm", value=moved, unit="1", null_value=0.0, n=1, **kw)
                )
                rows.append(
                    Measurement(metric="stable_rank", value=4.0 + k, unit="1", **kw)
                    if step
                    else Measurement(
                        metric="stable_rank", value=np.nan, unit="1", why="the change is zero", **kw
                    )
                )
        total = progress(step) * 30 * self.rate
        rows.append(Measurement(metric="relative_norm", value=total, unit="1", module="all", null_value=0.0))
        return Measurements(tuple(rows))

    def jitter(self) -> float:
        return float(self.noise.normal(0, 0.05))


PROBES = (
    "task_alignment",
    "format_adherence",
    "forgetting",
    "representation_drift",
    "token_shift",
    "weight_change",
)
LEDGER = (
    "forgetting_curve",
    "lost_items",
    "interpolation",
    "domain_generalisation",
    "label_free_forgetting",
    "relearning",
)
AXES = {
    **dict.fromkeys(LEDGER, "cost"),
    "task_alignment": "what",
    "format_adherence": "what",
    "forgetting": "cost",
    "representation_drift": "where",
    "token_shift": "what",
    "weight_change": "where",
}


def write_study(
    output_dir: Path,
    *,
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0, 1),
    steps: Sequence[int] = STEPS,
    probes: Sequence[str] = PROBES,
    keep: Callable[[str, int], bool] = lambda probe, step: True,
) -> Path:
    """Write base and arms; `keep` drops (probe, step) pairs. Returns the folder."""
    documents.write_study(output_dir, f"name: synthetic\nseeds: {list(seeds)}\nreference_arm: {arms[0]}\n")
    documents.write_environment(output_dir, ENVIRONMENT)
    documents.write_audit(
        output_dir,
        [
            {"code": "duplicates", "severity": "warning", "message": "2 rows occur twice.", "count": 2},
            {"code": "labels", "severity": "info", "message": "40 distinct targets.", "count": 40},
        ],
    )
    documents.write_rows(
        output_dir,
        [
            Example(
                id=f"t{i}", messages=(Message("user", f"Where does person {i} live?"),), target=f"city {i}"
            )
            for i in range(60)
        ],
    )
    documents.write_probes(output_dir, {name: about(name) for name in probes})
    store = RunStore(output_dir)
    write_run(store, BASE, 0, (0,), probes, keep)
    for arm in arms:
        for seed in seeds:
            write_run(store, arm, seed, steps, probes, keep)
    return output_dir


def write_run(
    store: RunStore,
    arm: str,
    seed: int,
    steps: Sequence[int],
    probes: Sequence[str],
    keep: Callable[[str, int], bool] = lambda probe, step: True,
) -> None:
    run_id = arm if arm == BASE else f"{arm}-seed{seed}"
    drawn = Arm(arm, seed)
    with store.open_run(run_id, config=config(arm, seed), environment=ENVIRONMENT) as run:
        for step in steps:
            for probe in probes:
                if keep(probe, step) and (probe != "forgetting" or step in (0, steps[-1])):
                    run.append(step, probe, getattr(drawn, probe)(step))
            if step and arm != BASE:
                run.log(step, {"loss": 3 * (1 - progress(step)) + 0.2, "learning_rate": drawn.rate})
        for k, probe in enumerate(probes):
            run.spent(probe, 1.5 + k)
        if arm != BASE:
            run.spent("training", 14.0)
        run.note(device="cpu", trainable_parameters=3_000_000, total_parameters=3_000_000)
        run.finish()


def config(arm: str, seed: int) -> dict[str, object]:
    if arm == BASE:
        return {"arm": BASE, "seed": 0, "digest": "b" * 64, "label": "base model"}
    label, method, rate, replay, _, _ = ARMS[arm]
    return {
        "arm": arm,
        "seed": seed,
        "digest": f"{arm}{seed}".ljust(64, "0"),
        "label": label,
        "method": method,
        "method_options": {},
        "regulariser": {"replay": {"dataset": "generic", "fraction": replay} if replay else None},
        "training": {"learning_rate": rate, "max_steps": 100},
    }


def about(name: str) -> dict[str, object]:
    return {
        "question": f"What does {name} say?",
        "axis": AXES[name],
        "source": "A paper, 2024",
        "null": "zero change",
        "blind_spots": "Whatever the items do not ask.",
        "cost": "forward",
        "version": 1,
    }


ENVIRONMENT = {
    "versions": {"python": "3.11", "sft-probe": "0.1.0", "torch": "2.13.0"},
    "platform": "Linux",
    "command": "sft-probe run study.yaml",
    "device": "cpu",
    "base": {"path": "planted", "sha256": "a" * 64},
    "data": {"train": {"rows": 500, "sha256": "c" * 64}, "test": {"rows": 120, "sha256": "d" * 64}},
}
