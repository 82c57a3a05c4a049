from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sft_probe.data.examples import Dataset, DataSets, Example
from sft_probe.models.load import LoadedModel, pristine
from sft_probe.observe.cache import BaseCache, cache_folder, cache_size, decode, encode, tokenizer_digest
from sft_probe.observe.interventions import FewShot
from sft_probe.observe.needs import (
    Benchmark,
    Generations,
    Need,
    Scores,
    States,
    TokenDivergence,
    Weights,
)
from sft_probe.observe.observations import Observation, UnembeddingSeen, WeightsSeen
from sft_probe.observe.observer import Observer
from sft_probe.testing.tiny import (
    tiny_base,
    tiny_benchmarks,
    tiny_data,
    tiny_lora,
    tiny_tokenizer,
    tiny_tuned,
)

BASE, DATA = tiny_base(), tiny_data()
TUNED = tuple(tiny_tuned(BASE, seed=seed) for seed in (1, 2))
NEEDS: tuple[Need, ...] = (
    Scores(dataset="test"),
    Scores(dataset="text", limit=4),
    Generations(dataset="test", max_new_tokens=6),
    TokenDivergence(dataset="test", limit=5),
    TokenDivergence(dataset="test", contexts="tuned", max_new_tokens=6, limit=3),
    States(dataset="test", limit=7),
)
EXAMPLES = tuple(Example(id=str(i), target="t", meta={"any": object()}) for i in range(3))
KEPT = [kind for kind in get_args(Observation) if kind not in (UnembeddingSeen, WeightsSeen)]


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Anything a field of an observation may hold, by its type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Example:
        return st.sampled_from(EXAMPLES)
    if is_dataclass(hint):
        return built(hint)
    if origin is np.ndarray:
        shapes = st.lists(st.integers(0, 3), min_size=0, max_size=3).map(tuple)
        return arrays(np.dtype(get_args(inner[1])[0]), shapes)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    return {int: st.integers(), float: st.floats(), str: st.text(st.characters()), bool: st.booleans()}[hint]


def built(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind, vars(sys.modules[kind.__module__]))
    return st.fixed_dictionaries({f.name: values(hints[f.name]) for f in fields(kind)}).map(
        lambda chosen: kind(**chosen)
    )


