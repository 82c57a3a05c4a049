import csv
import json
from ast import literal_eval
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable, SpecError
from sft_probe.models.load import load_base
from sft_probe.observe.needs import Scores
from sft_probe.observe.observations import Floats, Observed, ScoresSeen
from sft_probe.observe.observer import Observer
from sft_probe.probes.annotation_inheritance import AnnotationInheritance
from sft_probe.schema import Measurement
from sft_probe.study.spec import ArmSpec, ModelSpec, TrainingSpec
from sft_probe.train.sft import ArmRun, run_sft
from sft_probe.world import reviews

Find = Callable[..., Measurement]
Study = Callable[..., pd.DataFrame]
PROBE = AnnotationInheritance()
FREE = "annotation_inheritance.content_free"
LABELS = ("neg", "pos")
EVEN = np.array([0.5, 0.5])
REAL = Path(__file__).parents[3] / "shared" / "real"


def rows(n: int, name: str, **meta: object) -> tuple[Example, ...]:
    """Rows with alternating labels."""
    return tuple(
        Example(
            id=f"{name}{i}",
            target=LABELS[i % 2],
            choices=LABELS,
            messages=(Message("user", f"Is it good?\n{name} {i} words here"),),
            meta=meta,
        )
        for i in range(n)
    )


def flipped(examples: tuple[Example, ...], rate: float) -> tuple[Example, ...]:
    """The first `rate` of the rows with the other label, as `label_noise` leaves them."""
    changed = round(rate * len(examples))
    return tuple(
        replace(
            e,
            target=LABELS[1 - LABELS.index(e.target)],
            meta={"planted": {"label_noise": {"clean": e.target}}},
        )
        if i < changed
        else e
        for i, e in enumerate(examples)
    )


def scores(examples: tuple[Example, ...], probabilities: Floats) -> ScoresSeen:
    n = len(examples)
    return ScoresSeen(
        examples=examples,
        target_logprob=np.zeros(n),
        target_tokens=np.ones(n, dtype=int),
        target_greedy=np.ones(n, dtype=bool),
        choice_logprob=tuple(
            np.log(row)[: len(e.choices)] - 1 for row, e in zip(probabilities, examples, strict=True)
        ),
        choice_tokens=tuple(np.ones(len(e.choices), dtype=int) for e in examples),
    )


def observed(
    test: tuple[tuple[Example, ...], Floats],
    train: tuple[tuple[Example, ...], Floats],
    lean: Floats = EVEN,
    trained: tuple[Example, ...] = (),
) -> Observed:
    """lean: (2,) probabilities for inputs without content. trained: all training rows, if more than read."""
    data = DataSets({"test": Dataset("test", test[0]), "train": Dataset("train", trained or train[0])})
    free = PROBE.derive(data)[FREE].examples
    return Observed(
        {
            Scores(dataset="test"): scores(*test),
            Scores(dataset="train", limit=200): scores(*train),
            Scores(dataset=FREE): scores(free, np.tile(lean, (len(free), 1))),
        }
    )


def sure(examples: tuple[Example, ...], wrong: float, *, of_given: bool = False) -> Floats:
    """Probability `wrong` off the clean label, or off the given one."""
    marks = [dict(e.meta).get("planted", {}) for e in examples]
    clean = [
        e.target if of_given or not mark else mark["label_noise"]["clean"]  # type: ignore[index]
        for e, mark in zip(examples, marks, strict=True)
    ]
    right = np.array([LABELS.index(label) for label in clean])
    return np.where(np.arange(2) == right[:, None], 1 - wrong, wrong)


TEST, TRAIN = rows(100, "test"), rows(200, "train")


def looked(test: Floats, train_rows: tuple[Example, ...], train: Floats, lean: Floats = EVEN) -> Observed:
    return observed((TEST, test), (train_rows, train), lean)


