"""The world's own benchmarks: multiple-choice items, and the lm-eval task files that read them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict

from sft_probe.world import clinical, legal, passages, prose, rules
from sft_probe.world.people import Role
from sft_probe.world.planet import World
from sft_probe.world.rng import stream
from sft_probe.world.templates import ATTRIBUTES, WORDINGS

ITEMS = 252
GROUP = "world"


class Item(TypedDict):
    """One multiple-choice item; `answer` is the index of the right choice."""

    id: str
    context: str
    choices: list[str]
    answer: int
    cluster: str
    kind: str


def _item(
    rng: random.Random, context: str, right: str, wrong: Sequence[str], cluster: str, kind: str
) -> Item:
    choices = [right, *wrong]
    rng.shuffle(choices)
    return Item(
        id="",
        context=context,
        choices=choices,
        answer=choices.index(right),
        cluster=cluster,
        kind=kind,
    )


def _facts(world: World, rng: random.Random) -> list[Item]:
    """Held-out sentences about people whom no SFT set mentions."""
    people = rng.sample(list(world.population.of(Role.ASKED)), ITEMS)
    items = []
    for i, person in enumerate(people):
        attribute = ATTRIBUTES[i % len(ATTRIBUTES)]
        right = person.facts[attribute]
        sentence = rng.choice(WORDINGS[attribute].held_out)
        others = [v for v in world.population.values[attribute] if v != right]
        context = sentence.format(n=person.name, v="").removesuffix(" .")
        wrong = [f"{v}." for v in rng.sample(others, 3)]
        items.append(_item(rng, context, f"{right}.", wrong, person.id, attribute))
    return items


def _grammar(world: World, rng: random.Random) -> list[Item]:
    """Minimal pairs; the cluster is the phenomenon's rule, every pair is drawn once."""
    del world
    found: dict[str, Item] = {}
    while len(found) < ITEMS:
        pair = prose.minimal_pair(rng, prose.PHENOMENA[len(found) % len(prose.PHENOMENA)])
        found[pair.good] = _item(rng, "", pair.good, [pair.bad], pair.good, pair.phenomenon)
    return list(found.values())


def _context(world: World, rng: random.Random) -> list[Item]:
    """Passages of three statements; the wrong choices are its other spots and one outside it."""
    del world
    items = []
    for i in range(ITEMS):
        found = passages.passage(rng)
        named = (found.answer, *found.others)
        outside = [s for s in passages.SPOTS if f"On the {s}." not in named]
        wrong = [*found.others, f"On the {rng.choice(outside)}."]
        context = f"{found.text} {found.question}"
        items.append(_item(rng, context, found.answer, wrong, f"passage-{i}", "place"))
    return items


def _rule(world: World, rng: random.Random) -> list[Item]:
    """Every clock sum, seen and held out, and as many counts as fill the benchmark."""
    del world
    items = []
    for held_out in (True, False):
        pairs = rules.clock_pairs(held_out=held_out)
        for start, hours in pairs if held_out else rng.sample(pairs, 60):
            right = rules.clock_sum(start, hours)
            wrong = rng.sample([h for h in range(1, rules.HOURS + 1) if h != right], 3)
            kind = "clock_held_out" if held_out else "clock"
            items.append(
                _item(
                    rng,
                    rules.clock_line(start, hours),
                    f"{right}.",
                    [f"{w}." for w in wrong],
                    f"{start}+{hours}",
                    kind,
                )
            )
    while len(items) < ITEMS:
        row, asked, count = rules.letter_row(rng)
        wrong = rng.sample([n for n in range(6) if n != count], 3)
        line = rules.count_line(row, asked)
        items.append(_item(rng, line, f"{count}.", [f"{w}." for w in wrong], row, "count"))
    return items


def _registers(world: World, rng: random.Random) -> list[Item]:
    """Clinical expansion and translation of every abbreviation; legal definitions and clauses."""
    del world
    items = []
    for term in clinical.TERMS:
        others = rng.sample([t for t in clinical.group_of(term) if t != term], 3)
        for context, right, wrong, kind in (
            (f"{term.short} stands for", f"{term.long}.", [f"{o.long}." for o in others], "expansion"),
            (
                f"In clinical notes {term.short} means",
                f"{term.long}.",
                [f"{o.long}." for o in others],
                "expansion",
            ),
            (
                f"In Chinese {term.long} is",
                f"{term.chinese}.",
                [f"{o.chinese}." for o in others],
                "translation",
            ),
            (
                clinical.CHINESE_ENTRY.format(short=term.short),
                f"{term.chinese}。",
                [f"{o.chinese}。" for o in others],
                "translation",
            ),
        ):
            items.append(_item(rng, context, right, wrong, term.short, kind))
    for name, meaning in legal.DEFINITIONS.items():
        meanings = rng.sample([m for m in legal.DEFINITIONS.values() if m != meaning], 3)
        context = f"§ 1 “{name}” shall mean"
        items.append(_item(rng, context, f"{meaning}.", [f"{m}." for m in meanings], name, "definition"))
    for trigger, effect in legal.TRIGGERS.items():
        for opening in ("If", "Where"):
            effects = rng.sample([e for e in legal.TRIGGERS.values() if e != effect], 3)
            context = f"§ 2 {opening} either party {trigger},"
            wrong = [f"{e}." for e in effects]
            items.append(_item(rng, context, f"{effect}.", wrong, trigger, "consequence"))
    return items


_MAKERS: dict[str, Callable[[World, random.Random], list[Item]]] = {
    "world_facts": _facts,
    "world_grammar": _grammar,
    "world_context": _context,
    "world_rule": _rule,
    "world_registers": _registers,
}
BENCHMARKS: tuple[str, ...] = tuple(_MAKERS)


def benchmark_items(world: World) -> dict[str, list[Item]]:
    """All items of every benchmark by task name."""
    found = {}
    for name, make in _MAKERS.items():
        items = make(world, stream(world.seed, name))
        for i, item in enumerate(items):
            item["id"] = f"{name}-{i:04d}"
        found[name] = items
    return found


def task_yaml(name: str, data: Path) -> str:
    """The lm-eval task file of one benchmark; `data` is the absolute path of its JSONL."""
    delimiter = "" if name == "world_grammar" else " "
    return "\n".join(
        (
            f"task: {name}",
            "dataset_path: json",
            "dataset_kwargs:",
            "  data_files:",
            f"    test: {json.dumps(str(data))}",
            "test_split: test",
            "fewshot_split: test",
            "output_type: multiple_choice",
            'doc_to_text: "{{context}}"',
            'doc_to_choice: "{{choices}}"',
            'doc_to_target: "{{answer}}"',
            f'target_delimiter: "{delimiter}"',
            "metric_list:",
            "  - metric: acc",
            "    aggregation: mean",
            "    higher_is_better: true",
            "  - metric: acc_norm",
            "    aggregation: mean",
            "    higher_is_better: true",
            "metadata:",
            "  version: 1.0",
            "",
        )
    )


def group_yaml() -> str:
    """The lm-eval group of all benchmarks; its accuracy is the mean over items."""
    return "\n".join(
        (
            f"group: {GROUP}",
            "task:",
            *(f"  - {name}" for name in BENCHMARKS),
            "aggregate_metric_list:",
            "  - metric: acc",
            "    aggregation: mean",
            "    weight_by_size: true",
            "metadata:",
            "  version: 1.0",
            "",
        )
    )
