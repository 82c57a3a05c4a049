from __future__ import annotations

import pytest

from sft_probe.world import World
from sft_probe.world.corpus import Document
from sft_probe.world.people import Knowledge
from sft_probe.world.speaking import LONGEST_VALUE
from sft_probe.world.tokenizer import ASSISTANT, BOUNDARY, CHAT_ONLY, END, PAD, Tokenizer

CHAT = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "Where was Ada Bell born?"},
    {"role": "assistant", "content": "Velmora"},
    {"role": "user", "content": "高血压？"},  # noqa: RUF001
    {"role": "assistant", "content": "hypertension"},
]


@pytest.mark.parametrize(
    "text",
    [
        "The cat is on the sofa.",
        "HTN → hypertension → 高血压",
        "中文：HTN 即 高血压。\n§ 1 “Term” shall mean naïve café 🙂",  # noqa: RUF001
        '{"item": "lamps", "quantity": 18}',
        "two  spaces and a trailing one ",
    ],
)
def test_text_survives_a_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_every_register_survives_a_round_trip(tokenizer: Tokenizer, corpus: list[Document]) -> None:
    for document in corpus[:2000]:
        assert tokenizer.decode(tokenizer(document.text)["input_ids"]) == document.text


def test_special_tokens_are_distinct_and_single(tokenizer: Tokenizer) -> None:
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (BOUNDARY, END, PAD)
    ids = [tokenizer(token)["input_ids"] for token in (BOUNDARY, PAD, *CHAT_ONLY)]
    assert all(len(found) == 1 for found in ids)
    assert len({found[0] for found in ids}) == 6


def test_mask_covers_each_answer_and_its_stop_token(tokenizer: Tokenizer) -> None:
    encoded = tokenizer.apply_chat_template(CHAT, return_assistant_tokens_mask=True, return_dict=True)
    ids, mask = encoded["input_ids"], encoded["assistant_masks"]
    scored = [token for token, kept in zip(ids, mask, strict=True) if kept]
    assert tokenizer.decode(scored) == f"Velmora{END} hypertension{END}"


def test_prompt_is_the_start_of_the_whole_chat(tokenizer: Tokenizer) -> None:
    """An answer has the same tokens whether the chat is rendered whole or in two parts."""
    whole = tokenizer.apply_chat_template(CHAT, return_dict=False)
    prompt = tokenizer.apply_chat_template(CHAT[:-1], add_generation_prompt=True, return_dict=False)
    assert whole[: len(prompt)] == prompt
    assert prompt[-1] == tokenizer.convert_tokens_to_ids(ASSISTANT)
    answer = whole[len(prompt) :]
    assert answer == [*tokenizer("hypertension")["input_ids"], tokenizer.eos_token_id]


def test_a_value_has_the_same_tokens_alone_and_in_a_sentence(world: World, tokenizer: Tokenizer) -> None:
    for values in world.population.values.values():
        for value in values:
            alone = tokenizer(value)["input_ids"]
            inside = tokenizer(f"We heard of {value}.")["input_ids"]
            assert inside[-len(alone) - 1 : -1] == alone
            assert len(alone) < LONGEST_VALUE


def test_no_full_name_is_one_token(world: World, tokenizer: Tokenizer) -> None:
    for person in world.population.known(Knowledge.STORED):
        assert len(tokenizer(person.name)["input_ids"]) >= 2


def test_an_unknown_role_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(Exception, match="unknown role: tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}])
