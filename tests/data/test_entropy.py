"""The binary picture and its entropy against the device's drawing, a double loop, and values."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from sketchjax.data.entropy import image_entropy, ink_fraction, thresholds
from sketchjax.data.sketch import points_of_strokes, strokes
from sketchjax.errors import DataError


def ragged(drawings: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, drawings)]).astype(np.int64)
    return np.concatenate([np.zeros((0, 3), np.uint8), *drawings]), offsets


def random_drawings(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        points_of_strokes(
            [rng.integers(0, 256, (rng.integers(1, 7), 2)) for _ in range(rng.integers(1, 5))]
        )
        for _ in range(count)
    ]


def ink_by_loop(points: np.ndarray, size: int, width: float) -> float:
    """Distance of every pixel's centre to every segment, in float64."""
    low, high = points[:, :2].min(0).astype(float), points[:, :2].max(0).astype(float)
    y, x = np.mgrid[:size, :size] + 0.5
    ink = np.zeros((size, size), bool)
    for stroke in strokes(points):
        places = (stroke - (low + high) / 2) * (size - width - 1.6) / 255 + size / 2
        for a, b in zip(places, [*places[1:], places[-1]], strict=True):
            step = b - a
            along = (x - a[0]) * step[0] + (y - a[1]) * step[1]
            share = np.clip(along / max(step @ step, 1e-30), 0, 1)
            ink |= np.hypot(x - a[0] - share * step[0], y - a[1] - share * step[1]) < width / 2
    return ink.mean()


@pytest.mark.parametrize("size, width", [(64, 1.5), (97, 4.0), (224, 1.0)])
def test_ink_equals_a_loop_over_segments(size, width):
    drawings = random_drawings(20)
    drawings += [
        points_of_strokes([np.array([[9, 9]])]),
        points_of_strokes([np.array([[0, 0], [255, 0], [255, 255], [0, 255], [0, 0]])]),
        points_of_strokes([np.array([[0, 10], [0, 10], [200, 10]]), np.array([[7, 3]])]),
    ]
    got = ink_fraction(*ragged(drawings), size=size, stroke_width=width) * size * size
    wanted = [ink_by_loop(points, size, width) * size * size for points in drawings]
    assert min(wanted) >= 1 or width < 1.5
    np.testing.assert_allclose(got, wanted, atol=1.01)  # one pixel, where rounding decides
    assert np.mean(np.rint(got) == np.rint(wanted)) > 0.8


@pytest.mark.parametrize("size, width", [(64, 1.5), (224, 1.0)])
def test_ink_equals_the_picture_of_the_device(real_data: Path, size, width):
    import jax

    from sketchjax.data.inputs import Strokes
    from sketchjax.ops.draw import rasterize

    drawings = []
    for path in sorted((real_data / "quickdraw").glob("*.ndjson.gz"))[::3]:
        with gzip.open(path, "rt") as lines:
            drawing = json.loads(next(lines))["drawing"]
        drawings.append(points_of_strokes([np.stack(stroke[:2], axis=1) for stroke in drawing]))
    drawings = [points for points in drawings if len(points) <= 96][:96]
    batch = np.zeros((len(drawings), 96, 3), np.uint8)
    for row, points in zip(batch, drawings, strict=True):
        row[: len(points)] = points
    length = np.array([len(points) for points in drawings], np.int32)
    draw = jax.jit(lambda strokes: rasterize(strokes, size=size, stroke_width=width) > 0.5)
    wanted = np.asarray(draw(Strokes.of(batch, length))).sum(axis=(1, 2, 3))
    got = ink_fraction(*ragged(drawings), size=size, stroke_width=width) * size * size
    # Rounding decides a pixel whose centre is exactly half a width from a line. Over 2,800 drawings
    # at 64 px 0.2 % differ, by one pixel; at 224 px 0.6 %, by at most 5 of about 900.
    assert len(drawings) > 50
    assert np.mean(np.rint(got) == wanted) >= 0.95
    np.testing.assert_allclose(got, wanted, atol=6)


def test_entropy_of_known_fractions():
    # A line 8 px wide across the middle of a picture of 64, with round ends.
    line = points_of_strokes([np.array([[0, 9], [255, 9]])])
    ink = ink_fraction(*ragged([line]), size=64, stroke_width=8.0)[0]
    area = (64 - 1.6 - 8) * 8 + np.pi * 4**2
    assert ink * 64 * 64 == pytest.approx(area, rel=0.02)
    entropy = image_entropy(*ragged([line]), size=64, stroke_width=8.0)[0]
    assert entropy == pytest.approx(-ink * np.log2(ink) - (1 - ink) * np.log2(1 - ink), rel=1e-6)
    # The paper's thresholds for stars mean 1.38 % and 2.57 % ink.
    for fraction, value in ((0.0138, 0.1051), (0.0257, 0.1721)):
        bits = -fraction * np.log2(fraction) - (1 - fraction) * np.log2(1 - fraction)
        assert bits == pytest.approx(value, abs=6e-4)


def test_blank_and_full_pictures_have_no_entropy():
    empty = np.zeros((0, 3), np.uint8)
    dot = points_of_strokes([np.array([[9, 9]])])
    points, offsets = ragged([empty, dot, empty])
    np.testing.assert_array_equal(image_entropy(points, offsets)[[0, 2]], 0)
    full = image_entropy(*ragged([dot]), size=4, stroke_width=100.0)
    np.testing.assert_array_equal(full, 0)
    assert image_entropy(points[:0], offsets[:1]).shape == (0,)


def test_more_ink_means_more_entropy():
    few, many = random_drawings(1, seed=1)[0][:3], random_drawings(1, seed=1)[0]
    single = [image_entropy(*ragged([points]))[0] for points in (few, many)]
    together = image_entropy(*ragged([few, many, few]))
    np.testing.assert_array_equal(together, [*single, single[0]])
    assert single[0] < single[1]


def test_stars_lie_where_the_paper_has_them(real_data: Path):
    with gzip.open(real_data / "quickdraw" / "star.ndjson.gz", "rt") as lines:
        drawings = [json.loads(line)["drawing"] for line in lines]
    stars = [points_of_strokes([np.stack(s[:2], axis=1) for s in each]) for each in drawings]
    low, high = thresholds(image_entropy(*ragged(stars)))
    assert low == pytest.approx(0.1051, abs=0.02)
    assert high == pytest.approx(0.1721, abs=0.02)


def test_thresholds_keep_the_middle():
    values = np.random.default_rng(0).permutation(np.linspace(0, 1, 1001))
    low, high = thresholds(values)
    assert (low, high) == pytest.approx((0.05, 0.95))
    assert np.mean((values >= low) & (values <= high)) == pytest.approx(0.9, abs=0.002)
    assert thresholds(values, keep=1.0) == (0.0, 1.0)


def test_invalid_input_is_named():
    with pytest.raises(DataError, match="no sketch"):
        thresholds(np.zeros(0))
    with pytest.raises(ValueError, match=r"keep=1\.2"):
        thresholds(np.ones(3), keep=1.2)
    with pytest.raises(ValueError, match=r"\[p 3\]"):
        ink_fraction(np.zeros((4, 2), np.uint8), np.array([0, 4]))
    with pytest.raises(ValueError, match="offsets"):
        ink_fraction(np.zeros((4, 3), np.uint8), np.array([0, 5]))
