"""Augmentation: what each change may do to a drawing, and what it must not touch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.ops.augment import augment
from sketchjax.ops.draw import rasterize, strokes_of

EVERYTHING = {
    "rotation": 20.0,
    "scale": 0.2,
    "shift": 0.1,
    "shear": 0.2,
    "drop_stroke": 0.4,
    "anisotropy": 0.2,
    "flip": 0.5,
    "deform": 0.1,
    "stroke_shift": 0.05,
    "jitter": 2.0,
}
NAMES = tuple(EVERYTHING)
SKETCHES = 64
WIDTH = 24


@pytest.fixture(scope="module")
def batch():
    """Keys and random sketches: the first is one dot, the second empty, the padding is garbage."""
    rng = np.random.default_rng(5)
    points = rng.integers(0, 256, (SKETCHES, WIDTH, 3)).astype(np.uint8)
    length = rng.integers(4, WIDTH + 1, SKETCHES).astype(np.int32)
    points[..., 2] = rng.random((SKETCHES, WIDTH)) < 0.2
    points[np.arange(SKETCHES), length - 1, 2] = 1
    points[0, 0, 2], length[0], length[1] = 1, 1, 0
    keys = jax.random.split(jax.random.key(7), SKETCHES)
    return keys, points, length


def changed(batch, **amounts):
    keys, points, length = batch
    strokes = strokes_of(points, length)
    after = jax.jit(lambda keys, strokes: augment(keys, strokes, **amounts))(keys, strokes)
    np.testing.assert_array_equal(after.center, strokes.center)
    return np.asarray(after.points), np.asarray(after.length)


def valid_of(length, width=WIDTH):
    return np.arange(width)[None, :] < np.asarray(length)[:, None]


def linear_part(batch, points):
    """The map [2 2] of each sketch from its centred points to the changed ones, and the misfit."""
    _, before, length = batch
    middle = np.asarray(strokes_of(before, length).center)
    for i in range(2, SKETCHES):
        n = int(length[i])
        old = np.asarray(before[i, :n, :2], np.float64) - middle[i]
        new = np.asarray(points[i, :n, :2], np.float64) - middle[i]
        matrix, *_ = np.linalg.lstsq(old, new, rcond=None)
        yield matrix.T, np.abs(old @ matrix - new).max()


def test_all_amounts_at_zero_are_exactly_the_identity(batch):
    _, before, length = batch
    points, new_length = changed(batch)
    assert points.dtype == jnp.float32
    assert new_length.dtype == jnp.int32
    np.testing.assert_array_equal(new_length, length)
    wanted = np.where(valid_of(length)[..., None], np.asarray(before, np.float32), 0)
    np.testing.assert_array_equal(points, wanted)


def test_a_change_ignores_the_batch_and_the_padding(batch):
    keys, before, length = batch
    points, new_length = changed(batch, **EVERYTHING)
    order = np.random.default_rng(0).permutation(SKETCHES)[:8]
    part = (keys[order], np.pad(before[order], ((0, 0), (0, 9), (0, 0))), length[order])
    again, again_length = changed(part, **EVERYTHING)
    np.testing.assert_array_equal(again_length, new_length[order])
    np.testing.assert_allclose(again[:, :WIDTH], points[order], atol=1e-3)
    assert not again[:, WIDTH:].any()


@pytest.mark.parametrize("name", NAMES)
def test_each_change_keeps_order_and_padding(batch, name):
    _, before, length = batch
    points, new_length = changed(batch, **{name: EVERYTHING[name]})
    assert np.isfinite(points).all()
    assert not np.asarray(points)[~valid_of(new_length)].any()
    if name != "drop_stroke":
        np.testing.assert_array_equal(new_length, length)
        ends = np.where(valid_of(length), np.asarray(before[..., 2]), 0)
        np.testing.assert_array_equal(points[..., 2], ends)
    moved = np.abs(np.asarray(points[2:]) - np.asarray(before[2:], np.float32))
    moved = np.where(valid_of(length)[2:, :, None], moved, 0).max(axis=(1, 2))
    assert (moved > 0.01).mean() > 0.3


def test_one_change_more_leaves_the_others_the_same(batch):
    shifted = np.asarray(changed(batch, shift=0.1)[0])
    both = np.asarray(changed(batch, shift=0.1, jitter=2.0)[0])
    assert 0.5 < np.abs(both - shifted).max() <= 2.001


def test_rotation_scale_and_flip_are_linear_maps(batch):
    angles, sizes, mirrors = [], [], 0
    for matrix, misfit in linear_part(
        batch, changed(batch, rotation=20.0, scale=0.25, flip=0.5)[0]
    ):
        assert misfit < 1e-3
        determinant = np.linalg.det(matrix)
        mirrors += determinant < 0
        turn = matrix * [np.sign(determinant), 1] / np.sqrt(abs(determinant))
        np.testing.assert_allclose(turn @ turn.T, np.eye(2), atol=1e-4)
        angles.append(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
        sizes.append(np.sqrt(abs(determinant)))
    assert 15 < np.abs(angles).max() <= 20.01
    assert min(angles) < -5 < 5 < max(angles)
    assert 0.8 - 1e-4 <= min(sizes) < 0.88
    assert 1.14 < max(sizes) <= 1.25 + 1e-4
    assert SKETCHES / 4 < mirrors < SKETCHES * 3 / 4


def test_shear_and_anisotropy_keep_the_area(batch):
    for matrix, misfit in linear_part(batch, changed(batch, shear=0.3)[0]):
        assert misfit < 1e-3
        np.testing.assert_allclose(matrix - np.diag([1, 1]), [[0, matrix[0, 1]], [0, 0]], atol=1e-4)
        assert abs(matrix[0, 1]) <= 0.3001
    ratios = []
    for matrix, _ in linear_part(batch, changed(batch, anisotropy=0.5)[0]):
        assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-3)
        ratios.append(matrix[0, 0] / matrix[1, 1])
    assert 1 / 1.501 <= min(ratios) < 0.8
    assert 1.25 < max(ratios) <= 1.501


def test_shift_moves_the_drawing_within_its_picture(batch):
    _, before, length = batch
    points, _ = changed(batch, shift=0.1)
    moves = np.asarray(points - before)[2:, 0, :2]
    assert 20 < np.abs(moves).max() <= 25.51
    draw = jax.jit(functools.partial(rasterize, size=32, stroke_width=1.5))
    recorded = strokes_of(before.astype(np.float32), length)
    still = draw(recorded)
    np.testing.assert_allclose(draw(strokes_of(points, length)), still, atol=1e-3)
    seen = draw(recorded._replace(points=points))
    assert np.abs(seen - still).max(axis=(1, 2, 3))[2:].min() > 0.1


def test_dropping_leaves_whole_strokes_in_order(batch):
    _, before, length = batch
    points, new_length = changed(batch, drop_stroke=0.5)
    dropped = total = 0
    for i in range(SKETCHES):
        old = np.split(np.asarray(before[i, : length[i]], np.float32),
                       np.flatnonzero(before[i, : length[i], 2]) + 1)  # fmt: skip
        old = [stroke.tolist() for stroke in old if len(stroke)]
        new = np.asarray(points[i, : new_length[i]])
        kept = np.split(new, np.flatnonzero(new[:, 2]) + 1)
        remaining = iter(old)
        kept = [stroke.tolist() for stroke in kept if len(stroke)]
        assert all(stroke in remaining for stroke in kept), "a stroke was cut or moved"
        assert bool(kept) == bool(old)
        dropped, total = dropped + len(old) - len(kept), total + len(old)
    assert 0.25 < dropped / total < 0.5


def test_the_last_stroke_always_remains(batch):
    _, before, _ = batch
    points, new_length = changed(batch, drop_stroke=1.0)
    assert new_length[0] == 1
    assert new_length[1] == 0
    strokes_left = np.asarray(points[..., 2]).sum(axis=1)
    np.testing.assert_array_equal(strokes_left[2:], 1)
    firsts = np.asarray(points[2:, 0]) == np.asarray(before[2:, 0], np.float32)
    assert 0.1 < firsts.all(axis=1).mean() < 0.6  # not always the first stroke


def test_deform_keeps_touching_points_and_is_bounded(batch):
    keys, before, length = batch
    twice = before.copy()
    twice[:, 3] = twice[:, 0]
    points, _ = changed((keys, twice, length), deform=0.1)
    moved = np.abs(np.asarray(points) - np.asarray(twice, np.float32))[valid_of(length)]
    assert 5 < moved.max() <= 25.5
    np.testing.assert_allclose(points[2:, 3, :2], points[2:, 0, :2], atol=1e-4)


def test_stroke_shift_moves_each_stroke_as_one(batch):
    _, before, length = batch
    points, _ = changed(batch, stroke_shift=0.05)
    for i in range(2, SKETCHES):
        n = int(length[i])
        index = np.cumsum(before[i, :n, 2].astype(int)) - before[i, :n, 2]
        moves = np.asarray(points[i, :n, :2]) - np.asarray(before[i, :n, :2], np.float32)
        assert np.abs(moves).max() <= 12.76
        for stroke in range(index.max() + 1):
            assert np.ptp(moves[index == stroke], axis=0).max() < 1e-3
        if index.max() > 0:
            assert np.ptp(moves[:, 0]) > 1e-3


def test_gradients_are_finite_and_padding_has_none(batch):
    keys, before, length = batch
    start = np.where(valid_of(length)[..., None], before.astype(np.float32), np.nan)

    def loss(points):
        return jnp.sum(augment(keys, strokes_of(points, length), **EVERYTHING).points ** 2)

    slope = jax.jit(jax.grad(loss))(start)
    assert jnp.isfinite(slope).all()
    assert not slope[~valid_of(length)].any()


def test_amounts_and_shapes_out_of_range_are_named(batch):
    keys, points, length = batch
    strokes = strokes_of(points, length)
    with pytest.raises(ValueError, match=r"drop_stroke=1\.5: must be at least 0 and at most 1\."):
        augment(keys, strokes, drop_stroke=1.5)
    with pytest.raises(ValueError, match=r"rotation=-1: must be at least 0\."):
        augment(keys, strokes, rotation=-1)
    with pytest.raises(ValueError, match="one per sketch"):
        augment(keys[:3], strokes)
