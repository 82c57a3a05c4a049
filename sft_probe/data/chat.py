"""From examples to token ids: which tokens are the question and which are the answer.

The answer is what the chat template adds when the assistant's turn is appended to the prompt. That needs
no `{% generation %}` markers, which most published templates lack, and it is checked for every row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jinja2 import TemplateError

from sft_probe.data.examples import Example, Message
from sft_probe.errors import DataError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # label of a token without loss, as in torch's cross entropy

FALLBACK_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{ '### Response:\\n' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\\n\\n' }}
{%- elif message['role'] == 'system' -%}
{{ message['content'] + '\\n\\n' }}
{%- else -%}
{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}
"""

Note = Literal["", "template_prefix", "token_boundary", "missing_eos", "system_folded"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One example as token ids. `prompt_ids + target_ids` is what the model reads in training.

    note: a code for what had to be repaired, empty in the normal case; the audit counts them.
      template_prefix: the prompt is not the beginning of the full conversation, so the answer was set
        behind the prompt as plain text. token_boundary: prompt and answer share a token when tokenised
        together, so they were tokenised apart. missing_eos: the template does not close an answer.
      system_folded: the template knows no system message, so it stands at the head of the first user turn.
    """

    prompt_ids: list[int]
    target_ids: list[int]
    note: Note = ""


def render(
    example: Example, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None
) -> Rendered:
    """Token ids of one example; the last of `target_ids` is an end-of-turn or end-of-text token.

    Plain text (no messages) is the whole target, behind one begin-of-text token.
    Raises: DataError if the template refuses the conversation, ModelError if there is no end-of-text token.
    """
    if not example.messages:
        return _render_text(example.target, tokenizer)
    template = _template(tokenizer, chat_template)
    try:
        return _render_chat(example, tokenizer, template)
    except DataError:
        if not (folded := _without_system(example)):
            raise
    rendered = _render_chat(folded, tokenizer, template)
    return replace(rendered, note=rendered.note or "system_folded")


def prompt_text(
    example: Example, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None
) -> str:
    """The text that is tokenised into `Rendered.prompt_ids`; empty for plain text.  Raises: as `render`."""
    if not example.messages:
        return ""
    template = _template(tokenizer, chat_template)
    try:
        return _texts(example, tokenizer, template)[0]
    except DataError:
        if not (folded := _without_system(example)):
            raise
    return _texts(folded, tokenizer, template)[0]


def _render_chat(example: Example, tokenizer: PreTrainedTokenizerBase, template: str) -> Rendered:
    prompt, full = _texts(example, tokenizer, template)
    if not full.startswith(prompt):
        answer_ids = [*_encode(tokenizer, example.target), _eos(tokenizer)]
        return Rendered(_encode(tokenizer, prompt), answer_ids, "template_prefix")
    prompt_ids, target_ids, note = _split(tokenizer, prompt, full)
    eos, last = _eos(tokenizer), target_ids[-1] if target_ids else None
    if last == eos or last in stop_token_ids(tokenizer, template):
        return Rendered(prompt_ids, target_ids, note)
    return Rendered(prompt_ids, [*target_ids, eos], "missing_eos")


def _without_system(example: Example) -> Example | None:
    """The system message at the head of the user's turn behind it, as templates without system turns do."""
    roles = [message.role for message in example.messages[:2]]
    if roles != ["system", "user"]:
        return None
    system, user, *others = example.messages
    head = Message("user", f"{system.content}\n\n{user.content}")
    return replace(example, messages=(head, *others))


def to_trl_row(
    example: Example,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None = None,
    chat_template: str | None = None,
    loss_on: Literal["completion", "assistant", "all"] = "completion",
) -> dict[str, list[int]]:
    """`input_ids` and `labels` (-100 where there is no loss), cut at the end to `max_length` tokens.

    TRL's SFTTrainer takes both columns as they are, also with `dataset_kwargs={"skip_prepare_dataset":
    True}`; without `labels` it would put the loss on every token (trl 1.16, `_prepare_dataset`).
    Plain text has loss on every token but the first, which nothing predicts. "assistant" puts it on the
    assistant's earlier turns too, as far as `earlier_turns` finds them. What an answer begins with by itself
    (`begun`) has none, unless it is on all tokens.
    """
    rendered = render(example, tokenizer, chat_template)
    input_ids = rendered.prompt_ids + rendered.target_ids
    given = _tokens_begun(example, rendered, tokenizer, chat_template)
    free = 0 if loss_on == "all" else len(rendered.prompt_ids) + given
    labels = [IGNORED] * free + input_ids[free:]
    for turn in earlier_turns(example, rendered, tokenizer, chat_template) if loss_on == "assistant" else ():
        labels[turn] = input_ids[turn]
    return {"input_ids": input_ids[:max_length], "labels": labels[:max_length]}


def _tokens_begun(
    example: Example, rendered: Rendered, tokenizer: PreTrainedTokenizerBase, chat_template: str | None
) -> int:
    """How many tokens the answer has in common with one that says only what it begins with."""
    if not example.begun:
        return 0
    alone = render(replace(example, target=example.begun), tokenizer, chat_template).target_ids
    pairs = zip(alone, rendered.target_ids, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(alone), len(rendered.target_ids)))


