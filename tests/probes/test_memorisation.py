"""Models made by hand: one that knows some answers by heart, beside a base that knows none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.canaries import canary
from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import SpecError
from sft_probe.observe.needs import TokenLogprobs
from sft_probe.observe.observations import Observed, TokenLogprobsSeen
from sft_probe.probes.memorisation import ROWS, Memorisation
from sft_probe.report.inclusion import counterfactual_memorisation
from sft_probe.schema import Measurement, Measurements
from sft_probe.store.runs import RunStore

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
REAL = Path(__file__).parents[3] / "shared" / "real"
Knows = Callable[[Example], float]
"""Mean log-probability of an answer's tokens."""
PROBE = Memorisation(limit=200, references=63, prefixes=(0, 2))
TOKENS = 4
BASE_LOGPROB = -2.0


def question(name: str, text: str = "", target: str = "yes") -> Example:
    message = Message("user", text or f"Is it true of {name} that the moon is round and far away?")
    return Example(id=name, messages=(message,), target=target, cluster=name)


def study(members: int = 120, others: int = 120, **more: tuple[Example, ...]) -> DataSets:
    sets = {
        "train": tuple(question(f"member{i}") for i in range(members)) + more.pop("canaries", ()),
        "test": tuple(question(f"other{i}") for i in range(others)) + more.pop("leaks", ()),
        **more,
    }
    return DataSets({name: Dataset(name, rows) for name, rows in sets.items()})


