"""Which training rows share most words with an item. Nearest by words, which says nothing about a cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Near = tuple[tuple[int, float], ...]
WORD = r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+"  # a Chinese character, or a word of other letters and digits
COMMON = 0.5  # a word in more than this share of the rows tells none of them apart
LEAST = 0.1  # a smaller cosine is a chance meeting of one word
AT_ONCE = 512  # texts per block, which bounds the memory


def nearest(texts: Sequence[str], rows: Sequence[str], most: int = 2) -> list[Near]:
    """For each text the nearest rows as (index, cosine), nearest first; none below a cosine of `LEAST`.

    Cosine of TF-IDF weights of words, so that rare words count for more.
    Source: Salton & Buckley 1988, Term-weighting approaches in automatic text retrieval.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    limit = COMMON if len(rows) >= 1 / (1 - COMMON) * 10 else 1.0
    weigher = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True, max_df=limit, dtype=np.float32)
    try:
        known = weigher.fit_transform(rows).T.tocsr()
    except ValueError:  # no row has a word of its own
        return [()] * len(texts)
    found: list[Near] = []
    for start in range(0, len(texts), AT_ONCE):
        alike = (weigher.transform(texts[start : start + AT_ONCE]) @ known).tocsr()
        found += [_first(alike.getrow(place), most) for place in range(alike.shape[0])]
    return found


def _first(row: object, most: int) -> Near:
    """The largest entries of one sparse row; of equal ones the earlier row."""
    places, values = row.indices, row.data  # type: ignore[attr-defined]
    order = np.lexsort((places, -values))[:most]
    return tuple((int(places[k]), round(float(values[k]), 2)) for k in order if values[k] >= LEAST)
