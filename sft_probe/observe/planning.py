"""The plan of a look before it is taken: which group of needs is read with how many passes and tokens.

A planner goes the observer's way, look after look, with the same rules for what is read together and what is
kept, but counts where the observer reads. Tests hold the two against each other. Answers are unknown before
they are made: their plan is an upper bound, as if none ended early.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from sft_probe.data.examples import DataSets
from sft_probe.models.anatomy import anatomy
from sft_probe.models.load import LoadedModel
from sft_probe.observe.answering import Prompt, fitted, guesses
from sft_probe.observe.attending import attention_budget
from sft_probe.observe.grafting import grounds
from sft_probe.observe.grouping import (
    Answering,
    Asking,
    Decoding,
    Forced,
    afterwards,
    asking,
    at_base,
    by_asking,
    by_changes,
    declared,
    forces,
    of_base_too,
    widest,
    widest_scores,
)
from sft_probe.observe.interventions import Graft
from sft_probe.observe.interventions.prompts import split
from sft_probe.observe.interventions.weights import blocks
from sft_probe.observe.lending import lend
from sft_probe.observe.needs import (
    Attention,
    Benchmark,
    Generations,
    Grafts,
    Need,
    Scores,
    Standing,
    StateLikeness,
    States,
    TokenDivergence,
    TokenLogprobs,
)
from sft_probe.observe.passages import Budget, Passage, Wish, merge, plan
from sft_probe.observe.rendering import Rendering
from sft_probe.observe.scoring import Question
from sft_probe.observe.states import chosen_positions
from sft_probe.observe.workload import (
    Key,
    Ledger,
    Traits,
    Work,
    answer_all,
    asked_tokens,
    batches_of,
    go_on,
    read_alone,
    read_behind,
)

UNKNOWN = -1  # stands for a token of an answer that is not made yet
ROOM = 2**26  # numbers that are kept of the base, of its predictions and of its states; as in the observer
DIRECTIONS = "(directions)"  # in place of a probe, for states that only an intervention asks for

Wanted = Mapping[Need, tuple[str, ...]]
"""Needs, each with the names of the probes that it serves."""

Members = dict[Key, dict[Need, tuple[str, ...]]]
Subject = Literal["model", "base"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Needs under the same interventions that look at the same data. subject: whose forward passes.

    work: its passes may also read text of other groups, so passes of groups do not add up to those of a look.
    """

    subject: Subject
    under: tuple[str, ...]
    data: str
    needs: tuple[str, ...]
    probes: tuple[str, ...]
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """One look. width: tokens per row on average. largest: positions of the largest pass."""

    groups: tuple[Group, ...]
    work: Work
    width: int
    largest: int


@dataclass
class _Kept:
    """What is remembered of the base from look to look, up to `room` numbers."""

    room: int
    keys: set[object] = field(default_factory=set)

    def keep(self, key: object, size: int) -> None:
        if key not in self.keys and size <= self.room:
            self.room -= size
            self.keys.add(key)


class _Rows(NamedTuple):
    """Passages that one need wants read. room: tokens of the answers that begin in them, if any do."""

    need: Forced | Answering
    questions: Sequence[Question]
    room: int = 0

    def passages(self, *, packing: bool) -> list[Passage]:
        """What is read for it."""
        packed = packing and isinstance(self.need, Scores)
        return [question.packed if packed else question.trunk for question in self.questions]


@dataclass(frozen=True)
class _Said:
    """Answers that are made, by prompt and decoding. kept: those the model was seen making in this look."""

    known: set[tuple[Prompt, Decoding]]
    kept: set[tuple[Prompt, Decoding]] = field(default_factory=set)