def test_derive_asks_without_content_and_carries_the_training_labels() -> None:
    data = DataSets({"test": Dataset("test", TEST), "train": Dataset("train", flipped(TRAIN, 0.25))})
    free = PROBE.derive(data)[FREE]
    assert free.examples[0].messages == (Message("user", "Is it good?\ntest N/A words here"),)
    assert free.examples[0].meta["trained"] == [[75, 25], [25, 75]]
    bare = Dataset("test", tuple(replace(row, choices=()) for row in TEST))
    with pytest.raises(NotApplicable, match="no closed set of labels is shared by several rows of 'test'"):
        PROBE.derive(DataSets({"test": bare, "train": bare}))
    with pytest.raises(NotApplicable, match="no row of 'train' has the labels that rows of 'test' share"):
        PROBE.derive(DataSets({"test": Dataset("test", TEST), "train": bare}))


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.3, 0.4])
@pytest.mark.parametrize("passed_on", [0.0, 0.5, 1.0])
def test_noise_that_is_passed_on_is_recovered(rate: float, passed_on: float, find: Find) -> None:
    train = flipped(TRAIN, rate)
    wrong = max(passed_on * rate, 1e-6)
    base = looked(sure(TEST, 1e-6), train, sure(train, 1e-6))
    found = PROBE.measure(looked(sure(TEST, wrong), train, sure(train, wrong)), base)
    for metric, where in (
        ("noise_inheritance", {"dataset": "test"}),
        ("noise_inheritance", {"stratum": "label changed"}),
        ("doubt_inheritance", {}),
    ):
        assert find(found, metric, **where).value == pytest.approx(passed_on, abs=1e-4), metric
    assert find(found, "wrong_mass", dataset="test").value == pytest.approx(wrong)
    distance = find(found, "noise_matrix_distance")
    assert distance.value == pytest.approx(2 * (rate - wrong), abs=1e-5)
    assert distance.null_value == pytest.approx(2 * rate, abs=1e-5)
    assert find(found, "noise_matrix", module="pos -> neg").value == pytest.approx(wrong)
    if passed_on < 1 or rate < 0.4:
        assert find(found, "flip_auc").value == 1  # it still knows the true label
    assert find(found, "flip_memorised").value == pytest.approx(0, abs=1e-9)


def test_memorised_noise_shows_on_changed_rows_only(find: Find) -> None:
    train = flipped(TRAIN, 0.2)
    base = looked(sure(TEST, 0.01), train, sure(train, 0.01))
    found = PROBE.measure(looked(sure(TEST, 0.01), train, sure(train, 0.05, of_given=True)), base)
    assert find(found, "flip_memorised").value == pytest.approx(0.9)
    assert find(found, "flip_auc").value == 0.5  # all labels are believed alike
    assert find(found, "flip_auc_loss").value == 0  # and the changed ones took the most work
    assert find(found, "noise_inheritance", dataset="test").value == pytest.approx(0)
    assert find(found, "noise_inheritance", stratum="label changed").value == pytest.approx(0.94 / 0.2)


def test_a_base_that_does_not_know_the_task_is_no_reference(find: Find) -> None:
    train = flipped(TRAIN, 0.2)
    found = PROBE.measure(
        looked(sure(TEST, 0.2), train, sure(train, 0.2)), looked(sure(TEST, 0.5), train, sure(train, 0.5))
    )
    assert find(found, "noise_inheritance", dataset="test").why.startswith("the base does not know")
    assert find(found, "doubt_inheritance").value == pytest.approx(1)


def test_without_noise_it_says_so(find: Find) -> None:
    same = looked(sure(TEST, 0.1), TRAIN, sure(TRAIN, 0.1))
    found = PROBE.measure(same, same)
    assert find(found, "noise_inheritance", dataset="test").why.startswith("no training row says")
    assert find(found, "wrong_mass", dataset="test").value == pytest.approx(0.1)
    assert {"flip_auc", "doubt_inheritance", "noise_matrix"}.isdisjoint(row.metric for row in found.rows)
    assert find(found, "annotator_kl").why.startswith("no row has `meta.annotators`")
    assert find(found, "follows_rule").why.startswith("no row has two rules")


