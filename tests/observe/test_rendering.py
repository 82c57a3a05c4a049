"""What a model reads, as text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import DataError, SpecError
from sft_probe.observe.interventions import FewShot, Intervention, Prefill, Template
from sft_probe.observe.interventions.prompts import Wording, ranked, shots, split
from sft_probe.observe.rendering import Prepared, Rendering
from sft_probe.testing.tiny import tiny_data, tiny_tokenizer

TOKENIZER, DATA = tiny_tokenizer(), tiny_data()
TEST = DATA["test"].examples


def prepared(*under: Intervention, data: DataSets = DATA, name: str = "test") -> list[Prepared]:
    return Rendering(data, TOKENIZER).prepared(name, None, split(under)[0])


def text(ids: tuple[int, ...]) -> str:
    return str(TOKENIZER.decode(ids))


def test_shots_are_solved_turns_before_the_question() -> None:
    asked = text(prepared(FewShot(2, "test"))[0].prompt)
    chosen = shots(TEST[0], ranked(DATA["test"], 0), FewShot(2, "test"))
    before = "".join(
        f"<|user|>{shot.messages[0].content}<|end|><|assistant|>{shot.target}<|end|>" for shot in chosen
    )
    assert asked == f"{before}<|user|>{TEST[0].messages[0].content}<|end|><|assistant|>"
    assert prepared(FewShot(2, "test"))[0].target == prepared()[0].target


def test_no_example_is_shown_its_own_question() -> None:
    for row, example in zip(prepared(FewShot(8, "test")), TEST, strict=True):
        question = f"<|user|>{example.messages[0].content}<|end|>"
        assert text(row.prompt).count(question) == 1


def test_all_examples_share_their_shots_as_far_as_they_may() -> None:
    candidates = ranked(DATA["test"], 3)
    taken = [shots(example, candidates, FewShot(3, "test")) for example in TEST]
    assert len({tuple(s.id for s in row) for row in taken}) < len(TEST) / 2
    assert shots(TEST[0], candidates, FewShot(3, "test")) != shots(
        TEST[0], ranked(DATA["test"], 4), FewShot(3, "test")
    )


@given(rows=st.permutations(TEST), seed=st.integers(0, 5))
def test_the_order_of_the_rows_does_not_matter(rows: list[Example], seed: int) -> None:
    assert ranked(Dataset("test", tuple(rows)), seed) == ranked(DATA["test"], seed)


@given(k=st.integers(2, 7), seed=st.integers(0, 5))
def test_shuffled_shots_keep_questions_and_answers_but_not_the_pairs(k: int, seed: int) -> None:
    candidates = ranked(DATA["test"], seed)
    right = shots(TEST[0], candidates, FewShot(k, "test", seed=seed))
    wrong = shots(TEST[0], candidates, FewShot(k, "test", seed=seed, shuffled=True))
    assert [s.messages for s in wrong] == [s.messages for s in right]
    assert sorted(s.target for s in wrong) == sorted(s.target for s in right)
    given_to = dict(zip([s.id for s in right], [s.target for s in right], strict=True))
    rotated = [*[s.target for s in right][1:], right[0].target]
    assert [s.target for s in wrong] == rotated
    assert all(given_to[s.id] != s.target or rotated.count(s.target) > 1 for s in wrong)


def test_the_system_message_of_the_example_stays_in_front() -> None:
    system = Message("system", "Be brief.")
    rows = tuple(replace(e, messages=(system, *e.messages)) for e in TEST)
    data = DataSets({"test": Dataset("test", rows)})
    asked = text(prepared(FewShot(2, "test"), data=data)[0].prompt)
    assert asked.startswith("<|system|>Be brief.<|end|><|user|>")
    assert asked.count("Be brief.") == 1


def test_too_few_shots_and_plain_text_are_named() -> None:
    with pytest.raises(DataError, match="needs 8 shots, but data set 'test' has only 7"):
        prepared(FewShot(8, "test"), data=DataSets({"test": Dataset("test", TEST[:8])}))
    with pytest.raises(DataError, match=r"'t\d+' is plain text"):
        prepared(FewShot(2, "text"))
    with pytest.raises(DataError, match="Did you mean 'test'"):
        prepared(FewShot(2, "tests"))


def test_an_answer_can_be_made_to_begin_with_text_or_tokens() -> None:
    plain = prepared()[0]
    begun = prepared(Prefill("on the"))[0]
    assert text(begun.prompt) == text(plain.prompt) + "on the"
    assert begun.target == plain.target
    assert prepared(Prefill(tokens=(9, 8)))[0].prompt == (*plain.prompt, 9, 8)


def test_without_template_a_conversation_is_plain_text() -> None:
    row = prepared(Template(on=False))[0]
    assert text(row.prompt) == f"{TEST[0].messages[0].content}\n"
    assert text(row.target) == f"{TEST[0].target}<|eos|>"
    assert [text(choice) for choice in row.choices] == list(TEST[0].choices)
    assert prepared(Template(on=True)) == prepared()


def test_plain_shots_stand_apart_by_an_empty_line() -> None:
    few_shot = FewShot(2, "test")
    a, b = shots(TEST[0], ranked(DATA["test"], 0), few_shot)
    asked = text(prepared(few_shot, Template(on=False), Prefill("It is"))[0].prompt)
    assert asked == "\n\n".join(f"{s.prompt}\n{s.target}" for s in (a, b)) + f"\n\n{TEST[0].prompt}\nIt is"


def test_plain_text_opens_as_the_tokenizer_opens_a_text() -> None:
    from tokenizers.processors import TemplateProcessing

    opening = tiny_tokenizer()
    opening.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", opening.bos_token_id)]
    )
    row = Rendering(DATA, opening).prepared("test", 1, Wording(template=False))[0]
    assert row.prompt[0] == opening.bos_token_id
    assert opening.bos_token_id not in row.prompt[1:]


def test_a_prompt_is_changed_once_in_each_way() -> None:
    few_shot, prefill = FewShot(1, "test"), Prefill("a")
    assert split((few_shot, prefill))[0] == split((prefill, few_shot))[0] == Wording(few_shot, prefill)
    with pytest.raises(SpecError, match="names FewShot twice"):
        split((few_shot, FewShot(2, "test")))
