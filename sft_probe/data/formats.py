"""The formats rows come in, each turned into `Example` at the door.

A format is an entry point of the group `sft_probe.formats`: a function of one row and its place. With
`@reads(...)` it also says by which fields it is recognised, so that users need not name it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from sft_probe import registry
from sft_probe.data.examples import Example, Message
from sft_probe.errors import DataError, nearest

Row = Mapping[str, Any]
Role = Literal["system", "user", "assistant"]

QUESTION = ("prompt", "question", "instruction", "input", "query")
ANSWER = ("completion", "response", "answer", "output", "target", "gold")
CONTEXT = ("input", "context")
ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


class Where(NamedTuple):
    """Place of a row, for errors: file or hub id, and the row's number counted from 1."""

    file: str
    row: int

    def error(self, message: str, field: str = "", remedy: str | None = None) -> DataError:
        """A DataError about this row."""
        return DataError(message, file=self.file, row=self.row, field=field or None, remedy=remedy)


@dataclass(frozen=True)
class Format:
    """A reader of rows that knows by which fields its rows are recognised.

    fields: each group lists names of which one must be present. order: lower is asked first.
    """

    read: Callable[[Row, Where], Example]
    fields: tuple[tuple[str, ...], ...]
    order: int

    def __call__(self, row: Row, where: Where) -> Example:
        """Turn one row into an example. Raises: DataError with file, row and field."""
        return self.read(row, where)

    def recognises(self, row: Row) -> bool:
        """Whether the row has all fields this format needs."""
        return all(any(row.get(name) is not None for name in group) for group in self.fields)


def reads(*fields: tuple[str, ...], order: int = 0) -> Callable[[Callable[[Row, Where], Example]], Format]:
    """Declare the fields a format is recognised by. Foreign formats are asked first (order 0)."""
    return lambda read: Format(read, fields, order)


def choose(name: str, rows: Sequence[Row], source: str) -> Callable[[Row, Where], Example]:
    """The format called `name`, or for "auto" the one that recognises most of the first rows.

    Raises: UnknownComponent for an unknown name, DataError if no format recognises the rows.
    """
    if name != "auto":
        return cast("Callable[[Row, Where], Example]", registry.load("formats", name))
    formats = [registry.load("formats", known) for known in registry.available("formats")]
    detecting = sorted((f for f in formats if isinstance(f, Format)), key=lambda f: f.order)
    hits = [sum(map(f.recognises, rows[:20])) for f in detecting]
    if max(hits):
        return detecting[hits.index(max(hits))]
    raise DataError(
        f"no format recognises rows with the fields {', '.join(sorted(map(str, rows[0]))) or '(none)'}.",
        file=source,
        remedy="Known shapes: messages; prompt and completion (or question/answer, input/output); "
        "instruction and output; conversations; text. Rename the fields, or set `data.format`.",
    )


@reads(("messages",), order=1)
def from_messages(row: Row, where: Where) -> Example:
    """Chat rows `{"messages": [{"role", "content"}, …]}`; the last turn is the answer."""
    return _conversation(row, where, "messages", _turns(row.get("messages"), where, "messages"))


@reads(("conversations",), order=2)
def from_sharegpt(row: Row, where: Where) -> Example:
    """ShareGPT rows `{"conversations": [{"from", "value"}, …]}`; the last turn is the answer."""
    turns = _turns(row.get("conversations"), where, "conversations")
    return _conversation(row, where, "conversations", [*_system(row, where), *turns])


@reads(("instruction",), ("output", "response"), order=3)
def from_alpaca(row: Row, where: Where) -> Example:
    """Alpaca rows `{"instruction", "input", "output"}`, also with Dolly's names `context`, `response`."""
    parts = [_text(row, ("instruction",), where), _text(row, CONTEXT, where, default="")]
    question = "\n\n".join(part for part in parts if part)
    past = [
        turn
        for asked, answered in row.get("history") or ()
        for turn in (Message("user", asked), Message("assistant", answered))
    ]
    messages = [*_system(row, where), *past, Message("user", question)]
    return _example(row, where, messages, _text(row, ("output", "response"), where))


@reads(QUESTION, ANSWER, order=4)
def from_prompt_completion(row: Row, where: Where) -> Example:
    """Rows of a question and an answer, as text or as lists of turns (`prompt`, `completion`).

    A whole number as answer counts into the row's `choices` from 0. A `context` stands before the question.
    """
    name, asked = _field(row, QUESTION, where)
    answer_name, answer = _field(row, ANSWER, where)
    if isinstance(answer, int) and isinstance(row.get("choices"), list):
        answer = _chosen(row["choices"], answer, where, answer_name)
    if isinstance(asked, str) and isinstance(answer, str):
        question = "\n\n".join(part for part in (_text(row, ("context",), where, default=""), asked) if part)
        return _example(row, where, [*_system(row, where), Message("user", question)], answer)
    turns = [*_turns(asked, where, name, "user"), *_turns(answer, where, answer_name, "assistant")]
    return _conversation(row, where, answer_name, [*_system(row, where), *turns])