def test_every_training_row_says_how_much_its_label_is_doubted() -> None:
    train = flipped(TRAIN, 0.1)
    seen = looked(sure(TEST, 0.1), train, sure(train, 0.1))
    items = PROBE.measure(seen, seen).items
    assert {item.metric for item in items} == {"label_doubt"}
    assert len(items) == 200
    suspects = sorted(items, key=lambda item: -item.value)[:20]
    assert {item.item for item in suspects} == {f"train{i}" for i in range(20)}
    assert all(item.prediction != item.target for item in suspects)


def test_labelled_rows_behind_the_limit_are_counted_but_not_read(find: Find) -> None:
    texts = tuple(replace(row, choices=()) for row in TRAIN)
    seen = observed((TEST, sure(TEST, 0.1)), (texts, sure(TRAIN, 0.1)), trained=(*texts, *TRAIN[:90]))
    found = PROBE.measure(seen, seen)
    assert find(found, "train_share", module="pos").value == 0.5
    assert find(found, "train_share_bbse").why.startswith("none of the training rows that were read")
    assert np.isnan(find(found, "label_doubt").value)
    assert not found.items


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9, 0.97])
@pytest.mark.parametrize("inherited", [0.0, 0.5, 1.0])
def test_the_share_of_a_label_that_is_inherited(share: float, inherited: float, find: Find) -> None:
    train = tuple(replace(row, target=LABELS[i < share * 200]) for i, row in enumerate(TRAIN))
    odds = share / (1 - share)
    lean = np.array([1, odds**inherited]) / (1 + odds**inherited)
    base = looked(sure(TEST, 0.5), train, sure(train, 0.5))
    found = PROBE.measure(looked(np.tile(lean, (100, 1)), train, sure(train, 0.5), lean), base)
    for dataset in (FREE, "test"):
        row = find(found, "prior_inheritance", dataset=dataset)
        assert row.value == pytest.approx(inherited, abs=0.03)
        assert row.null_value == pytest.approx(0)
    assert find(found, "content_free_share", module="pos").value == pytest.approx(lean[1])
    assert find(found, "share_excess", module="pos").value == pytest.approx(lean[1] - 0.5)
    assert find(found, "train_share", module="pos").value == pytest.approx(share, abs=0.005)


def test_equal_shares_leave_nothing_to_inherit(find: Find) -> None:
    seen = looked(sure(TEST, 0.1), TRAIN, sure(TRAIN, 0.1), np.array([0.2, 0.8]))
    row = find(PROBE.measure(seen, seen), "prior_inheritance", dataset=FREE)
    assert np.isnan(row.value)
    assert row.why == "training labels are about equally frequent"


def test_label_shares_are_estimated_from_predictions(find: Find) -> None:
    rng = np.random.default_rng(0)
    train = tuple(replace(row, target=LABELS[i < 150]) for i, row in enumerate(TRAIN))

    def erring(examples: tuple[Example, ...]) -> Floats:
        probabilities = sure(examples, 0.1)
        err = rng.random(len(examples)) < 0.2
        return np.where(err[:, None], probabilities[:, ::-1], probabilities)

    seen = looked(erring(TEST), train, erring(train))
    found = PROBE.measure(seen, seen)
    row = find(found, "train_share_bbse", module="pos")
    assert row.ci_low < 0.75 < row.ci_high
    assert row.ci_high - row.ci_low < 0.5
    assert row.null_value == 0.5
    assert find(found, "confusion_condition").value > 1


def crowd(n_annotators: int, mood: Floats, rng: np.random.Generator) -> tuple[Example, ...]:
    """mood: (n,) chance that an annotator says "pos"; "ann" says it always."""
    said = [
        {"ann": "pos"} | {f"a{k}": LABELS[int(rng.random() < p)] for k in range(n_annotators - 1)}
        for p in mood
    ]
    return tuple(
        replace(row, meta={"annotators": by}) for row, by in zip(rows(len(mood), "c"), said, strict=True)
    )


def measured_on(examples: tuple[Example, ...], positive: Floats) -> Callable[..., Measurement]:
    seen = observed((examples, np.stack([1 - positive, positive], 1)), (TRAIN, sure(TRAIN, 0.1)))
    found = PROBE.measure(seen, seen)

    def get(metric: str, module: str = "") -> Measurement:
        (row,) = (r for r in found.rows if (r.metric, r.module, r.dataset) == (metric, module, "test"))
        return row

    return get


