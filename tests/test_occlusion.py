"""Occlusion, with made-up probabilities."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.emotions import LABELS
from app.model.occlusion import GRID, evidence, occluded


@pytest.fixture
def crop() -> NDArray[np.float32]:
    return np.random.default_rng(0).random((96, 96, 3), np.float32)


def test_each_part_is_hidden_in_turn(crop: NDArray[np.float32]) -> None:
    first, *others = occluded(crop)
    assert np.array_equal(first, crop)
    assert len(others) == GRID * GRID
    hidden = np.array([(other != crop).any(axis=2) for other in others]).reshape(GRID, GRID, 96, 96)
    assert hidden.any(axis=(0, 1)).all()
    cell = 96 // GRID
    for row, column in np.ndindex(GRID, GRID):
        places = np.argwhere(hidden[row, column])
        (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0) + 1
        assert len(places) == (bottom - top) * (right - left)
        assert top <= row * cell < (row + 1) * cell <= bottom
        assert left <= column * cell < (column + 1) * cell <= right
    neighbours = [(hidden[:-1], hidden[1:]), (hidden[:, :-1], hidden[:, 1:])]
    assert all((one & other).any(axis=(2, 3)).all() for one, other in neighbours)
    assert np.stack(others).std(axis=(1, 2, 3)).max() < crop.std()


def test_evidence_is_where_hiding_lowers_the_odds() -> None:
    probabilities = np.full((1 + GRID * GRID, len(LABELS)), 0.1, np.float32)
    probabilities[:, 3] = 0.4
    probabilities[1 + 2 * GRID + 4] = [0.15, 0.15, 0.15, 0.1, 0.15, 0.15, 0.15]
    probabilities[1 + 5 * GRID] = [0.05, 0.05, 0.05, 0.7, 0.05, 0.05, 0.05]
    heat = evidence(probabilities, 3)
    assert heat.dtype == np.float32
    assert heat[2, 4] == pytest.approx(np.log(0.4 / 0.6) - np.log(0.1 / 0.9), abs=1e-5)
    assert heat[5, 0] == pytest.approx(np.log(0.4 / 0.6) - np.log(0.7 / 0.3), abs=1e-5)
    assert np.count_nonzero(np.abs(heat) > 1e-5) == 2


@pytest.mark.parametrize("certain", [0, 3])
def test_evidence_is_finite_where_a_probability_is_zero_or_one(certain: int) -> None:
    probabilities = np.zeros((1 + GRID * GRID, len(LABELS)), np.float32)
    probabilities[:, certain] = 1
    assert np.array_equal(evidence(probabilities, 3), np.zeros((GRID, GRID)))


def test_evidence_of_a_saturated_label_is_not_lost() -> None:
    probabilities = np.zeros((1 + GRID * GRID, len(LABELS)), np.float32)
    probabilities[:, 3], probabilities[:, 0] = 1, 1e-9
    probabilities[7, 0] = 1e-6
    heat = evidence(probabilities, 3)
    assert heat.argmax() == 6
    assert heat.max() == pytest.approx(np.log(1000), rel=1e-3)
