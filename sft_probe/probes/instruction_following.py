"""Does the model do what it is told about the form of its answers?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from sft_probe.data import instruction_battery as battery
from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.data.instructions import RULES, planted_rules
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import Benchmark, Generations, Need
from sft_probe.observe.observations import Observed
from sft_probe.probes import options
from sft_probe.probes.base import About
from sft_probe.probes.scorers import ifeval, instructions
from sft_probe.probes.scorers.ifeval import benchmark_rows
from sft_probe.probes.scorers.instructions import Part, asked_part, conflict_part, turns_part
from sft_probe.schema import Measurements

METRICS = instructions.METRICS + ifeval.METRICS


@dataclass(frozen=True, kw_only=True)
class InstructionFollowing:
    """Verifiable rules put to the study's own questions, by the user, against the system, and a turn earlier.

    prompts: questions taken. rules: names, all by default. rules_per_prompt: each question is asked with so
    many of them, one at a time. trained: rules to count as trained where the training rows do not say so
    themselves. conflicts, turns: questions for these two parts; 0 leaves the part out. tasks: lm-eval tasks
    that report as IFEval does; task_limit: documents of each. seed: arguments and wordings.
    """

    name: ClassVar[str] = "instruction_following"
    about: ClassVar[About] = About(
        question="Does the model do what it is told about the form of its answers?",
        axis="what",
        source="Zhou et al. 2023, Instruction-Following Evaluation (arXiv 2311.07911); lift: own",
        null="lift 0: a rule holds as often when it is not asked for",
        blind_spots="Only form that a program can check. In a conflict the user's rule is the later one too. "
        "A conversation that does not fit the context loses its beginning, and with it an earlier rule.",
        cost="generation",
        headline=("adherence", "adherence_lift", "rule_specificity", "system_priority", "persistence_lift"),
    )

    dataset: str = "test"
    prompts: int = 24
    rules: tuple[str, ...] = tuple(RULES)
    rules_per_prompt: int = 4
    trained: tuple[str, ...] = ()
    conflicts: int = 12
    turns: int = 12
    max_new_tokens: int = 32
    tasks: tuple[str, ...] = ()
    task_limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        options.name(self.name, dataset=self.dataset)
        options.names(self.name, rules=self.rules)
        for rule in (*self.rules, *self.trained):
            options.one_of(self.name, RULES, rules=rule)
        counts = {"prompts": self.prompts, "rules_per_prompt": self.rules_per_prompt}
        options.at_least(
            self.name, 1, **counts, max_new_tokens=self.max_new_tokens, task_limit=self.task_limit
        )
        options.at_least(self.name, 0, conflicts=self.conflicts, turns=self.turns)

    def derive(self, data: DataSets) -> Mapping[str, Dataset]:
        """`.plain`: the questions. `.asked`: with a rule. `.conflict`: with two. `.turns`: a turn later.

        Raises: NotApplicable if there are not two questions.
        """
        rows = battery.questions(data[self.dataset], self.prompts)
        if len(rows) < 2:
            raise NotApplicable(f"data set '{self.dataset}' has no two questions that a rule could be put to")
        carried = planted_rules(data["train"]) if "train" in data else frozenset()
        trained = carried or frozenset(self.trained)
        draw = Random(f"{self.name}:{self.seed}")
        parts: dict[str, Iterable[Example]] = {
            "plain": rows,
            "asked": battery.asked(rows, self.rules, self.rules_per_prompt, trained, draw),
        }
        if self.conflicts:
            parts["conflict"] = battery.conflicts(rows[: self.conflicts], draw)
        if self._has_turns:
            parts["turns"] = battery.turns(rows[: self.turns], self._lasting, draw)
        made = {part: tuple(examples) for part, examples in parts.items()}
        if not made.get("turns", True):
            raise NotApplicable("no answer can be rewritten for the rules that are to last")
        names = {part: f"{self.name}.{part}" for part in made}
        return {names[part]: Dataset(names[part], examples) for part, examples in made.items()}

    def needs(self) -> tuple[Need, ...]:
        """Greedy answers to every part, and the benchmark if one is asked for."""
        parts = ("plain", "asked", *(["conflict"] * bool(self.conflicts)), *(["turns"] * self._has_turns))
        answers = tuple(self._answers(part) for part in parts)
        return (*answers, self._benchmark) if self.tasks else answers

    def measure(self, seen: Observed, base: Observed) -> Measurements:
        """Rows over all questions and by rule, each difference beside its change over the base; items with
        what was said when a rule was asked for."""
        found = Measurements()
        for now, before in zip(self._parts(seen), self._parts(base), strict=True):
            found += now.measurements(before)
        if self.tasks:
            found += Measurements(tuple(benchmark_rows(seen[self._benchmark], base[self._benchmark])))
        return found

    def _parts(self, seen: Observed) -> Iterator[Part]:
        yield asked_part(seen[self._answers("asked")], seen[self._answers("plain")])
        if self.conflicts:
            yield conflict_part(seen[self._answers("conflict")])
        if self._has_turns:
            yield turns_part(seen[self._answers("turns")])

    def _answers(self, part: str) -> Generations:
        return Generations(dataset=f"{self.name}.{part}", max_new_tokens=self.max_new_tokens)

    @property
    def _benchmark(self) -> Benchmark:
        return Benchmark(tasks=self.tasks, limit=self.task_limit, apply_chat_template=True)

    @property
    def _lasting(self) -> tuple[str, ...]:
        """The rules that an earlier answer can be rewritten for."""
        return tuple(rule for rule in self.rules if RULES[rule].follow)

    @property
    def _has_turns(self) -> bool:
        return bool(self.turns and self._lasting)
