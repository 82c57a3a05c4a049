import numpy as np
import pytest

from sft_probe.measures import task_vectors
from sft_probe.measures.task_vectors import cosines, products

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(7, 5), (9,), (4, 3, 2)])
def test_products_piece_by_piece(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_vectors, "PIECE", 6)
    vectors = [RNG.normal(size=shape).astype(np.float32) for _ in range(3)]
    flat = np.stack([v.ravel() for v in vectors]).astype(np.float64)
    assert products(vectors) == pytest.approx(flat @ flat.T)
    order = RNG.permutation(shape[0])
    moved = np.stack([v[order].ravel() for v in vectors]).astype(np.float64)
    assert products(vectors, order) == pytest.approx(flat @ moved.T)


def test_cosines() -> None:
    total = np.array([[4.0, -4.0, 0], [-4.0, 4.0, 0], [0, 0, 0]])
    found = cosines(total, np.diagonal(total))
    assert found[0, :2].tolist() == [1, -1]
    assert np.isnan(found[2]).all(), "no change has no direction"


def test_rows_out_of_place_share_nothing() -> None:
    one = RNG.normal(size=(400, 30)).astype(np.float32)
    lengths = np.diagonal(products([one, one]))
    assert cosines(products([one, one]), lengths)[0, 1] == pytest.approx(1)
    null = cosines(products([one, one], RNG.permutation(400)), lengths)[0, 1]
    assert abs(null) < 5 / np.sqrt(one.size)
