"""SKLSH: bits differ as the kernel predicts (Raginsky and Lazebnik, lemma 2.3)."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from sketchjax.errors import ConfigError
from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.shallow.sklsh import neighbor_distance


def expected_difference(distance: float, width: float) -> float:
    """(8 / π²) Σ_m (1 − K(m (x − y))) / (4 m² − 1) for the Gaussian kernel."""
    total = 0.0
    for m in range(1, 2000):
        kernel = np.exp(-((m * distance) ** 2) / (2 * width**2))
        total += (1 - kernel) / (4 * m * m - 1)
    return 8 / np.pi**2 * total


@pytest.mark.parametrize("width", [0.7, 2.0])
def test_bits_differ_as_the_kernel_predicts(width):
    distances = np.array([0.05, 0.3, 1.0, 2.0, 20.0])
    rows = np.array([[3.0, 4.0], *([3.0 + d * 0.6, 4.0 + d * 0.8] for d in distances)])
    bits = 40_000
    codes = HASHERS["sklsh"](bits, width=width).fit(rows).encode(rows)
    share = (codes[0] != codes[1:]).mean(axis=1)
    expected = np.array([expected_difference(d, width) for d in distances])
    assert (np.abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / bits)).all()
    # Far apart, the formula gives 4/π² = 0.405, not one half.
    assert expected[-1] == pytest.approx(4 / np.pi**2, abs=1e-3)


def test_width_is_the_distance_to_neighbour_50():
    rows = np.random.default_rng(2).standard_normal((300, 4)).astype(np.float32)
    found, _ = KDTree(rows).query(rows, k=51)
    expected = float(found[:, 50].mean())
    assert neighbor_distance(rows, 0) == pytest.approx(expected, rel=1e-5)
    given, own = (
        HASHERS["sklsh"](6, width=width).fit(rows).project(rows) for width in (expected, None)
    )
    np.testing.assert_allclose(own, given, atol=1e-4)


def test_fewer_than_50_neighbours_use_the_farthest():
    rows = np.random.default_rng(2).standard_normal((20, 4)).astype(np.float32)
    farthest = np.linalg.norm(rows[:, None] - rows, axis=2).max(axis=1)
    assert neighbor_distance(rows, 0) == pytest.approx(farthest.mean(), rel=1e-5)


def test_equal_rows_share_one_code():
    codes = HASHERS["sklsh"](16).fit(np.ones((9, 3))).encode(np.ones((9, 3)))
    assert (codes == codes[0]).all()


def test_width_must_be_positive():
    with pytest.raises(ConfigError, match=r"width=0\.0"):
        HASHERS["sklsh"](8, width=0.0)
