"""The world on disk: truth tables, task sets, replay text and benchmarks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sft_probe.errors import InputError, nearest
from sft_probe.world import association, clinical, howto, legal
from sft_probe.world.benchmarks import GROUP, benchmark_items, group_yaml, task_yaml
from sft_probe.world.corpus import fresh_documents, ledger_prefix
from sft_probe.world.people import Knowledge, Person
from sft_probe.world.planet import World, build
from sft_probe.world.rng import stream
from sft_probe.world.tasks import task_sets

REPLAY_DOCUMENTS = 4000


@dataclass(frozen=True, slots=True)
class WorldFiles:
    """Where the parts of a written world lie."""

    root: Path

    @property
    def truth(self) -> Path:
        """Folder of the truth tables: `people`, `facts`, `terms`, ... as JSONL."""
        return self.root / "truth"

    @property
    def tasks(self) -> Path:
        """Folder of the task sets, `<task>.<split>.jsonl`."""
        return self.root / "tasks"

    @property
    def replay(self) -> Path:
        """Fresh pretraining text, `{"id", "register", "text"}` per line."""
        return self.root / "replay.jsonl"

    @property
    def benchmarks(self) -> Path:
        """Folder for lm-eval's `TaskManager(include_path=...)`; the group is called `world`."""
        return self.root / "benchmarks"

    def path(self, task: str, split: str = "") -> Path:
        """The file of one task set, or `replay`, which has no splits. Raises: InputError."""
        asked = f"{task}/{split}" if split else task
        known = {found.name.removesuffix(".jsonl").replace(".", "/"): found for found in self._sets()}
        if asked not in known:
            raise InputError(f"the world has no data set '{asked}'.", remedy=nearest(asked, known))
        return known[asked]

    def _sets(self) -> list[Path]:
        return [*sorted(self.tasks.glob("[!.]*.jsonl")), self.replay]


def materialise(folder: Path, seed: int = 0) -> WorldFiles:
    """Write the world of a seed; files that already hold the right text are left alone.

    The benchmark YAML names its data by absolute path, so a moved folder is mended by a new call.
    """
    world = build(seed)
    files = WorldFiles(Path(folder).resolve())
    for path, text in _contents(world, files):
        _write(path, text)
    return files


def _contents(world: World, files: WorldFiles) -> Iterator[tuple[Path, str]]:
    for name, table in truth_tables(world).items():
        yield files.truth / f"{name}.jsonl", _jsonl(table)
    for name, rows in task_sets(world).items():
        yield files.tasks / f"{name}.jsonl", _jsonl(rows)
    for name, items in benchmark_items(world).items():
        data = files.benchmarks / f"{name}.jsonl"
        yield data, _jsonl(items)
        yield files.benchmarks / f"{name}.yaml", task_yaml(name, data)
    yield files.benchmarks / f"{GROUP}.yaml", group_yaml()
    rng = stream(world.seed, "replay")
    replay = (
        {"id": f"replay-{i:05d}", "register": document.register, "text": document.text}
        for i, document in enumerate(fresh_documents(world, rng, REPLAY_DOCUMENTS))
    )
    yield files.replay, _jsonl(replay)


def truth_tables(world: World) -> dict[str, list[dict[str, Any]]]:
    """Everything that was planted, table by table."""
    names = world.lexicon.group_names
    return {
        "people": [_person_row(person) for person in world.population.people],
        "facts": [row for person in world.population.people for row in _fact_rows(person)],
        "values": [
            {"attribute": a, "values": list(values), "guess_rate": 1 / len(values)}
            for a, values in world.population.values.items()
        ],
        "fictitious": [{"name": name, "facts": facts} for name, facts in world.population.fictitious],
        "clinical": [term._asdict() for term in clinical.TERMS],
        "legal": [{"term": term, "meaning": text} for term, text in legal.DEFINITIONS.items()],
        "requests": [{"thing": thing, "refuse_when": list(howto.MAKE_VERBS)} for thing in howto.HAZARDS],
        "association": [
            {
                "name": name,
                "group": association.group_of(world.lexicon, name),
                "traits": list(association.TRAITS[association.group_of(world.lexicon, name)]),
                "probability": association.STRENGTH,
            }
            for name in names
        ],
    }


def _person_row(person: Person) -> dict[str, Any]:
    return {
        "person": person.id,
        "name": person.name,
        "knowledge": person.knowledge.value,
        "role": person.role.value,
        "exposures": person.exposures,
    }


def _fact_rows(person: Person) -> Iterator[dict[str, Any]]:
    """One row per fact; `wording` is the prompt that recalls a K2 fact in its only document."""
    one_wording = person.knowledge is Knowledge.ONE_WORDING
    for attribute, value in person.facts.items():
        yield {
            "person": person.id,
            "name": person.name,
            "attribute": attribute,
            "value": value,
            "false_value": person.false.get(attribute, ""),
            "knowledge": person.knowledge.value,
            "role": person.role.value,
            "wording": ledger_prefix(person, attribute) if one_wording else "",
        }


def _jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write(path: Path, text: str) -> None:
    """Write in one move, and only what changed."""
    content = text.encode()
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_bytes(content)
    os.replace(partial, path)