class Planner:
    """Plans looks at the models of one base, as an `Observer` with the same arguments would take them.

    Call it in the order of the looks: what the observer keeps of the base, the planner remembers. It knows
    nothing of a cache on disk, so it plans as if nothing were there.
    """

    def __init__(
        self,
        base: LoadedModel,
        data: DataSets,
        *,
        token_budget: int = 4096,
        chat_template: str | None = None,
        benchmark_paths: tuple[Path, ...] = (),
    ) -> None:
        self._base, self._budget, self._paths = base, Budget(tokens=token_budget), benchmark_paths
        self._rendering = Rendering(data, base.tokenizer, chat_template)
        with lend(base.model):
            self.traits = Traits.of(base.model)
        self._base_seen: set[Need] = set()
        self._answered: set[tuple[Prompt, Decoding]] = set()
        self.forget()
        self._benchmarks: dict[Benchmark, Ledger] = {}
        self.documents: dict[Benchmark, int] = {}

    def forget(self) -> None:
        """Plan as after `Observer.forget`, with which every run begins."""
        self._logits, self._states = _Kept(ROOM), _Kept(ROOM)

    def look_at_base(self, wanted: Wanted) -> LookPlan:
        """What looking at the base costs now."""
        ledger = Ledger()
        members = self._look_at_base(ledger, wanted)
        return _result(ledger, members)

    def look(self, wanted: Wanted) -> LookPlan:
        """What a look at a model costs now, that at its base, where it is needed beside it, included."""
        ledger = Ledger()
        return _result(ledger, self._see(ledger, wanted, base=False))

    @property
    def kept(self) -> int:
        """Numbers that are remembered of the base."""
        return 2 * ROOM - self._logits.room - self._states.room

    def _look_at_base(self, ledger: Ledger, wanted: Wanted) -> Members:
        simple: dict[Need, tuple[str, ...]] = {}
        for need, probes in wanted.items():
            simple[at_base(need)] = simple.get(at_base(need), ()) + probes
        unseen = {need: probes for need, probes in simple.items() if need not in self._base_seen}
        self._base_seen |= unseen.keys()
        kept = self._logits, self._states
        self.forget()
        members = self._see(ledger, unseen, base=True)
        self._logits, self._states = kept
        return members

    def _see(self, ledger: Ledger, wanted: Wanted, *, base: bool) -> Members:
        named = declared(wanted)
        moved: dict[Need, tuple[str, ...]] = dict.fromkeys(named.values(), (DIRECTIONS,))
        look = _Look(ledger, {**moved, **wanted}, "base" if base else "model")
        for changes, group in by_changes((*wanted, *moved)).items():
            if changes and named:
                of_base: Wanted = dict.fromkeys(of_base_too(named), (DIRECTIONS,))
                look.members.update(self._look_at_base(ledger, of_base))
                named = {}
            self._see_group(replace(look, pristine=base and not changes), tuple(dict.fromkeys(group)))
        return look.members

    def _see_group(self, look: _Look, needs: Sequence[Need]) -> None:
        said = _Said(self._answered if look.pristine else set())
        answering = by_asking(needs)
        self._forced(look, [need for need in needs if forces(need)], answering, said)
        for asked, own in answering.items():
            self._answers(look, asked, own, said)
        for need in needs:
            if isinstance(need, Benchmark):
                self._benchmark(look, need)
            elif isinstance(need, Attention):
                self._attention(look, need)
            elif isinstance(need, Grafts):
                self._grafts(look, need)
            elif isinstance(need, Standing):
                look.ask(need, 0)

    def _forced(
        self,
        look: _Look,
        needs: Sequence[Forced],
        answering: Mapping[Asking, Sequence[Answering]],
        said: _Said,
    ) -> None:
        """One pass over known text of all data sets, then what it does not show."""
        asked = {need: self._questions(look, need) for need in needs}
        for need, questions in asked.items():
            look.ask(need, _tokens_of(need, questions))
        readers = [_Rows(need, asked[need]) for need in dict.fromkeys(widest_scores(needs).values())]
        readers += [self._draft(asking, own, widest(own), said) for asking, own in answering.items()]
        self._read(look, readers)

    def _read(self, look: _Look, readers: Sequence[_Rows]) -> None:
        merged, wishes = merge([rows.passages(packing=self.traits.packing) for rows in readers])
        apart: dict[int, list[Passage]] = {}
        for batch in plan(merged, self._budget, self.traits.bound):
            owners = [look.key(readers[wishes[member][0].reader].need) for member in batch.members]
            lengths = (passage.size for passage in batch.passages)
            look.ledger.read(zip(owners, lengths, strict=True), batch.width)
            for index, rows in enumerate(readers):
                own = [
                    (row, w) for row, m in enumerate(batch.members) for w in wishes[m] if w.reader == index
                ]
                apart.setdefault(index, []).extend(self._beside(look, rows, own))
        for index, passages in apart.items():
            key = look.key(readers[index].need)
            read_alone(look.ledger, key, batches_of(passages, self._budget, self.traits))

    def _draft(self, asked: Asking, answering: Sequence[Answering], limit: int | None, said: _Said) -> _Rows:
        """Prompts with guesses, whose answers begin in the pass over them."""
        prompts, _, decoding = fitted(self._rendering, asked, limit, self.traits.context)
        rows = self._rendering.prepared(asked.dataset, limit, asked.wording)
        found = guesses(rows, prompts, asked, decoding, said.known) if self.traits.branching else {}
        said.known.update((prompt, decoding) for prompt in found)
        if afterwards(answering) and not self.traits.bound:
            said.kept.update((prompt, decoding) for prompt in found)
        passages = [passage for passage in found.values() for _ in range(decoding.n)]
        questions = [Question(p.ids[: p.start], (p.ids[p.start :],)) for p in passages]
        return _Rows(answering[0], questions, decoding.max_new_tokens)

    def _beside(self, look: _Look, rows: _Rows, own: Sequence[tuple[int, Wish]]) -> list[Passage]:
        """What one reader does with its share of a batch. Returns: what it reads later."""
        need, passages = rows.need, [wish.passage for _, wish in own]
        if rows.room:
            go_on(look.ledger, look.key(need), len(own), rows.room)
            return []
        if isinstance(need, Scores):
            questions = [(row, rows.questions[wish.member]) for row, wish in own]
            packed = self.traits.packing
            return read_behind(
                look.ledger, look.key(need), questions, self._budget, self.traits, packed=packed
            )
        if isinstance(need, TokenDivergence) and not look.pristine:
            sizes = {p: (len(p.ids) - p.start) * self.traits.wide for p in passages}
            self._read_base(look, need, self._logits, {p: (p, size) for p, size in sizes.items()})
        if isinstance(need, StateLikeness):
            chosen = replace(need, limit=None, under=())
            layers = self._n_layers(need)
            sizes = {p: layers * len(chosen_positions(p, need)) * self._hidden for p in passages}
            entries: dict[Passage, tuple[object, int]] = {p: ((chosen, p), size) for p, size in sizes.items()}
            if not look.pristine:
                self._read_base(look, need, self._states, entries)
            elif not need.under:
                for entry in entries.values():
                    self._states.keep(*entry)
        return []

    def _read_base(
        self, look: _Look, need: Forced, kept: _Kept, entries: Mapping[Passage, tuple[object, int]]
    ) -> None:
        """The base on passages that it was not seen on. entries: name and size of what is kept of each."""
        missing = [passage for passage, (name, _) in entries.items() if name not in kept.keys]
        if missing:
            key = look.beside(need)
            batches = plan(missing, self._budget, self.traits.bound)
            look.ledger.ask(key, sum(len(passage.ids) - 1 for passage in missing))
            read_alone(look.ledger, key, batches)
            for passage in (passage for batch in batches for passage in batch.passages):
                kept.keep(*entries[passage])

    def _questions(self, look: _Look, need: Forced) -> Sequence[Question]:
        if isinstance(need, TokenDivergence | TokenLogprobs) and need.contexts in ("base", "sampled"):
            beside, said = replace(look, subject="base"), _Said(self._answered)
            before = look.ledger.groups[beside.key(need)].tokens
            found, _ = self._answered_questions(beside, asking(need), [need], need.limit, said)
            look.ledger.ask(beside.key(need), look.ledger.groups[beside.key(need)].tokens - before)
            return found
        wording = split(need.under)[0]
        prepared = self._rendering.prepared(need.dataset, need.limit, wording)
        return [p.question(self.traits.context)[0] for p in prepared]

    def _answers(self, look: _Look, asked: Asking, answering: Sequence[Answering], said: _Said) -> None:
        questions, kept = self._answered_questions(look, asked, answering, widest(answering), said)
        forced = []
        for need in answering:
            own = questions[: need.limit]
            look.ask(need, asked_tokens(own) * asked.decoding.n)
            if not isinstance(need, Generations):
                look.ask(need, asked_tokens(own))
                forced.append(_Rows(need, own))
        self._forced_answers(look, forced, kept=kept)

    def _forced_answers(self, look: _Look, readers: Sequence[_Rows], *, kept: bool) -> None:
        """Answers of the model, read by the model unless it was seen making them, and by its base."""
        merged, wishes = merge([[question.trunk for question in rows.questions] for rows in readers])
        batches = plan(merged, self._budget, self.traits.bound)
        if batches and not kept:
            read_alone(look.ledger, look.key(readers[0].need), batches)
        together = (
            [[member for batch in batches for member in batch.members]]
            if kept
            else [list(batch.members) for batch in batches]
        )
        for members in together:
            for index, rows in enumerate(readers):
                own = [w for member in members for w in wishes[member] if w.reader == index]
                if own and isinstance(rows.need, TokenDivergence) and not look.pristine:
                    passages = {wish.passage: (wish.passage, 1) for wish in own}
                    self._read_base(look, rows.need, _Kept(0), passages)

    def _answered_questions(
        self,
        look: _Look,
        asked: Asking,
        answering: Sequence[Answering],
        limit: int | None,
        said: _Said,
    ) -> tuple[list[Question], bool]:
        """Prompts with answers of unknown tokens, as long as they may become; those not known are made.

        Returns: them, and whether the model was seen making all of them.
        """
        prompts, _, decoding = fitted(self._rendering, asked, limit, self.traits.context)
        self._read(look, [self._draft(asked, answering, limit, said)])
        missing = [prompt for prompt in dict.fromkeys(prompts) if (prompt, decoding) not in said.known]
        rows = [prompt for prompt in missing for _ in range(decoding.n)]
        key = look.key(answering[0])
        answer_all(look.ledger, key, rows, decoding.max_new_tokens, self._budget, self.traits)
        said.known.update((prompt, decoding) for prompt in missing)
        questions = [Question(prompt, ((UNKNOWN,) * decoding.max_new_tokens,)) for prompt in prompts]
        return questions, said.kept.issuperset((prompt, decoding) for prompt in prompts)

    def _attention(self, look: _Look, need: Attention) -> None:
        """Passes of its own over the prompts, and the base beside it."""
        prepared = self._rendering.prepared(need.dataset, need.limit)
        questions = [p.question(self.traits.context)[0] for p in prepared]
        passages = [question.trunk for question in questions]
        allowed = attention_budget(self._budget)
        look.ask(need, sum(len(passage.ids) - 1 for passage in passages))
        for key in [look.key(need)] if look.pristine else [look.key(need), look.beside(need)]:
            read_alone(look.ledger, key, plan(passages, allowed, self.traits.bound))

    def _grafts(self, look: _Look, need: Grafts) -> None:
        """As if training changed every block and the search went on to its end."""
        every, half = grounds(need, self._paths)
        if look.subject == "base":
            self._see_group(look.on_behalf(need, (*every.needs, *half.needs)), (*every.needs, *half.needs))
            return
        n_blocks = len(blocks(self._base.model, self._base.model))
        for over, times in ((every, 1 + 4 * n_blocks + need.most), (half, need.width * (need.most - 1))):
            needs = tuple(replace(n, under=(Graft(),)) for n in over.needs)
            for _ in range(times):
                self._see_group(look.on_behalf(need, needs), needs)

    def _benchmark(self, look: _Look, need: Benchmark) -> None:
        if need not in self._benchmarks:
            from sft_probe.observe.lm_eval_planning import plan_benchmark

            self._benchmarks[need], self.documents[need] = plan_benchmark(
                self._base,
                need,
                self._paths,
                self._budget,
                template=self._rendering.template,
                traits=self.traits,
            )
        found = self._benchmarks[need]
        look.ask(need, found.total.asked)
        look.ledger.include(look.key(need), found)

    @property
    def _hidden(self) -> int:
        return int(self._base.model.config.get_text_config().hidden_size)

    def _n_layers(self, need: StateLikeness | States) -> int:
        if need.layers is not None:
            return len(need.layers)
        parts = anatomy(self._base.model)
        if need.place == "residual":
            return len(parts.blocks) + 1
        modules = parts.attention if need.place == "attention" else parts.mlp
        return sum(module is not None for module in modules)