def earlier_turns(
    example: Example,
    rendered: Rendered,
    tokenizer: PreTrainedTokenizerBase,
    chat_template: str | None = None,
) -> list[slice]:
    """Which tokens of the prompt are turns of the assistant, each with the token that ends it.

    A turn is what the template adds when it is appended to the turns before it, as with the answer itself;
    one that the template writes otherwise once more turns follow is left out.
    """
    found = []
    for number, message in enumerate(example.messages):
        if message.role != "assistant" or number == 0:
            continue
        so_far = replace(example, messages=example.messages[:number], target=message.content)
        turn = render(so_far, tokenizer, chat_template)
        ids = turn.prompt_ids + (turn.target_ids[:-1] if turn.note == "missing_eos" else turn.target_ids)
        if rendered.prompt_ids[: len(ids)] == ids:
            found.append(slice(len(turn.prompt_ids), len(ids)))
    return found


def ensure_chat_template(tokenizer: PreTrainedTokenizerBase, override: str | None = None) -> bool:
    """Give the tokenizer `override` (Jinja text or a file), or the plain fallback if it has no template.

    Returns: whether the template was set here. Raises: ModelError if `override` names a missing file.
    """
    if override is None and tokenizer.chat_template:
        return False
    tokenizer.chat_template = read_template(override) if override else fallback_template(tokenizer)
    return True


def read_template(text_or_path: str) -> str:
    """A chat template given as Jinja text or as the path of a file. Raises: ModelError."""
    if "{{" in text_or_path or "{%" in text_or_path:
        return text_or_path
    if not Path(text_or_path).is_file():
        raise ModelError(
            "this chat template is neither Jinja text nor an existing file.",
            field="chat_template",
            file=text_or_path,
        )
    return Path(text_or_path).read_text(encoding="utf-8")


def fallback_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The plain `### Instruction:` template, opened by a begin-of-text token where the tokenizer adds one."""
    return opening(tokenizer) + FALLBACK_TEMPLATE


def opening(tokenizer: PreTrainedTokenizerBase) -> str:
    """Jinja that opens a conversation with the begin-of-text token where the tokenizer adds one to a text."""
    ids = tokenizer("a")["input_ids"]
    opens = tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id
    return "{{- bos_token -}}\n" if opens else ""


def stop_token_ids(tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None) -> tuple[int, ...]:
    """Tokens that end an answer: end of text, and the special tokens the template writes behind one.

    Raises: ModelError if the tokenizer has no end-of-text token.
    """
    probe = Example(id="", target="a", messages=(Message("user", "b"),))
    prompt, full = _texts(probe, tokenizer, _template(tokenizer, chat_template))
    behind = full[len(prompt) :].rpartition("a")[2] if full.startswith(prompt) else ""
    special = set(tokenizer.all_special_ids) | {
        token for token, entry in tokenizer.added_tokens_decoder.items() if entry.special
    }
    ends = [t for t in _encode(tokenizer, behind) if t in special and t != tokenizer.unk_token_id]
    return tuple(dict.fromkeys([_eos(tokenizer), *ends]))


def _render_text(text: str, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    eos = _eos(tokenizer)
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else eos
    return Rendered([start], [*_encode(tokenizer, text), eos])


def _template(tokenizer: PreTrainedTokenizerBase, chat_template: str | None) -> str:
    if chat_template:
        return read_template(chat_template)
    if tokenizer.chat_template:
        return str(tokenizer.get_chat_template())
    return fallback_template(tokenizer)


def _texts(example: Example, tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[str, str]:
    """The prompt that asks for an answer, and the conversation with it, as text.

    White space behind the answer's last token is dropped: nothing is generated there. A template that
    ignores `add_generation_prompt` would leave the header of the assistant's turn to the model; the header
    is then counted to the prompt.
    """
    turns = [message._asdict() for message in example.messages]
    answer = {"role": "assistant", "content": example.target}
    prompt = _apply(tokenizer, template, turns, example.id, ask=True)
    full = _apply(tokenizer, template, [*turns, answer], example.id)
    if not full.startswith(prompt):
        return prompt, full
    added = full[len(prompt) :].rstrip()
    header = added[: max(added.find(example.target), 0)]
    if header.strip() and prompt == _apply(tokenizer, template, turns, example.id):
        return prompt + header, prompt + added
    return prompt, prompt + added


def _apply(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    turns: list[dict[str, str]],
    example_id: str,
    *,
    ask: bool = False,
) -> str:
    try:
        text = tokenizer.apply_chat_template(
            turns, chat_template=template, add_generation_prompt=ask, tokenize=False
        )
    except TemplateError as error:
        raise DataError(
            f"the chat template refuses example '{example_id}' with {len(turns)} turns: {error}.",
            field="chat_template",
            remedy="Change the roles of the row or give another template as `data.chat_template`.",
        ) from error
    return str(text)


def _split(tokenizer: PreTrainedTokenizerBase, prompt: str, full: str) -> tuple[list[int], list[int], Note]:
    prompt_ids, full_ids = _encode(tokenizer, prompt), _encode(tokenizer, full)
    if full_ids[: len(prompt_ids)] == prompt_ids:
        return prompt_ids, full_ids[len(prompt_ids) :], ""
    return prompt_ids, _encode(tokenizer, full[len(prompt) :]), "token_boundary"


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _eos(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "the tokenizer has no end-of-text token, so no answer could ever end.",
            field="eos_token",
            remedy="Set `eos_token` in its tokenizer_config.json.",
        )
    return int(tokenizer.eos_token_id)
