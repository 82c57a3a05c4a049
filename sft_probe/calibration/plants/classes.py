"""The ledger's verdicts against planted truth: which facts were known, new, false, hidden or written over.

Three studies per seed. *gained*: the planted base learns facts it knows, facts it does not, and facts against
what it has read; the knowledge class of a fact is the truth. *told*: the base learns to say facts it knows
in a word. *lost*: that model then learns either to say them in a sentence, which hides what it knows behind
another form, or other answers to the same questions, which writes over it; the arm is the truth.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sft_probe.measures.waterfall import GAINS, HELD_OUT
from sft_probe.measures.waterfall import LOSSES as LOSS_VERDICTS
from sft_probe.store.runs import RunStore

if TYPE_CHECKING:
    import pandas as pd

    from sft_probe.study.progress import Progress
    from sft_probe.study.spec import StudySpec

CLASSES, PROBE = "classes", "gain_waterfall"
GAINED, TOLD, LOST = "gained", "told", "lost"
LEARNED = ("injected", "memorised")
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "known": ("elicited",),
    "known in one wording": LEARNED,
    "unknown": LEARNED,
    "contradicted": ("overwritten",),
    "hidden behind a form": ("suppressed",),
    "written over": ("erased",),
}
"""Truth -> the verdicts that are right. A new fact may be injected or memorised: no plant tells which, since
whether it survives other words is what the verdict itself asks."""
TRUTHS: Mapping[str, str] = {
    "K1": "known",
    "K2": "known in one wording",
    "U": "unknown",
    "W": "contradicted",
}
"""Knowledge classes of the planted world. K4, met a few times, has no right verdict and is left out."""
LOSSES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "form": ("hidden behind a form", {"other_form": None}),
    "over": ("written over", {"label_noise": {"rate": 0.999}}),
}
"""Arm of *lost* -> the truth of what it loses, and its edit."""
COMMON: Mapping[str, Any] = {
    "model_name_or_path": "planted",
    "per_device_train_batch_size": 16,
    "schedule": {"points": 0},
}
LEDGER = {PROBE: {"distractors": 7, "max_new_tokens": 12}}
ASKED = {
    "train": "planted:question_answering/train",
    "test": "planted:question_answering/test",
    "max_train_rows": 240,
    "max_test_rows": 20,
    "max_length": 96,
}


class Judged(NamedTuple):
    """How the items of one truth were judged: verdict -> items, pooled over seeds."""

    truth: str
    verdicts: Counter[str]

    @property
    def right(self) -> int:
        """Items with a verdict that the truth allows."""
        return sum(self.verdicts[verdict] for verdict in ALLOWED[self.truth])


class Ledger(NamedTuple):
    """Truths that belong to one side of the ledger. side: "gained" or "lost"."""

    side: str
    judged: tuple[Judged, ...]

    def sensitivity(self, truth: str) -> tuple[int, int]:
        """Items of a truth that were judged rightly, and all of its items."""
        own = next(found for found in self.judged if found.truth == truth)
        return own.right, own.verdicts.total()

    def specificity(self, truth: str) -> tuple[int, int]:
        """Items of truths that do not allow its verdicts and did not get one, and all of those items."""
        others = [found for found in self.judged if not set(ALLOWED[found.truth]) & set(ALLOWED[truth])]
        wrongly = sum(found.verdicts[verdict] for found in others for verdict in ALLOWED[truth])
        items = sum(found.verdicts.total() for found in others)
        return items - wrongly, items


def run(folder: Path, seeds: Iterable[int], progress: Progress | None = None) -> None:
    """Make the studies of all seeds under `folder`; what is finished stays. Takes some minutes a seed."""
    from sft_probe.execute.local import run_study

    for seed in seeds:
        run_study(_gained(folder, seed), progress=progress)
        run_study(_told(folder, seed), progress=progress)
        run_study(_lost(folder, seed), progress=progress)


def ledgers(folder: Path, seeds: Iterable[int]) -> tuple[Ledger, ...]:
    """What was judged in the studies that `run` made: facts gained, and facts lost."""
    given = tuple(seeds)
    gained = [_by_truth(_verdicts(_place(folder, GAINED, seed)), _classes(folder, seed)) for seed in given]
    lost = [_by_arm(_verdicts(_place(folder, LOST, seed))) for seed in given]
    return (_pooled(GAINED, TRUTHS.values(), gained), _pooled(LOST, (t for t, _ in LOSSES.values()), lost))


def _gained(folder: Path, seed: int) -> StudySpec:
    data = {**ASKED, "train": "planted:mixed_facts/train", "max_train_rows": 500}
    training = {"max_steps": 150, "learning_rate": 5e-4}
    return _only(
        _study(_place(folder, GAINED, seed), seed, data=data, arms={"arm": training}, decompose=True)
    )


def _told(folder: Path, seed: int) -> StudySpec:
    training = {"max_steps": 100, "learning_rate": 1e-3, "lr_scheduler_type": "linear"}
    place, probes = _place(folder, TOLD, seed), [{"task_alignment": {"max_new_tokens": 8}}]
    return _study(place, seed, data=ASKED, arms={"arm": training}, probes=probes, save_model=True)


def _lost(folder: Path, seed: int) -> StudySpec:
    base = RunStore(_place(folder, TOLD, seed)).folder / f"arm-seed{seed}" / "model"
    arms = {
        arm: {"edits": [edit], "max_steps": 60, "learning_rate": 5e-4} for arm, (_, edit) in LOSSES.items()
    }
    place = _place(folder, LOST, seed)
    return _only(_study(place, seed, data=ASKED, arms=arms, decompose=True, model_name_or_path=str(base)))


def _study(place: Path, seed: int, **given: Any) -> StudySpec:
    import yaml

    from sft_probe.study.yaml import parse_study

    own = {"name": place.name, "output_dir": str(place), "seeds": [seed], "data_seed": seed}
    return parse_study(yaml.safe_dump({**COMMON, **own, "probes": [LEDGER], **given}), file=place.name)


def _only(spec: StudySpec) -> StudySpec:
    """Without the arms that take the gain apart: the ledger needs none of them."""
    from sft_probe.study.decompose import is_companion

    own = {name: arm for name, arm in spec.arms.items() if not is_companion(spec, name)}
    return spec.model_copy(update={"arms": own})


def _place(folder: Path, part: str, seed: int) -> Path:
    return folder / CLASSES / f"{part}-seed{seed}"


def _verdicts(place: Path) -> pd.DataFrame:
    """Items that were gained or lost at the end of each arm, each with the ledger's verdict."""
    items = RunStore(place).items()
    own = items[(items["probe"] == PROBE) & (items["step"] > 0) & (items["arm"] != "base")]
    own = own[own["metric"].isin([f"{verdict}_share" for verdict in (*GAINS, *LOSS_VERDICTS)])]
    return own.assign(verdict=own["metric"].str.removesuffix("_share"))