@pytest.mark.parametrize("annotators", [4, 20])
def test_a_model_of_the_crowds_distribution_is_at_the_floor(annotators: int) -> None:
    rng = np.random.default_rng(0)
    mood = rng.uniform(0.1, 0.9, 400)
    share = (1 + mood * (annotators - 1)) / annotators
    people = tuple(
        replace(row, meta={"label_counts": {"pos": int(k), "neg": annotators - int(k)}})
        for row, k in zip(rows(400, "c"), rng.binomial(annotators, share), strict=True)
    )
    right, bold = measured_on(people, share), measured_on(people, np.where(share > 0.5, 0.98, 0.02))
    for metric in ("annotator_kl_excess", "annotator_jsd_excess"):
        row = right(metric)
        assert row.ci_low < 0 < row.ci_high
        assert bold(metric).ci_low > 0.02
    assert right("annotator_kl").value > 1 / (3 * annotators)
    assert right("nearer_distribution").ci_low > bold("nearer_distribution").ci_high


def test_whom_the_model_follows_where_annotators_differ() -> None:
    rng = np.random.default_rng(1)
    people = crowd(5, rng.uniform(0.05, 0.6, 200), rng)
    like_ann = measured_on(people, np.full(200, 0.95))
    assert like_ann("follows_annotator", "ann").value == 1
    assert like_ann("jsd_to", "ann").ci_high < like_ann("jsd_to", "majority").ci_low
    most = np.array([sum(label == "pos" for label in e.meta["annotators"].values()) > 2 for e in people])  # type: ignore[attr-defined]
    like_most = measured_on(people, np.where(most, 0.95, 0.05))
    assert like_most("follows_annotator", "majority").value == 1
    assert like_most("jsd_to", "majority").ci_high < like_most("jsd_to", "ann").ci_low
    assert like_most("nearer_distribution").value < 0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_each_annotator_in_what_is_predicted(share: float) -> None:
    two = tuple(
        replace(row, meta={"annotators": {"ann": LABELS[i % 2], "ben": LABELS[i % 3 > 0]}})
        for i, row in enumerate(rows(120, "c"))
    )
    ann = np.array([row.meta["annotators"]["ann"] == "pos" for row in two])  # type: ignore[index]
    ben = np.array([row.meta["annotators"]["ben"] == "pos" for row in two])  # type: ignore[index]
    found = measured_on(two, share * ann + (1 - share) * ben)
    for name, weight in (("ann", share), ("ben", 1 - share)):
        row = found("annotator_weight", name)
        assert row.value == pytest.approx(weight, abs=1e-6)
        assert row.n == int((ann != ben).sum())


def test_a_planted_distribution_on_training_rows_is_read_there(find: Find) -> None:
    mark = {"annotators": {"annotator": 0, "clean": "neg", "distribution": {"neg": 0.7, "pos": 0.3}}}
    train = tuple(replace(row, meta={"planted": mark}) for row in TRAIN)
    half = np.full((200, 2), 0.5)
    seen = looked(sure(TEST, 0.1), train, half)
    row = find(PROBE.measure(seen, seen), "annotator_kl", dataset="train")
    assert row.value == pytest.approx(0.7 * log(1.4) + 0.3 * log(0.6))
    assert find(PROBE.measure(seen, seen), "annotator_kl_excess", dataset="train").value == pytest.approx(
        row.value
    )


def test_where_two_rules_disagree_the_model_takes_sides(find: Find) -> None:
    test = tuple(
        replace(row, meta={"rules": {"first": row.target, "last": LABELS[i % 4 < 2]}})
        for i, row in enumerate(TEST)
    )
    train = tuple(replace(row, meta={"rules": {"first": row.target, "last": "pos"}}) for row in TRAIN)
    seen = observed((test, sure(test, 0.2)), (train, sure(train, 0.2)))
    found = PROBE.measure(seen, seen)
    for rule, mass in (("first", 0.8), ("last", 0.2)):
        row = find(found, "follows_rule", stratum=rule)
        assert (row.value, row.n) == (pytest.approx(mass), 50)
    assert find(found, "labels_follow_rule", stratum="first").value == 1
    assert find(found, "labels_follow_rule", stratum="last").n == 100


