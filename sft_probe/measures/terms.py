"""Which words one body of text uses more than another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm

from sft_probe.measures.text import words
from sft_probe.measures.token_classes import FUNCTION_WORDS

Floats = NDArray[np.float64]


class Odds(NamedTuple):
    """Log-odds ratio of each term, first body of text over the second, and its standard error. (terms,)"""

    value: Floats
    se: Floats


def log_odds(first: Floats, second: Floats, prior: Floats) -> Odds:
    """Log-odds ratios with an informative Dirichlet prior. All (terms,); counts, and pseudo-counts > 0.

    With y counts of a term among n words: log((y1 + a)/(n1 + A - y1 - a)) - log((y2 + a)/(n2 + A - y2 - a)),
    A the sum of the prior; variance about 1/(y1 + a) + 1/(y2 + a).
    Source: Monroe, Colaresi & Quinn 2008, Fightin' Words, equations 16 and 22.
    """

    def log_odd(counts: Floats) -> Floats:
        own = counts + prior
        odds: Floats = np.log(own) - np.log(own.sum() - own)
        return odds

    return Odds(log_odd(first) - log_odd(second), np.sqrt(1 / (first + prior) + 1 / (second + prior)))


def more_often(odds: Odds, level: float = 0.05) -> NDArray[np.bool_]:
    """Terms of the first body of text, by a one-sided test at a false discovery rate of `level` (BH)."""
    if not odds.value.size:
        return np.zeros(0, dtype=bool)
    p = norm.sf(odds.value / odds.se)
    found: NDArray[np.bool_] = false_discovery_control(p) <= level
    return found


def counted(bodies: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], Floats]:
    """Terms, and how often each body of texts uses each of them: (bodies, terms)."""
    from sklearn.feature_extraction.text import CountVectorizer

    texts = [text for body in bodies for text in body]
    if not any(words(text) for text in texts):
        return (), np.zeros((len(bodies), 0))
    counter = CountVectorizer(analyzer=words, dtype=np.float64)
    table, start, sums = counter.fit_transform(texts), 0, []
    for body in bodies:
        sums.append(np.asarray(table[start : start + len(body)].sum(axis=0)).ravel())
        start += len(body)
    return tuple(counter.get_feature_names_out()), np.stack(sums)


def smoothed_prior(counts: Floats) -> Floats:
    """Pseudo-counts in proportion to all counts: a tenth of them, at most 500, and a hundredth for each term.

    (terms,) -> (terms,). The more there are, the more evidence a rare term needs.
    """
    total = float(counts.sum())
    prior: Floats = 0.01 + min(0.1, 500 / max(total, 1.0)) * counts
    return prior


def own_terms(texts: Sequence[str], background: Sequence[str], count: int) -> tuple[str, ...]:
    """Up to `count` terms that texts use more than the background does, the surest first.

    Function words are style, not terms, and are left out.
    """
    terms, (here, there) = counted((texts, background))
    odds = log_odds(here, there, smoothed_prior(here + there))
    surely = more_often(odds)
    order = np.argsort(-odds.value / odds.se, kind="stable")
    return tuple(terms[i] for i in order if surely[i] and terms[i] not in FUNCTION_WORDS)[:count]


def term_share(text: str, terms: Collection[str]) -> float:
    """Share of a text's words that are among the terms; NaN for a blank text."""
    said = words(text)
    return sum(word in terms for word in said) / len(said) if said else nan
