"""What lm-eval found, as one row per document and metric. Nothing of lm-eval is imported here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sft_probe.observe.observations import BenchmarkItem
from sft_probe.schema import NAN


def items(name: str, task: Any, samples: Sequence[Mapping[str, Any]]) -> Iterator[BenchmarkItem]:
    """Rows of one task. A document is named by its own `id` where all have one of their own."""
    own_ids = [str(s["doc"].get("id", "")) for s in samples if s["filter"] == samples[0]["filter"]]
    named = "" not in own_ids and len(set(own_ids)) == len(own_ids)
    for sample in samples:
        doc = sample["doc"]
        item = str(doc["id"] if named else sample["doc_id"])
        prediction, target, margin = _verdict(task, sample)
        for metric in sample["metrics"]:
            for part, value in _values(sample[metric]):
                yield BenchmarkItem(
                    task=name,
                    item=item + part,
                    cluster=str(doc.get("cluster") or item),
                    metric=metric if sample["filter"] == "none" else f"{metric},{sample['filter']}",
                    value=value,
                    margin=margin,
                    prompt=str(sample["arguments"][0][0]),
                    prediction=prediction,
                    target=target,
                )


def _values(found: Any) -> Iterator[tuple[str, float]]:
    """One value, or one for each part of a document that is judged part by part, as IFEval's instructions."""
    if isinstance(found, int | float):
        yield "", float(found)
    elif isinstance(found, list) and all(isinstance(value, bool) for value in found):
        yield from ((f".{i}", float(value)) for i, value in enumerate(found))


def _verdict(task: Any, sample: Mapping[str, Any]) -> tuple[str, str, float]:
    """What the model said, what it should have said, and by how many nats the right choice led."""
    if task.OUTPUT_TYPE == "multiple_choice":
        return _choice_verdict(task, sample)
    answer, target = sample["filtered_resps"][0], sample["target"]
    if task.OUTPUT_TYPE == "generate_until":
        if task.config.doc_to_choice is not None and isinstance(target, int):
            target = task.doc_to_choice(sample["doc"])[target]
        return str(answer), str(target), NAN
    greedy = bool(answer[1]) if task.OUTPUT_TYPE == "loglikelihood" else False
    return str(target) if greedy else "", str(target), NAN


def _choice_verdict(task: Any, sample: Mapping[str, Any]) -> tuple[str, str, float]:
    doc = sample["doc"]
    choices = task.doc_to_choice(doc)
    logprobs = [float(response[0]) for response in sample["filtered_resps"][: len(choices)]]
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    golds = gold if isinstance(gold, list) else [gold]
    right = {g if isinstance(g, int) else choices.index(g) for g in golds}
    best = max(range(len(choices)), key=lambda i: logprobs[i])
    wrong = [p for i, p in enumerate(logprobs) if i not in right]
    known = [i for i in sorted(right) if 0 <= i < len(choices)]
    margin = max(logprobs[i] for i in known) - max(wrong) if known and wrong else NAN
    return str(choices[best]), " | ".join(str(choices[i]) for i in known), margin


def aggregates(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """lm-eval's own figures by task or group and metric, without its standard errors."""
    return {
        task: {
            metric.removesuffix(",none"): float(value)
            for metric, value in row.items()
            if isinstance(value, int | float) and "," in metric and "_stderr," not in metric
        }
        for task, row in results.items()
    }