@dataclass(frozen=True)
class _Look:
    """What goes along through the plan of one look. pristine: the base, unchanged, is looked at itself."""

    ledger: Ledger
    wanted: Wanted
    subject: Subject
    pristine: bool = False
    members: Members = field(default_factory=dict)

    def key(self, need: Need) -> Key:
        """The group in which the subject is looked at for a need."""
        return self._group(self.subject, need)

    def beside(self, need: Need) -> Key:
        """The group in which the base is read beside it."""
        return self._group("base", need)

    def ask(self, need: Need, tokens: int) -> None:
        """Every probe would read them for itself."""
        self.ledger.ask(self.key(need), tokens * len(self.wanted[need]))

    def on_behalf(self, need: Need, others: Iterable[Need]) -> _Look:
        """The same look, in which other needs are looked at for one."""
        return replace(self, wanted={**self.wanted, **dict.fromkeys(others, self.wanted[need])})

    def _group(self, subject: Subject, need: Need) -> Key:
        if isinstance(need, Standing):
            key = Key(subject, (), "")
        else:
            key = Key(
                subject, need.under, ", ".join(getattr(need, "tasks", ())) or getattr(need, "dataset", "")
            )
        self.members.setdefault(key, {})[need] = self.wanted[need]
        return key


def _tokens_of(need: Forced, questions: Sequence[Question]) -> int:
    """Only scores ask for every continuation; all other needs read the first one."""
    if not isinstance(need, Scores):
        questions = [Question(q.context, q.continuations[:1]) for q in questions]
    return asked_tokens(questions)


def _result(ledger: Ledger, members: Members) -> LookPlan:
    groups = tuple(
        Group(
            subject=key.subject,
            under=tuple(map(repr, key.under)),
            data=key.data,
            needs=_names(type(need).__name__ for need in needs),
            probes=_names(probe for probes in needs.values() for probe in probes),
            work=ledger.groups[key],
        )
        for key, needs in members.items()
    )
    return LookPlan(groups=groups, work=ledger.total, width=ledger.width, largest=ledger.largest)


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
