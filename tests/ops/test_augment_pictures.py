"""Augmentation of pictures against numpy, one picture at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sketchjax.data.inputs import Pictures
from sketchjax.ops.augment import augment
from sketchjax.ops.augment_pictures import augment_pictures, recolouring, resampling
from sketchjax.ops.draw import strokes_of

COUNT, SIDE = 24, 9


@pytest.fixture(scope="module")
def pictures():
    random = np.random.default_rng(0)
    return Pictures(
        random.integers(0, 256, (COUNT, SIDE, SIDE, 3)).astype(np.uint8),
        random.integers(0, 256, (COUNT, SIDE, SIDE, 1)).astype(np.uint8),
    )


def keys(seed):
    return jax.random.split(jax.random.key(seed), COUNT)


def test_without_amounts_nothing_changes(pictures):
    found = augment_pictures(keys(0), keys(1), pictures, flip=0.0, amounts={"rotation": 3.0})
    for before, after in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_flip_is_exact_and_the_same_as_that_of_strokes(pictures):
    """The keys of the flips decide, for a sketch as for its photo."""
    flips = keys(1)
    points = np.zeros((COUNT, 2, 3), np.float32)
    points[:, 0, 0] = 10.0
    strokes = strokes_of(jnp.asarray(points), jnp.full(COUNT, 2, jnp.int32))
    mirrored = np.asarray(augment(flips, strokes, flip=0.5).points)[:, 0, 0] < 5
    assert 3 < mirrored.sum() < COUNT - 3
    for other in (2, 3):  # the other random numbers have no part in it
        found = augment_pictures(keys(other), flips, pictures, flip=0.5, amounts={})
        for before, after in zip(pictures, found, strict=True):
            wanted = np.where(mirrored[:, None, None, None], before[:, :, ::-1], before)
            np.testing.assert_allclose(after, wanted, atol=1e-3)


@pytest.mark.parametrize("factor, shift", [(1.0, 0.0), (1.3, 0.1), (0.7, -0.2), (-1.1, 0.05)])
def test_resampling_is_linear_interpolation(factor, shift):
    row = np.random.default_rng(3).normal(size=SIDE)
    matrix = np.asarray(resampling(SIDE, jnp.float32(factor), jnp.float32(shift)))
    middle = (SIDE - 1) / 2
    sources = (np.arange(SIDE) - middle - shift * SIDE) / factor + middle
    wanted = np.interp(sources, np.arange(SIDE), row)  # beyond the ends: the ends
    np.testing.assert_allclose(matrix @ row, wanted, atol=1e-5)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)


def test_contours_move_with_their_photo_and_keep_their_light(pictures):
    grey = Pictures(np.repeat(pictures.contour, 3, axis=-1), pictures.contour)
    moves = {"scale": 0.3, "anisotropy": 0.2, "shift": 0.2}
    moved = augment_pictures(keys(0), keys(1), grey, flip=0.5, amounts=moves)
    assert not np.allclose(moved.contour, grey.contour)
    np.testing.assert_allclose(moved.pixels[..., :1], moved.contour, atol=1e-3)
    light = {"contrast": 0.5, "brightness": 0.3}
    lit = augment_pictures(keys(0), keys(1), grey, flip=0.0, amounts=light)
    np.testing.assert_array_equal(lit.contour, grey.contour)
    assert np.ptp(np.asarray(lit.pixels) - grey.pixels) > 50
    assert lit.pixels.min() >= 0
    assert lit.pixels.max() <= 255


def test_contrast_scales_about_the_mean_and_brightness_adds(pictures):
    soft = Pictures(pictures.pixels // 4 + 96)  # far from 0 and 255
    changed = np.asarray(
        augment_pictures(keys(0), keys(1), soft, flip=0.0, amounts={"contrast": 0.5}).pixels
    )
    for before, after in zip(soft.pixels.astype(float), changed, strict=True):
        factor = (after - after.mean()).std() / before.std()
        assert 0.5 <= factor <= 1.5
        np.testing.assert_allclose(
            after, before.mean() + factor * (before - before.mean()), atol=0.1
        )
    brighter = augment_pictures(keys(0), keys(1), soft, flip=0.0, amounts={"brightness": 0.2})
    differences = np.asarray(brighter.pixels) - soft.pixels
    assert np.abs(differences).max() <= 51.01
    assert np.ptp(differences.reshape(COUNT, -1), axis=1).max() < 0.01


def test_a_picture_depends_on_its_own_key_only(pictures):
    everything = {"scale": 0.3, "shift": 0.2, "contrast": 0.5, "brightness": 0.1}
    whole = augment_pictures(keys(0), keys(1), pictures, flip=0.5, amounts=everything)
    part = augment_pictures(
        keys(0)[5:9], keys(1)[5:9], jax.tree.map(lambda each: each[5:9], pictures),
        flip=0.5, amounts=everything,
    )  # fmt: skip
    np.testing.assert_allclose(part.pixels, whole.pixels[5:9], atol=1e-3)


@pytest.mark.parametrize("turn, saturation", [(0.0, 1.0), (1.0, 1.0), (-2.5, 0.4), (0.3, 1.7)])
def test_colours_turn_about_grey_and_keep_their_lightness(turn, saturation):
    colours = np.random.default_rng(4).uniform(0, 255, (20, 3))
    found = colours @ np.asarray(recolouring(jnp.float32(turn), jnp.float32(saturation)))
    grey = colours.mean(1, keepdims=True)
    turned = Rotation.from_rotvec(turn * np.ones(3) / np.sqrt(3)).apply(colours - grey)
    np.testing.assert_allclose(found, grey + saturation * turned, atol=1e-3)


def test_hue_and_saturation_change_photos_and_no_grey(pictures):
    amounts = {"hue": 1.0, "saturation": 0.5}
    grey = Pictures(np.repeat(pictures.contour, 3, axis=-1))
    same = augment_pictures(keys(0), keys(1), grey, flip=0.0, amounts=amounts)
    np.testing.assert_allclose(same.pixels, grey.pixels, atol=1e-3)
    one_channel = Pictures(pictures.contour)
    same = augment_pictures(keys(0), keys(1), one_channel, flip=0.0, amounts=amounts)
    np.testing.assert_array_equal(same.pixels, one_channel.pixels)
    soft = Pictures(pictures.pixels // 8 + 112)  # so that no value is cut
    changed = np.asarray(augment_pictures(keys(0), keys(1), soft, flip=0.0, amounts=amounts).pixels)
    np.testing.assert_allclose(changed.mean(-1), soft.pixels.mean(-1), atol=1e-2)
    angles = []
    for before, after in zip(soft.pixels.astype(float), changed, strict=True):
        (a, b), (c, d) = (
            (p[..., 0] - p[..., 1], (p[..., 0] + p[..., 1] - 2 * p[..., 2]) / np.sqrt(3))
            for p in (before, after)
        )
        turn = np.sum((c + 1j * d) * (a - 1j * b))
        angles.append(np.angle(turn))
    assert np.ptp(angles) > 4  # of 2 pi: turns either way
    assert np.std(angles) > 1


def test_some_photos_become_negatives(pictures):
    found = augment_pictures(keys(0), keys(1), pictures, flip=0.0, amounts={"negative": 0.5})
    chosen = 0
    for before, after in zip(pictures.pixels, np.asarray(found.pixels), strict=True):
        inverted = np.allclose(after, 255.0 - before)
        assert inverted or np.allclose(after, before)
        chosen += inverted
    assert 3 < chosen < COUNT - 3
