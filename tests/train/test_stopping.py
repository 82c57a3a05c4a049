"""An arm that stops once its answers have the form."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from sft_probe.data.examples import Dataset, DataSets
from sft_probe.observe.observer import Observer
from sft_probe.study.spec import ArmSpec, StopSpec, TrainingSpec
from sft_probe.testing.tiny import tiny_base, tiny_data
from sft_probe.train.sft import ArmRun, run_sft
from sft_probe.train.stopping import StopAtForm

from .test_host import Kept


@pytest.mark.parametrize(("rate", "last"), [(1e-9, 40), (3e-2, 40)], ids=["never", "soon"])
def test_training_ends_at_the_second_look_in_a_row_with_form(rate: float, last: int, tmp_path: Path) -> None:
    base, sets, kept = tiny_base(), tiny_data(16), Kept()
    data = DataSets({**sets, "train": Dataset("train", sets["test"].examples)})
    stop = StopSpec(every=4, limit=4, max_new_tokens=8)
    run = ArmRun(
        arm=ArmSpec(),
        training=TrainingSpec(max_steps=last, per_device_train_batch_size=8, learning_rate=rate),
        seed=0,
    )
    run_sft(run, base, data, tmp_path, callbacks=(StopAtForm(Observer(base, data), stop, kept),))
    looks = [(step, values["well_formed"]) for step, values in kept.logged]
    good = [share >= stop.well_formed for _, share in looks]
    assert [step for step, _ in looks] == list(range(4, 4 * len(looks) + 1, 4))
    assert not any(map(all, pairwise(good[:-1]))), "it had already seen enough"
    if rate > 1e-3:
        assert good[-2:] == [True, True]
        assert looks[-1][0] < last
    else:
        assert looks[-1][0] == last
