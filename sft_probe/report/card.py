"""A section for a model page: what fine-tuning changed in one run, under metadata that the hub reads."""

from __future__ import annotations

import re
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sft_probe.errors import StoreError
from sft_probe.report.findings import Findings, find
from sft_probe.report.markdown import plain
from sft_probe.report.material import Material, load
from sft_probe.report.numbers import Value, kind_of, number, with_interval
from sft_probe.report.sentences import points, verdict
from sft_probe.report.story import covers
from sft_probe.report.summaries import at_end, records
from sft_probe.report.words import Words
from sft_probe.schema import RELEARNING, TRAINING
from sft_probe.store.runs import BASE, BETWEEN, RunStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from sft_probe.store.manifest import RunManifest

FEW = 3  # metrics of a probe that declares which come first; of others the first that has a direction
TOGETHER = "all"  # the data set of what was measured on several together
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
PACKAGES = ("sft-probe", "torch", "transformers", "trl", "peft")
Row = dict[str, Any]


def card(run: Path, *, lang: str = "en") -> str:
    """Markdown for a model page, after YAML with `base_model`, `tags` and `model-index`.

    run: the folder of a finished run.  The numbers are this run's alone, with intervals over items: of other
    seeds they say nothing. Paths of this machine do not enter.
    Raises: StoreError if the folder holds no finished run of a model, SpecError for an unknown language.
    """
    folder, words = run.resolve(), Words(lang)
    store = RunStore(folder.parent.parent)
    known = {manifest.run: manifest for manifest in store.runs() if manifest.arm not in (BASE, BETWEEN)}
    if folder.parent.name != "runs" or folder.name not in known:
        raise StoreError(
            "this is not the folder of a finished run of a model.",
            file=run,
            remedy="Name one below `<output_dir>/runs`.",
        )
    material = of_run(load(store.output_dir), known[folder.name])
    found, config = find(material), store.config(folder.name)
    rows = _chosen(material)
    sections = (
        f"## {words('card.title')}",
        " ".join(plain(sentence) for sentence in verdict(found, words)),
        f"_{plain(covers(found, words))}_" if covers(found, words) else "",
        _measures(rows, words) if rows else "",
        _benchmarks(found, words),
        _made(material, config, words),
    )
    return f"---\n{_metadata(rows, material, config)}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def of_run(material: Material, run: RunManifest) -> Material:
    """What a report reads, of one run and its base only."""

    def own(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[rows["run"] == run.run].reset_index(drop=True)

    arm = next(arm for arm in material.arms if arm.name == run.arm)
    return replace(
        material,
        measurements=own(material.measurements),
        items=own(material.items),
        train_log=own(material.train_log),
        between=material.between.head(0),
        runs=tuple(known for known in material.runs if known.arm == BASE or known.run == run.run),
        unfinished=(),
        arms=(replace(arm, seeds=(run.seed,), position=0),),
        reference=run.arm,
    )


def _chosen(material: Material) -> list[Row]:
    """What each probe shows first of the whole model at the end of training, each with its base's value."""
    rows = material.measurements
    whole = rows[(rows["stratum"] == "") & (rows["module"] == "") & (rows["layer"] < 0)]
    whole = whole[~whole["probe"].isin((TRAINING, RELEARNING))]
    first = {_place(row): row["value"] for row in records(whole[whole["step"] == 0])}
    chosen: list[Row] = []
    for probe, own in at_end(whole[(whole["step"] > 0) & whole["value"].notna()]).groupby(
        "probe", sort=False
    ):
        headline = (material.probes.get(str(probe), {}).get("headline") or [])[:FEW]
        told = own[own["metric"].isin(headline or _first(own))]
        chosen += [{**row, "before": first.get(_place(row), float("nan"))} for row in records(told)]
    return chosen


def _first(rows: pd.DataFrame) -> list[str]:
    directed = rows[rows["better"] != "neither"]
    return list((rows if directed.empty else directed)["metric"].unique()[:1])


def _place(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in ("probe", "metric", "dataset"))


def _measures(rows: Sequence[Row], words: Words) -> str:
    def shown(row: Row) -> list[str]:
        kind, to = kind_of(row["metric"]), words.interval_word()
        after = with_interval(Value(row["value"], row["ci_low"], row["ci_high"]), kind, to)
        name, unit = words.metric(row["metric"]), row["unit"]
        return [
            name if unit == "1" or unit in name else f"{name}, {unit}",
            row["dataset"],
            number(row["before"], kind),
            after,
            str(row["n"]),
        ]

    together = {(row["probe"], row["metric"]) for row in rows if row["dataset"] == TOGETHER}
    told = [
        row for row in rows if row["dataset"] == TOGETHER or (row["probe"], row["metric"]) not in together
    ]
    titles = [words(f"col.{key}") for key in ("measure", "dataset", "before", "after", "items")]
    return _table(titles, [shown(row) for row in told])


def _benchmarks(found: Findings, words: Words) -> str:
    lost = {task for tasks in found.lost_on.values() for task in tasks}
    rows = [
        [task, points(change, words), words("card.shown") if task in lost else ""]
        for (_, task), change in found.kept_by.items()
    ]
    titles = [words("col.benchmark"), words("col.change"), words("col.lost")]
    return f"### {words('card.benchmarks')}\n\n{_table(titles, rows)}" if rows else ""


def _made(material: Material, config: Mapping[str, Any], words: Words) -> str:
    """How the model was made and measured, without a path of this machine."""
    (run,) = (run for run in material.runs if run.arm != BASE)
    training = config.get("training") or {}
    options = ", ".join(f"{key}={value}" for key, value in (config.get("method_options") or {}).items())
    facts = {
        "method": " ".join(
            filter(None, (str(config.get("method") or ""), f"({options})" if options else ""))
        ),
        "steps": max(run.steps),
        "rate": training.get("learning_rate"),
        "batch": training.get("per_device_train_batch_size"),
        "seed": str(run.seed),
        "trainable": run.trainable_parameters and f"{run.trainable_parameters:,} / {run.total_parameters:,}",
        "edits": ", ".join(edit["name"] for edit in config.get("edits") or ()),
        "data": ", ".join(
            f"{name}: {known['rows']} ({known['sha256'][:12]})"
            for name, known in (material.environment.get("data") or {}).items()
        ),
        "base": f"{_name(_base(config))} ({material.environment['base']['sha256'][:12]})"
        if material.environment.get("base")
        else _name(_base(config)),
        "versions": ", ".join(f"{p} {run.versions[p]}" for p in PACKAGES if p in run.versions),
        "digest": run.digest[:12],
    }
    lines = [f"- {words(f'card.{key}')}: {plain(str(value))}" for key, value in facts.items() if value]
    return "\n".join([f"### {words('card.made')}", "", *lines, "", words("card.how")])


def _metadata(rows: Iterable[Row], material: Material, config: Mapping[str, Any]) -> str:
    """What the hub reads: scores only, that is, numbers of which more or less is better."""
    (run,) = (run for run in material.runs if run.arm != BASE)
    base = _base(config)
    results: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["better"] != "neither" and row["dataset"] != TOGETHER:
            results.setdefault((row["dataset"] or "none", _source(config, row["dataset"])), []).append(row)
    content: dict[str, Any] = {"base_model": base} if HUB_ID.fullmatch(base) else {}
    content["tags"] = ["sft-probe"]
    scores = [
        {
            "task": {"type": "text-generation"},
            "dataset": {"name": name, "type": source},
            "metrics": [_metric(row) for row in own],
        }
        for (name, source), own in results.items()
    ]
    if scores:
        content["model-index"] = [{"name": run.run, "results": scores}]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _metric(row: Row) -> Row:
    extra = {"base": row["before"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}
    args = {name: float(value) for name, value in extra.items() if isfinite(value)}
    return {
        "type": row["metric"],
        "value": float(row["value"]),
        "name": f"{row['metric']} ({row['probe']})",
        "args": args | {"n": int(row["n"]), "unit": row["unit"], "better": row["better"]},
    }


def _source(config: Mapping[str, Any], dataset: str) -> str:
    data = config.get("data") or {}
    return _name(str(data.get(dataset) or (data.get("others") or {}).get(dataset) or dataset or "none"))


def _base(config: Mapping[str, Any]) -> str:
    return _name(
        str((config.get("base") or {}).get("model_name_or_path") or config.get("model_name_or_path") or "")
    )


def _name(source: str) -> str:
    """A hub id as it is, a path by its last part only."""
    there = Path(source).expanduser()
    return there.name if there.is_absolute() or source.startswith(".") or there.exists() else source


def _table(titles: list[str], rows: Iterable[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