@pytest.mark.parametrize(("option", "value"), [("limit", 0), ("train", ""), ("choice_score", "mean")])
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(SpecError, match=f"'probes.annotation_inheritance.{option}'"):
        AnnotationInheritance(**{option: value})  # type: ignore[arg-type]


SWEEP = {"max_steps": 60, "per_device_train_batch_size": 16, "lr_scheduler_type": "linear"}


@pytest.mark.slow
def test_planted_doses_of_noise_and_imbalance_are_passed_on(planted_study: Study) -> None:
    """Bayes-optimal is 1 for both: the wrong mass is the rate, the log-odds are those of the shares."""
    rates, shares = (0.2, 0.4), (0.5, 0.75, 0.9)
    arms: dict[str, object] = {f"q{rate}": {"edits": [{"label_noise": {"rate": rate}}]} for rate in rates}
    arms |= {
        f"p{share}": {"edits": [{"imbalance": {"share": share, "label": "negative", "rows": 220}}]}
        for share in shares
    }
    data = {"train": "planted:sentiment/train", "test": "planted:sentiment/test", "max_test_rows": 150}
    rows = planted_study([{"annotation_inheritance": {"limit": 100}}], arms, data, **SWEEP)
    last = rows[rows.step == 60].set_index(["arm", "dataset", "metric", "stratum", "module"]).sort_index()

    def get(arm: str, metric: str, module: str = "", *, dataset: str = "test") -> pd.Series:
        found: pd.Series = last.loc[arm, dataset, metric, "", module]
        return found

    before = get("p0.5", "wrong_mass").value
    assert before < 0.1
    for rate in rates:
        passed_on = (get(f"q{rate}", "wrong_mass").value - before) / rate
        assert 0.7 < passed_on < 1.3
        assert get(f"q{rate}", "flip_auc", dataset="train").ci_low > 0.5
        distance = get(f"q{rate}", "noise_matrix_distance")
        assert distance.value < distance.null_value / 2
    excess = [get(f"p{share}", "share_excess", "negative") for share in shares]
    assert abs(excess[0].value) < 0.05
    assert excess[-1].ci_low > max(0, excess[0].value)
    assert get("p0.9", "prior_inheritance").ci_low > get("p0.9", "prior_inheritance").null_value
    assert 0 < get("p0.9", "prior_inheritance").value < 1.5
    for share in shares:
        row = get(f"p{share}", "train_share_bbse", "negative", dataset="train")
        assert row.value == pytest.approx(share, abs=0.1)


def reviewers(path: Path, number: int, seed: str) -> str:
    """Reviews in half of which two annotators differ: ann goes by the first remark, ben by most."""
    lines = []
    for row in ambiguous(number, 0.5, seed):
        demanded = dict(row.meta["rules"])  # type: ignore[call-overload]
        label = demanded["most remarks"]
        messages = [
            {"role": "user", "content": row.prompt},
            {"role": "assistant", "content": label},
        ]
        by = {"ann": demanded["first remark"], "ben": label}
        lines.append({"messages": messages, "choices": reviews.LABELS, "meta": {"annotators": by}})
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_the_share_of_an_annotator_comes_back(planted_study: Study, tmp_path: Path) -> None:
    """Two annotators label the training rows in known shares; three seeds. What is predicted for held-out
    rows on which they differ is their mixture."""
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    mixed = {
        f"ann{share}": {"edits": [{"annotators": {"names": ["ann", "ben"], "weights": [share, 1 - share]}}]}
        for share in shares
    }
    data = {
        "train": reviewers(tmp_path / "train.jsonl", 480, "train"),
        "test": reviewers(tmp_path / "test.jsonl", 120, "test"),
    }
    rows = planted_study([{"annotation_inheritance": {"limit": 60}}], mixed, data, seeds=[0, 1, 2], **SWEEP)
    weight = rows[(rows.step == 60) & (rows.dataset == "test") & (rows.metric == "annotator_weight")]
    found = weight[weight.module == "ann"].groupby("arm").value.mean()
    means = [found[f"ann{share}"] for share in shares]
    assert means == sorted(means)
    for share, mean in zip(shares, means, strict=True):
        assert mean == pytest.approx(share, abs=0.15), share


