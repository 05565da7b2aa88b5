"""Features that are not an array, and clusters of known classes."""

import numpy as np
import pytest


class OnlySlices:
    """Rows that can only be sliced, like those of a file reader."""

    def __init__(self, rows: np.ndarray):
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> np.ndarray:
        assert isinstance(rows, slice)
        return self._rows[rows]


@pytest.fixture
def only_slices():
    return OnlySlices


@pytest.fixture
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """400 rows of 12 numbers in 6 classes, far apart and far from 0, with their labels."""
    rng = np.random.default_rng(5)
    labels = rng.permutation(np.arange(400) % 6)
    centers = 4 * rng.standard_normal((6, 12)) + 30
    rows = centers[labels] + rng.standard_normal((400, 12)) * np.linspace(0.3, 1.2, 12)
    return rows.astype(np.float32), labels
