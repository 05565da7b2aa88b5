"""ITQ: iterations never raise the error and match a plain version in double precision."""

import numpy as np
import pytest

from sketchjax.ops.rotation import quantization_error, rotation, rotations


def values(seed: int, bits: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((500, bits)) @ rng.standard_normal((bits, bits))


def some_rotation(seed: int, bits: int = 6) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((bits, bits)))[0]


def test_error_matches_its_definition():
    projected, rotated = values(0), some_rotation(1)
    total = 0.0
    for row in projected:
        for column in rotated.T:
            value = float(row @ column)
            total += ((1.0 if value > 0 else -1.0) - value) ** 2
    assert quantization_error(projected, rotated) == pytest.approx(total / 500)


@pytest.mark.parametrize("seed", range(5))
def test_no_iteration_raises_the_error(seed):
    projected, start = values(seed), some_rotation(seed + 10)
    found = [start, *rotations(projected, start, 40)]
    for rotated in found:
        np.testing.assert_allclose(rotated.T @ rotated, np.eye(6), atol=1e-5)
    errors = np.array([quantization_error(projected, rotated) for rotated in found])
    assert (np.diff(errors) < 1e-5 * errors[0]).all()
    assert errors[-1] < errors[0] - 0.01


@pytest.mark.parametrize("iterations", [1, 3, 30])
def test_iterations_match_a_plain_version(iterations):
    projected, ours = values(3), some_rotation(4)
    plain = ours
    for _ in range(iterations):
        signs = np.array([[1 if v > 0 else -1 for v in row] for row in projected @ plain])
        left, _, right = np.linalg.svd(signs.T @ projected)
        plain = right.T @ left.T  # of min ‖B − V R‖, R'R = 1, with B'V = left S right
    *_, ours = rotations(projected, ours, iterations)
    assert quantization_error(projected, ours) == pytest.approx(
        quantization_error(projected, plain), rel=1e-4
    )
    if iterations == 1:  # later, a value near 0 may round to the other side
        np.testing.assert_allclose(ours, plain, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_error_is_below_that_of_faiss(seed):
    faiss = pytest.importorskip("faiss", reason="faiss: pip install 'sketchjax[test]'")
    projected, start = values(seed).astype(np.float32), some_rotation(seed + 10)
    peer = faiss.ITQMatrix(6)
    # faiss stores the rotation column by column.
    faiss.copy_array_to_vector(start.T.ravel().copy(), peer.init_rotation)
    peer.train(projected)
    matrix = faiss.vector_to_array(peer.A).reshape(6, 6)
    theirs = min(quantization_error(projected, rotated) for rotated in (matrix, matrix.T))
    *_, ours = rotations(projected, start, peer.max_iter)
    assert quantization_error(projected, ours) < theirs


def test_a_rotated_cube_is_rotated_back():
    cube = np.random.default_rng(0).choice([-1.0, 1.0], (400, 4))
    angle = 0.3
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    *_, found = rotations(cube @ turn, np.eye(4), 20)
    assert quantization_error(cube @ turn, found) < 1e-6


def test_the_seed_sets_the_start():
    projected = values(7)
    np.testing.assert_array_equal(rotation(projected, 1, 5), rotation(projected, 1, 5))
    assert not np.allclose(rotation(projected, 1, 5), rotation(projected, 2, 5))