@reads(("text",), order=5)
def from_text(row: Row, where: Where) -> Example:
    """Plain text `{"text"}`: no question, every token is trained on."""
    return _example(row, where, [], _text(row, ("text",), where))


def _conversation(row: Row, where: Where, field: str, turns: Sequence[Message]) -> Example:
    if len(turns) < 2:
        raise where.error("a conversation needs a question and an answer.", field)
    if turns[-1].role != "assistant":
        raise where.error(
            f"the last turn is of the {turns[-1].role}, so there is no answer to learn.",
            field,
            "End the conversation with a turn of the assistant.",
        )
    return _example(row, where, turns[:-1], turns[-1].content)


def _example(row: Row, where: Where, messages: Sequence[Message], target: str) -> Example:
    meta = row.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise where.error(f"expected a mapping, found {_kind(meta)}.", "meta")
    return Example(
        id=str(row["id"]) if row.get("id") is not None else str(where.row),
        target=target,
        messages=tuple(messages),
        choices=_choices(row, where, target),
        stratum=str(row.get("stratum") or ""),
        cluster=str(row.get("cluster") or ""),
        meta=dict(meta),
    )


def _choices(row: Row, where: Where, target: str) -> tuple[str, ...]:
    """The closed answer set. Lists that do not hold the target belong to another scheme and are refused."""
    choices = row.get("choices")
    if choices is None or (isinstance(choices, Sequence) and not choices):
        return ()
    if not isinstance(choices, list | tuple) or not all(isinstance(c, str) for c in choices):
        raise where.error("expected a list of texts.", "choices")
    if target not in choices:
        raise where.error(
            f"the answer {target[:40]!r} is not one of the choices.",
            "choices",
            "Add the answer to the choices, or remove the field.",
        )
    return tuple(choices)


def _chosen(choices: Sequence[Any], index: int, where: Where, field: str) -> Any:
    if not 0 <= index < len(choices):
        raise where.error(f"answer {index} counts beyond the {len(choices)} choices.", field)
    return choices[index]


def _turns(value: Any, where: Where, field: str, role: Role | None = None) -> list[Message]:
    """Turns from a list of `{"role", "content"}` or `{"from", "value"}`, or one text said by `role`."""
    if role and isinstance(value, str):
        return [Message(role, value)]
    if not isinstance(value, list | tuple) or not value:
        raise where.error(f"expected a list of turns, found {_kind(value)}.", field)
    return [_turn(turn, where, f"{field}[{index}]") for index, turn in enumerate(value)]


def _turn(turn: Any, where: Where, field: str) -> Message:
    if not isinstance(turn, Mapping):
        raise where.error(f"expected a turn with role and content, found {_kind(turn)}.", field)
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if role not in ROLES:
        raise where.error(f"unknown role {role!r}.", field, nearest(str(role), ROLES))
    if isinstance(content, list | tuple):  # parts, as multimodal chats have them
        content = _joined(content)
    if not isinstance(content, str):
        raise where.error(f"expected text as content, found {_kind(content)}.", field)
    return Message(ROLES[role], content)


def _joined(parts: Sequence[Any]) -> str | None:
    """The text of a turn given in parts, or None if a part is not text."""
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None


def _system(row: Row, where: Where) -> list[Message]:
    text = _text(row, ("system", "system_prompt"), where, default="")
    return [Message("system", text)] if text else []


def _field(row: Row, names: Sequence[str], where: Where) -> tuple[str, Any]:
    """The first of the names the row has, and its value."""
    for name in names:
        if row.get(name) is not None:
            return name, row[name]
    raise where.error(
        "the field is missing or null.", names[0], f"Other names for it: {', '.join(names[1:])}."
    )


def _text(row: Row, names: Sequence[str], where: Where, default: str | None = None) -> str:
    if default is not None and all(row.get(name) is None for name in names):
        return default
    name, value = _field(row, names, where)
    if not isinstance(value, str):
        raise where.error(f"expected text, found {_kind(value)}.", name)
    return value


def _kind(value: object) -> str:
    kinds = {list: "a list", dict: "a mapping", type(None): "nothing", str: "text"}
    return kinds.get(type(value), f"a value of type {type(value).__name__}")