def _classes(folder: Path, seed: int) -> dict[str, str]:
    """Truth of every row of the planted facts, by id."""
    path = _place(folder, GAINED, seed) / "world" / "tasks" / "mixed_facts.train.jsonl"
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {row["id"]: TRUTHS[row["stratum"]] for row in rows if row["stratum"] in TRUTHS}


def _by_truth(found: pd.DataFrame, truth: Mapping[str, str]) -> Counter[tuple[str, str]]:
    """Gains by truth and verdict. Held-out facts that nothing taught count only where they were known."""
    gains = found[found["verdict"].isin(GAINS)]
    pairs = zip(gains["item"].map(truth), gains["verdict"], gains["stratum"], strict=True)
    return Counter(
        (own, verdict)
        for own, verdict, stratum in pairs
        if isinstance(own, str) and (stratum != HELD_OUT or own == TRUTHS["K1"])
    )


def _by_arm(found: pd.DataFrame) -> Counter[tuple[str, str]]:
    """Losses by truth and verdict. Facts that were held out are not written over, and left out there."""
    losses = found[found["verdict"].isin(LOSS_VERDICTS)]
    pairs = zip(losses["arm"], losses["verdict"], losses["stratum"], strict=True)
    return Counter(
        (LOSSES[arm][0], verdict) for arm, verdict, stratum in pairs if arm == "form" or stratum != HELD_OUT
    )


def _pooled(side: str, truths: Iterable[str], found: Iterable[Counter[tuple[str, str]]]) -> Ledger:
    total: Counter[tuple[str, str]] = sum(found, Counter())
    return Ledger(
        side,
        tuple(
            Judged(truth, Counter({verdict: n for (own, verdict), n in total.items() if own == truth}))
            for truth in truths
        ),
    )