def assert_same(a: Any, b: Any) -> None:
    """Equal to the last bit, types and shapes included."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, dict):
        assert_same(tuple(a.items()), tuple(b.items()))
    elif is_dataclass(a) and not isinstance(a, Example):
        for f in fields(a):
            assert_same(getattr(a, f.name), getattr(b, f.name))
    else:
        assert a is b or repr(a) == repr(b)


@pytest.mark.parametrize("kind", KEPT)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_observation_comes_back_exactly(kind: Any, data: st.DataObject) -> None:
    observation = data.draw(built(kind))
    assert_same(decode(encode(observation, EXAMPLES), EXAMPLES), observation)


def test_what_cannot_be_written_down_is_refused() -> None:
    with pytest.raises(TypeError, match="function cannot be kept"):
        encode(WeightsSeen(iterate=lambda: iter(())), ())


@pytest.fixture
def counted() -> Any:
    """Number of forward passes of the base so far."""
    passes: list[int] = []
    handle = BASE.model.get_input_embeddings().register_forward_hook(lambda *_: passes.append(1))
    yield lambda: len(passes)
    handle.remove()


def test_the_base_is_looked_at_once(tmp_path: Path, counted: Callable[[], int]) -> None:
    first = Observer(BASE, DATA, cache=tmp_path).look_at_base((*NEEDS, Weights()))
    once = counted()
    assert once > 0
    again = Observer(BASE, DATA, cache=tmp_path).look_at_base((*NEEDS, Weights()))
    assert counted() == once
    for need in NEEDS:
        assert_same(again[need], first[need])
    assert cache_size(tmp_path)[0] == len(NEEDS)


def test_what_a_look_that_was_cut_short_has_kept_does_not_count(tmp_path: Path) -> None:
    """Else the rest would be seen in smaller company after a kill, and round otherwise."""
    cache = BaseCache(tmp_path, BASE, DATA)
    look = Observer(BASE, DATA, cache=tmp_path).look_at_base(NEEDS[:3])
    Observer(BASE, DATA, cache=tmp_path).look_at_base(NEEDS[3:])
    whole = [path for path in tmp_path.glob("*.whole") if path.stem in look_of(cache, NEEDS[0])]
    assert len(whole) == 1
    whole[0].unlink()
    assert [cache.get(need) is None for need in NEEDS] == [True] * 3 + [False] * 3
    again = Observer(BASE, DATA, cache=tmp_path).look_at_base(NEEDS)
    assert all(cache.get(need) is not None for need in NEEDS)
    for need in NEEDS[:3]:
        assert_same(again[need], look[need])


def look_of(cache: BaseCache, need: Need) -> str:
    return cache.path(need).read_bytes().partition(b"\n")[0].decode()


def test_without_a_folder_nothing_is_kept(
    tmp_path: Path, counted: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        before = counted()
        Observer(BASE, DATA).look_at_base(NEEDS[:1])
        assert counted() > before
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_entry_is_not_trusted(where: float, flip: int, cut: bool, tmp_path: Path) -> None:
    need = Scores(dataset="test", limit=3)
    cache = BaseCache(tmp_path, BASE, DATA)
    good = Observer(BASE, DATA, cache=tmp_path).look_at_base([need])[need]
    content = bytearray(cache.path(need).read_bytes())
    at = int(where * len(content))
    if cut:
        del content[at:]
    else:
        content[at] ^= flip
    cache.path(need).write_bytes(content)
    assert cache.get(need) is None
    assert_same(Observer(BASE, DATA, cache=tmp_path).look_at_base([need])[need], good)
    assert_same(cache.get(need), good)


def changed(name: str) -> tuple[LoadedModel, DataSets, Need, str | None]:
    """The same look with one thing changed."""
    need = Scores(dataset="test", limit=4)
    tokenizer: Any = tiny_tokenizer()
    tokenizer.add_tokens(["new"])
    half = tiny_base().model.to(torch.bfloat16)
    eager = tiny_base()
    eager.model.set_attn_implementation("eager")
    stretched = tiny_base()
    stretched.model.config.rope_parameters = {"rope_type": "default", "rope_theta": 1.0}
    rows = list(DATA["test"].examples)
    rows[3] = replace(rows[3], target="sea")
    other_rows = DataSets({**DATA, "test": Dataset("test", tuple(rows))})
    lora: Any = tiny_lora(BASE, scale=0)
    adapted = pristine(lora, BASE.tokenizer, path="", device=BASE.device)
    looks: dict[str, tuple[LoadedModel, DataSets, Need, str | None]] = {
        "weights": (tiny_base(seed=1), DATA, need, None),
        "adapter": (adapted, DATA, need, None),
        "config": (stretched, DATA, need, None),
        "tokenizer": (replace(BASE, tokenizer=tokenizer), DATA, need, None),
        "dtype": (replace(BASE, model=half), DATA, need, None),
        "attention": (eager, DATA, need, None),
        "template": (BASE, DATA, need, "{{ messages[0].content }}"),
        "need": (BASE, DATA, Scores(dataset="test", limit=5), None),
        "row": (BASE, other_rows, need, None),
        "intervention": (BASE, DATA, replace(need, under=(FewShot(2, "text"),)), None),
    }
    return looks[name]


@pytest.mark.parametrize(
    "name",
    [
        "weights",
        "adapter",
        "config",
        "tokenizer",
        "dtype",
        "attention",
        "template",
        "need",
        "row",
        "intervention",
    ],
)
def test_whatever_decides_an_observation_is_in_its_name(name: str, tmp_path: Path) -> None:
    plain = BaseCache(tmp_path, BASE, DATA).key(Scores(dataset="test", limit=4))
    base, data, need, template = changed(name)
    assert BaseCache(tmp_path, base, data, template).key(need) != plain


def test_settings_of_an_adapter_count_beside_its_weights(tmp_path: Path) -> None:
    need, keys = Scores(dataset="test", limit=4), set()
    for alpha in (4, 8):
        model: Any = tiny_lora(BASE)
        model.peft_config["default"].lora_alpha = alpha
        keys.add(BaseCache(tmp_path, replace(BASE, model=model), DATA).key(need))
    assert len(keys) == 2


def test_rows_beyond_the_limit_and_places_do_not_count(tmp_path: Path) -> None:
    need = Scores(dataset="test", limit=4)
    fewer = DataSets({**DATA, "test": Dataset("test", DATA["test"].examples[:6], "elsewhere.jsonl")})
    moved = replace(tiny_base(), path="elsewhere")
    key = BaseCache(tmp_path, BASE, DATA).key(need)
    assert BaseCache(tmp_path / "else", moved, fewer).key(need) == key


def test_shots_count_with_their_content(tmp_path: Path) -> None:
    need = Scores(dataset="test", limit=2, under=(FewShot(2, "text"),))
    fewer = DataSets({**DATA, "text": Dataset("text", DATA["text"].examples[:6])})
    assert BaseCache(tmp_path, BASE, DATA).key(need) != BaseCache(tmp_path, BASE, fewer).key(need)


def test_a_benchmark_counts_with_its_documents(tmp_path: Path) -> None:
    need, paths = Benchmark(tasks=("tiny_choice",)), [tiny_benchmarks(tmp_path / str(i)) for i in range(3)]
    rows = paths[2] / "rows.jsonl"
    rows.write_text(rows.read_text().replace("cat", "cow"))
    same, copied, other = (BaseCache(tmp_path, BASE, DATA, None, (path,)).key(need) for path in paths)
    assert same == copied, "where the files lie does not matter"
    assert same != other


def test_tokenizers_are_told_apart() -> None:
    assert tokenizer_digest(tiny_tokenizer()) == tokenizer_digest(tiny_tokenizer())
    assert tokenizer_digest(tiny_tokenizer()) != tokenizer_digest(tiny_tokenizer(310))


def test_a_folder_that_cannot_be_written_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    need = Scores(dataset="test", limit=2)
    seen = Observer(BASE, DATA, cache=Path("/dev/null/cache")).look_at_base([need])[need]
    assert len(seen.target_logprob) == 2
    assert "cannot be written" in caplog.text


def test_the_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SFT_PROBE_CACHE", raising=False)
    assert cache_folder(tmp_path) == tmp_path / "cache"
    monkeypatch.setenv("SFT_PROBE_CACHE", str(tmp_path / "shared"))
    assert cache_folder(tmp_path) == tmp_path / "shared"
    for off in ("off", "0", " OFF "):
        monkeypatch.setenv("SFT_PROBE_CACHE", off)
        assert cache_folder(tmp_path) is None


def keep_and_read(folder: Path, seen: Observation, faults: Any) -> None:
    cache = BaseCache(folder, BASE, DATA)
    for limit in 40 * (7, 8, 9):
        need = States(dataset="test", limit=limit)
        cache.put({need: seen})
        kept = cache.get(need)
        if kept is None or encode(kept, DATA["test"].examples) != encode(seen, DATA["test"].examples):
            faults.put(limit)


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    """Both write the same entries again and again; neither may ever read half of one."""
    fork = multiprocessing.get_context("fork")
    seen, faults = Observer(BASE, DATA).look_at_base([NEEDS[-1]])[NEEDS[-1]], fork.SimpleQueue()
    both = [fork.Process(target=keep_and_read, args=(tmp_path, seen, faults)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert faults.empty()
    assert cache_size(tmp_path)[0] == 3
    assert not list(tmp_path.glob("*.tmp"))


def test_a_second_arm_does_not_look_at_the_base_again(tmp_path: Path, counted: Callable[[], int]) -> None:
    needs = tuple(need for need in NEEDS if not isinstance(need, TokenDivergence))
    Observer(BASE, DATA, cache=tmp_path).look_at_base(needs)
    before = counted()
    for tuned in TUNED:
        observer = Observer(BASE, DATA, cache=tmp_path)
        observer.look_at_base(needs)
        observer.look(tuned, needs)
    assert counted() == before
