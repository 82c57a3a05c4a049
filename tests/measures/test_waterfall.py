from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sft_probe.measures.waterfall import (
    GAINS,
    LOSSES,
    Account,
    Term,
    both_orders,
    by_stratum,
    evaluate,
    steps,
    verdicts,
)

STRATA, ARMS = ("E0", "E1", "E2"), ("base", "format", "known", "full")
shares = st.floats(0, 1)


@given(st.lists(shares, min_size=12, max_size=12), st.sampled_from(STRATA))
def test_steps_add_up_to_the_whole_change_exactly(values: list[float], stratum: str) -> None:
    scores = dict(zip(product(ARMS, STRATA), values, strict=True))
    total = scores["full", stratum] - scores["base", stratum]
    assert sum(evaluate(terms, scores) for terms in steps(stratum).values()) == pytest.approx(
        total, abs=1e-12
    )


def test_terms_cancel_symbolically() -> None:
    for stratum in STRATA:
        left: dict[tuple[str, str], float] = {}
        for term in (term for terms in steps(stratum).values() for term in terms):
            left[term.arm, term.stratum] = left.get((term.arm, term.stratum), 0) + term.weight
        assert {key: weight for key, weight in left.items() if weight} == {
            ("full", stratum): 1,
            ("base", stratum): -1,
        }


@given(st.lists(shares, min_size=4, max_size=4))
def test_both_orders_share_the_same_sum_and_do_not_care_which_comes_first(values: list[float]) -> None:
    base, form, mapping, known = values
    scores = dict(zip(product(("base", "format", "mapping", "known"), ["E0"]), values, strict=True))
    made = {name: evaluate(terms, scores) for name, terms in both_orders("E0").items()}
    assert sum(made.values()) == pytest.approx(known - base, abs=1e-12)
    swapped = {**scores, ("format", "E0"): mapping, ("mapping", "E0"): form}
    turned = {name: evaluate(terms, swapped) for name, terms in both_orders("E0").items()}
    assert turned["format"] == pytest.approx(made["elicited"], abs=1e-12)


def test_steps_by_hand() -> None:
    rows = {"base": (0, 0, 0), "format": (0.1, 0.1, 0.1), "known": (0.5, 0.5, 0.5), "full": (0.6, 0.7, 0.9)}
    scores = {(arm, s): v for arm, values in rows.items() for s, v in zip(STRATA, values, strict=True)}
    made = {name: evaluate(terms, scores) for name, terms in steps("E2").items()}
    expected = {"format": 0.1, "elicited": 0.4, "generalised": 0.1, "injected": 0.1, "verbatim": 0.2}
    assert made == pytest.approx(expected)
    assert list(steps("E0")) == ["format", "elicited", "generalised"]
    assert list(steps("E1")) == ["format", "elicited", "generalised", "injected"]


@given(arrays(float, (4, 3, 2, 5), elements=st.floats(0, 1)))
def test_items_of_the_strata_add_up_to_the_step(values: np.ndarray) -> None:
    scores = {(arm, s): values[i, j] for i, arm in enumerate(ARMS) for j, s in enumerate(STRATA)}
    means = {key: float(items.mean()) for key, items in scores.items()}
    for terms in steps("E2").values():
        parts = by_stratum(terms, scores)
        assert sum(part.mean() for part in parts.values()) == pytest.approx(evaluate(terms, means), abs=1e-9)


def test_one_term_keeps_its_sign() -> None:
    parts = by_stratum([Term(-1, "base", "E0")], {("base", "E0"): np.array([0.0, 1.0])})
    assert parts["E0"].tolist() == [0.0, -1.0]


@given(st.lists(st.tuples(*[st.booleans()] * 6, st.sampled_from(STRATA)), min_size=1, max_size=60))
def test_the_ledger_sums_exactly(rows: list[tuple[bool, bool, bool, bool, bool, bool, str]]) -> None:
    *flags, strata = zip(*rows, strict=True)
    items = Account(*(np.array(flag) for flag in flags))
    said = verdicts(items, strata)
    gains, losses = (sum(verdict in kinds for verdict in said) for kinds in (GAINS, LOSSES))
    assert gains - losses == int(items.after.sum()) - int(items.before.sum())


@pytest.mark.parametrize(
    ("before", "after", "known", "believed", "reworded", "revived", "stratum", "verdict"),
    [
        (0, 1, 1, 0, 0, 0, "E2", "elicited"),
        (0, 1, 1, 1, 0, 0, "E0", "elicited"),
        (0, 1, 0, 1, 1, 0, "E1", "overwritten"),
        (0, 1, 0, 0, 0, 0, "E0", "generalised"),
        (0, 1, 0, 0, 0, 0, "E1", "injected"),
        (0, 1, 0, 0, 1, 0, "E2", "injected"),
        (0, 1, 0, 0, 0, 0, "E2", "memorised"),
        (1, 0, 1, 0, 0, 1, "E0", "suppressed"),
        (1, 0, 1, 0, 0, 0, "E2", "erased"),
        (1, 1, 1, 0, 1, 1, "E2", ""),
        (0, 0, 1, 1, 0, 0, "E1", ""),
    ],
)
def test_verdicts_by_hand(
    before: int,
    after: int,
    known: int,
    believed: int,
    reworded: int,
    revived: int,
    stratum: str,
    verdict: str,
) -> None:
    flags = (before, after, known, believed, reworded, revived)
    items = Account(*(np.array([bool(flag)]) for flag in flags))
    assert verdicts(items, [stratum]) == [verdict]