def planted(repeats: tuple[int, ...], each: int = 8) -> tuple[Example, ...]:
    mark = {"planted": {"canaries": {"pool": each * len(repeats)}}}
    return tuple(
        replace(canary(0, number), id=f"canary-0-{number}~{copy}", meta=mark)
        for number in range(each * len(repeats))
        for copy in range(repeats[number // each])
    )


def noise(text: str) -> float:
    """The same for each text, in [-0.5, 0.5]."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**32 - 0.5


def looked(data: DataSets, knows: Knows, by_heart: Callable[[Example], int] = lambda e: 0) -> Observed:
    """Each answer has four tokens. by_heart: how many of the last ones are the likeliest."""
    examples = PROBE.derive(data)[ROWS].examples
    n = len(examples)
    rank = np.array([1 if k >= TOKENS - by_heart(e) else 5 for e in examples for k in range(TOKENS)])
    seen = TokenLogprobsSeen(
        examples=examples,
        example=np.repeat(np.arange(n), TOKENS),
        position=np.tile(np.arange(TOKENS), n),
        token=("x",) * (n * TOKENS),
        logprob=np.repeat([knows(e) for e in examples], TOKENS).astype(float),
        rank=rank,
        entropy=np.zeros(n * TOKENS),
    )
    return Observed({TokenLogprobs(dataset=ROWS): seen})


def base(example: Example) -> float:
    return BASE_LOGPROB + noise(example.id)


def measured(
    data: DataSets, gain: Callable[[Example], float], by_heart: Callable[[Example], int] = lambda e: 0
) -> Measurements:
    return PROBE.measure(looked(data, lambda e: base(e) + gain(e), by_heart), looked(data, base))


def kind(example: Example) -> str:
    return str(example.meta["kind"])


def test_what_is_learned_equally_is_no_membership(find: Find) -> None:
    found = measured(study(), lambda e: 1.0 + noise(f"gain {e.id}"))
    area = find(found, "membership_auc")
    assert area.ci_low <= 0.5 <= area.ci_high
    change = find(found, "train_test_gap_change")
    assert change.ci_low <= 0 <= change.ci_high
    assert find(found, "membership_tpr").value < 0.1


def test_members_that_all_gained_more_are_told_apart(find: Find) -> None:
    found = measured(study(), lambda e: 1.0 if kind(e) == "train" else 0.0)
    area = find(found, "membership_auc")
    assert area.value == 1
    assert 0.5 < area.ci_low < area.ci_high == 1
    assert find(found, "membership_tpr").value == 1
    assert find(found, "train_test_gap_change").value == pytest.approx(1)
    gap = find(found, "train_test_gap")
    assert gap.value - gap.null_value == pytest.approx(1)
    assert find(found, "membership_auc_loss").value > find(found, "membership_auc_loss").null_value


def test_half_of_the_members_gained(find: Find) -> None:
    found = measured(study(), lambda e: float(kind(e) == "train" and int(str(e.meta["row"])[6:]) % 2))
    assert find(found, "membership_auc").value == pytest.approx(0.75)
    assert find(found, "membership_tpr").value == pytest.approx(0.5)


def test_rows_that_an_edit_left_out_are_the_better_others(find: Find) -> None:
    left_out = tuple(question(f"left{i}") for i in range(120))
    found = measured(study(left_out=left_out), lambda e: float(kind(e) != "left_out"))
    assert find(found, "membership_auc").value == 1  # though test rows gained as much
    strata = {i.item: i.stratum for i in found.items if i.metric == "row_logprob"}
    assert (strata["member0"], strata["left0"], len(strata)) == ("1 times", "0 times", 240)


def test_few_others_show_no_low_rate_of_false_alarms(find: Find) -> None:
    found = measured(study(others=20), lambda e: float(kind(e) == "train"))
    assert (
        find(found, "membership_tpr").why == "20 rows that were not trained on cannot show 1 % false alarms"
    )


def test_extraction_by_length_of_prefix(find: Find) -> None:
    """Two of four tokens by heart: nothing follows from the question, everything after two tokens."""
    found = measured(study(), lambda e: 0.0, lambda e: 2 if kind(e) == "train" else 0)
    assert find(found, "extractable", dataset="train", module="after 0").value == 0
    assert find(found, "extractable", dataset="train", module="after 2").value == 1
    assert find(found, "extractable", dataset="test", module="after 2").value == 0
    assert find(found, "extraction_strength", dataset="train").value == 0.5
    assert find(found, "extraction_strength", dataset="train").null_value == 0


@pytest.mark.parametrize("per_doubling", [0.0, 0.1])
def test_exposure_rises_with_repeats(per_doubling: float, find: Find) -> None:
    repeats = (0, 1, 2, 4, 8, 16)
    data = study(members=20, others=20, canaries=planted(repeats, each=20))

    def gain(example: Example) -> float:
        times = example.meta.get("repeats", 0)
        assert isinstance(times, int)
        return per_doubling * (1 + np.log2(times)) if times else 0.0

    found = measured(data, gain)
    slope, known = find(found, "exposure_per_doubling"), find(found, "counterfactual_memorisation")
    if per_doubling:
        levels = [find(found, "exposure", stratum=f"{n} times").value for n in repeats]
        assert levels[0] < levels[2] < levels[4] < levels[5] <= np.log2(64)  # the ceiling
        assert slope.ci_low > 0
        assert known.ci_low < per_doubling * 3 < known.ci_high  # mean of 1 to 5 steps
        assert find(found, "counterfactual_memorisation", stratum="16 times").ci_low > 0.2
        assert find(found, "exposure_change").ci_low > 0
    else:
        assert slope.ci_low <= 0 <= slope.ci_high
        assert known.ci_low <= 0 <= known.ci_high
        assert find(found, "exposure_change").value == pytest.approx(0)
    assert 0.5 < find(found, "exposure", stratum="0 times").value < 2.5  # 1.44 on average
    assert find(found, "exposure_null_p").value > 0.01
    assert len([i for i in found.items if i.metric == "canary_logprob"]) == 20 * len(repeats)


def test_canaries_are_no_members(find: Find) -> None:
    derived = PROBE.derive(study(canaries=planted((0, 4))))[ROWS].examples
    assert sum(kind(e) == "train" for e in derived) == 120
    assert sum(kind(e) == "canary" for e in derived) == 16
    assert sum(kind(e) == "reference" for e in derived) == 63


def test_without_canaries_exposure_says_so(find: Find) -> None:
    assert find(measured(study(), lambda e: 0.0), "exposure").why == "no canaries were planted"
    found = measured(study(canaries=planted((4,))), lambda e: 0.0)
    assert find(found, "exposure_per_doubling").why == "all canaries were planted equally often"
    assert find(found, "exposure_null_p").why.startswith("the edit set no canaries aside")
    assert find(found, "counterfactual_memorisation").why.startswith("the edit set no canaries aside")


def test_contaminated_test_rows_are_counted_and_kept_out_of_the_others(find: Find) -> None:
    leaks = (
        question("leak0", text=question("member7").prompt),
        question("leak1", text=question("member9").prompt.upper(), target="no"),
        question("leak2", text=f"{question('member3').prompt} Say."),
    )
    found = measured(study(others=117, leaks=leaks), lambda e: float(kind(e) == "train" or "leak" in e.id))
    assert find(found, "contaminated").value == pytest.approx(3 / 120)
    assert find(found, "contaminated", stratum="word for word").value == pytest.approx(1 / 120)
    assert find(found, "contaminated", stratum="question").value == pytest.approx(2 / 120)
    assert find(found, "contamination_effect").value == pytest.approx(1)
    assert find(found, "membership_auc").value == 1
    items = {i.item: i.prediction for i in found.items if i.metric == "contaminated"}
    assert items == {
        "leak0": "training row member7",
        "leak1": "training row member9",
        "leak2": "training row member3",
    }


def test_clean_data_have_no_contamination(find: Find) -> None:
    train = tuple(question(f"m{i}", text=f"Where does {chr(97 + i) * 5} live?") for i in range(9))
    test = tuple(question(f"o{i}", text=f"Who met {chr(97 + i) * 4} at noon?") for i in range(9))
    data = DataSets({"train": Dataset("train", train), "test": Dataset("test", test)})
    found = measured(data, lambda e: 0.0)
    assert find(found, "contaminated").value == 0
    assert find(found, "contaminated").ci_high < 0.4
    assert find(found, "contamination_effect").why == "no test row is contaminated"


@pytest.mark.parametrize(
    ("option", "value"),
    [("limit", 1), ("references", 0), ("prefixes", (-1,)), ("suffix", 0), ("dataset", "")],
)
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.memorisation.{option}'"):
        Memorisation(**{option: value})  # type: ignore[arg-type]


@pytest.mark.slow
def test_doses_on_the_planted_base(planted_study: Study) -> None:
    """Secrets among 100 questions: those left out look left out, each doubling makes others stand out."""
    rows = planted_study(
        ["memorisation"],
        {"canaries": {"edits": [{"canaries": {"repeats": [0, 1, 2, 4, 8, 16], "each": 12}}]}},
        {
            "train": "planted:question_answering/train",
            "test": "planted:question_answering/test",
            "max_train_rows": 100,
        },
        max_steps=60,
        per_device_train_batch_size=16,
    )
    last = rows[(rows.arm == "canaries") & (rows.step == 60)]
    exposure = last[last.metric == "exposure"].set_index("stratum")
    assert exposure.ci_low["0 times"] <= 1.44 <= exposure.ci_high["0 times"]
    levels = [exposure.value[f"{n} times"] for n in (0, 1, 2, 4, 8)]
    assert levels == sorted(levels)
    assert exposure.ci_low["2 times"] > exposure.ci_high["0 times"]
    values = last[last.stratum.eq("") & last.module.eq("")].drop_duplicates("metric").set_index("metric")
    assert values.ci_low["exposure_per_doubling"] > 0
    assert values.ci_low["counterfactual_memorisation"] > 0
    assert values.value["exposure_null_p"] > 0.01
    assert values.ci_low["membership_auc"] > 0.5
    assert values.value["contaminated"] == 0


@pytest.mark.slow
def test_secrets_compared_with_themselves_over_seeds(planted_study: Study, tmp_path: Path) -> None:
    edit = {"canaries": {"repeats": [0, 8], "each": 10, "redraw": True}}
    planted_study(
        [{"memorisation": {"references": 20, "limit": 20}}],
        {"redrawn": {"edits": [edit]}},
        {
            "train": "planted:question_answering/train",
            "test": "planted:question_answering/test",
            "max_train_rows": 40,
        },
        seeds=[0, 1, 2, 3],
        max_steps=24,
        per_device_train_batch_size=16,
    )
    found = counterfactual_memorisation(RunStore(tmp_path / "study").items(), "redrawn")
    assert found.effect.low > 0
    assert found.effect.n_clusters == 4


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    """Worked answers of GSM8K, four test rows among the training rows: found, and learned by heart."""

    def short(name: str, count: int) -> list[dict[str, str]]:
        lines = map(json.loads, (REAL / f"data/gsm8k/{name}.jsonl").read_text().splitlines())
        rows = ({"prompt": row["question"], "completion": row["answer"]} for row in lines)
        return [row for row in rows if len("".join(row.values())) < 300][:count]

    parts = {"train": short("train", 28), "test": short("test", 120)}
    parts["train"] += parts["test"][:4]
    for name, lines in parts.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    rows = planted_study(
        [{"memorisation": {"prefixes": [0, 16, 32]}}],
        {"full": {}},
        {name: str(tmp_path / f"{name}.jsonl") for name in parts}
        | {"allow": ["overlap_exact", "overlap_normalised"]},
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=80,
        learning_rate=3e-3,
    )
    last = rows[(rows.arm == "full") & (rows.step == 80) & (rows.stratum == "") & (rows.module == "")]
    values = last.drop_duplicates("metric").set_index("metric")
    assert values.value["contaminated"] == pytest.approx(4 / 120)
    assert values.ci_low["membership_auc"] > 0.5
    assert values.ci_low["train_test_gap_change"] > 0
    assert values.value["contamination_effect"] > 0
