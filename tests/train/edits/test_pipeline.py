from __future__ import annotations

import pytest

from sft_probe.data.examples import DataSets
from sft_probe.errors import SpecError, UnknownComponent
from sft_probe.observe.needs import Need
from sft_probe.observe.observations import Observed
from sft_probe.study.spec import EditSpec
from sft_probe.testing.tiny import tiny_data
from sft_probe.train.edits.pipeline import edit_training, make_edit, make_edits


def blind(data: DataSets, needs: tuple[Need, ...]) -> Observed:
    assert "train" in data
    assert needs == ()
    return Observed({})


def test_edits_follow_one_another_and_leave_the_other_data_alone() -> None:
    sets = tiny_data(20)
    data = type(sets)({**sets, "train": sets["test"]})
    twice = make_edits([EditSpec(name="label_noise", options={"rate": 0.5, "seed": s}) for s in (0, 1)])
    done = edit_training(twice, data, blind, 0)
    assert done.data["test"] == data["test"]
    assert [line.edit for line in done.log] == ["label_noise"] * 20
    assert done.data["train"].digest != data["train"].digest
    assert edit_training(twice, data, blind, 0) == done


def test_a_wrong_option_or_name_says_what_is_known() -> None:
    with pytest.raises(SpecError, match=r"no option 'rte'\. Did you mean 'rate'"):
        make_edit("label_noise", {"rte": 0.5})
    with pytest.raises(UnknownComponent, match=r"no edit named 'label_nois'\. Did you mean 'label_noise'"):
        make_edit("label_nois", {})


def test_an_edit_that_does_not_fit_the_data_is_named() -> None:
    sets = tiny_data(4)
    data = type(sets)({**sets, "train": sets["text"]})
    with pytest.raises(SpecError, match=r"field 'edits\.label_noise'.*closed set"):
        edit_training([make_edit("label_noise", {})], data, blind, 0)