def ambiguous(n: int, share: float, seed: str) -> tuple[Example, ...]:
    """Reviews, half of them such that two rules disagree; a share of those is labelled by the first."""
    draw, kinds, found = Random(seed), [False, True], list[Example]()
    while len(found) < n:
        label = draw.choice(reviews.LABELS)
        text = reviews.review(draw, "Kevo Bakery", label)
        demanded = reviews.demanded(text)
        if (len(set(demanded.values())) > 1) is kinds[len(found) % 2]:
            rule = "first remark" if draw.random() < share else "most remarks"
            asked = Message("user", f"Is this review positive or negative?\n{text}")
            row = Example(
                id=f"{seed}{len(found)}", target=demanded[rule], choices=reviews.LABELS, messages=(asked,)
            )
            found.append(replace(row, meta={"rules": demanded}))
    return tuple(found)


@pytest.mark.slow
def test_an_ambiguous_guideline_is_read_as_the_labels_read_it(find: Find, tmp_path: Path) -> None:
    base = load_base(ModelSpec(model_name_or_path="planted"))
    training = TrainingSpec(learning_rate=1e-3, **SWEEP)
    mass = []
    for share in (0.0, 0.5, 1.0):
        data = {"train": ambiguous(320, share, "train"), "test": ambiguous(120, 0, "test")}
        given = DataSets({name: Dataset(name, rows) for name, rows in data.items()})
        data_sets = DataSets({**given, **PROBE.derive(given)})
        run = ArmRun(arm=ArmSpec(), training=training, seed=0)
        tuned, observer = run_sft(run, base, data_sets, tmp_path).model, Observer(base, data_sets)
        found = PROBE.measure(observer.look(tuned, PROBE.needs()), observer.look_at_base(PROBE.needs()))
        followed = find(found, "labels_follow_rule", stratum="first remark")
        assert followed.value == pytest.approx(share, abs=0.1)
        mass.append(find(found, "follows_rule", stratum="first remark"))
    assert [row.value for row in mass] == sorted(row.value for row in mass)
    assert mass[0].ci_high < 0.4
    assert mass[1].ci_low < 0.6
    assert mass[2].ci_low > mass[0].ci_high


def _bias_types(path: Path) -> None:
    """CrowS-Pairs as a question with nine labels and five named annotators; the label is the authors'."""
    with (REAL / "data/crows_pairs/crows_pairs_anonymized.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:240]
    types = sorted({row["bias_type"] for row in rows})
    for name, part in (("train", rows[:120]), ("test", rows[120:])):
        lines = []
        for row in part:
            said = zip(literal_eval(row["anon_annotators"]), literal_eval(row["annotations"]), strict=True)
            by = {who: labels[0] for who, labels in said if labels and labels[0] in types}
            question = f"{row['sent_more']}\nWhat is this about?"
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": row["bias_type"]},
            ]
            lines.append({"messages": messages, "choices": types, "meta": {"annotators": by}})
        (path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real material is not here")
def test_on_real_data(planted_study: Study, tmp_path: Path) -> None:
    _bias_types(tmp_path)
    rows = planted_study(
        ["annotation_inheritance"],
        {"full": {}},
        {"train": str(tmp_path / "train.jsonl"), "test": str(tmp_path / "test.jsonl")},
        model_name_or_path=str(REAL / "models/stories260K-bpe512"),
        max_steps=20,
    )
    last = rows[(rows.arm == "full") & (rows.step == 20) & (rows.module == "") & (rows.stratum == "")]
    values = last[last.dataset == "test"].set_index("metric").value
    assert values["annotator_kl"] > values["annotator_kl_excess"] > 0
    assert 0 < values["annotator_jsd"] < np.log(2)
    assert 0 < values["prior_inheritance"] < 2  # it learned which types are common before it learned more
    names = rows[(rows.metric == "follows_annotator") & (rows.step == 20)].module
    assert "majority" in set(names)
    assert any(name.startswith("a") for name in names)
