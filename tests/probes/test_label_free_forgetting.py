from collections.abc import Callable

import numpy as np
import pytest

from sft_probe.data.examples import Dataset, DataSets, Example, Message
from sft_probe.errors import NotApplicable
from sft_probe.observe.needs import TokenDivergence
from sft_probe.observe.observations import Observed, TokenDivergenceSeen
from sft_probe.probes.label_free_forgetting import TEXT, LabelFreeForgetting
from sft_probe.schema import Measurement

Find = Callable[..., Measurement]
PROBE = LabelFreeForgetting()
TEXTS = tuple(Example(id=name, target=f"text {name}", stratum=name) for name in "ab")
ASKED = tuple(Example(id=name, target="yes", messages=(Message("user", name),)) for name in "ab")


def seen(top: list[float], kl: float, logprob: float) -> Observed:
    flat = np.ones(4)
    return Observed(
        {
            TokenDivergence(dataset=TEXT): TokenDivergenceSeen(
                examples=TEXTS,
                example=np.array([0, 0, 1, 1]),
                position=np.array([0, 1, 0, 1]),
                token=("t",) * 4,
                kl_tuned_base=flat,
                kl_base_tuned=kl * flat,
                base_rank=np.ones(4, dtype=np.int64),
                base_ties=np.zeros(4, dtype=np.int64),
                entropy_tuned=flat,
                entropy_base=0.75 * flat,
                logprob_tuned=logprob * flat,
                logprob_base=-2.0 * flat,
                logprob_tuned_top=np.array(top),
            )
        }
    )


def test_both_forms_and_the_text(find: Find) -> None:
    found = PROBE.measure(seen([-1, -2, -3, -4], 0.5, -1.5), seen([-0.5] * 4, 0.0, -2.0))
    place = {"dataset": TEXT}
    assert find(found, "base_argmax_cross_entropy", **place).value == 2.5
    assert find(found, "base_argmax_cross_entropy", **place).null_value == 0.5
    assert find(found, "base_argmax_cross_entropy_change", **place).value == 2.0
    assert find(found, "base_cross_entropy", **place).value == 1.25
    assert find(found, "base_cross_entropy", **place).null_value == 0.75
    assert find(found, "base_cross_entropy_change", **place).value == 0.5
    assert find(found, "text_loss_change", **place).value == -0.5
    assert find(found, "base_argmax_cross_entropy", stratum="b", **place).value == 3.5
    assert [item.value for item in found.items] == [1.5, 3.5]


def test_plain_text_is_found_or_missed() -> None:
    rows = {"train": TEXTS, "test": ASKED}
    data = DataSets({name: Dataset(name, row) for name, row in rows.items()})
    with pytest.raises(NotApplicable, match="plain text"):
        PROBE.derive(data)
    with_text = DataSets({**data, "generic": Dataset("generic", TEXTS)})
    assert PROBE.derive(with_text)[TEXT].examples == TEXTS
