"""Drawing on the device against Pillow, a float64 distance field and sketch-rnn's offsets."""

import gzip
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchjax.data.inputs import Strokes
from sketchjax.ops.draw import bounding_center, rasterize, sequence, strokes_of

pytestmark = pytest.mark.usefixtures("optimised")

draw = jax.jit(rasterize, static_argnames=("size", "stroke_width"))
placed = jax.jit(strokes_of)
steps_of = jax.jit(sequence)

# Against Pillow at 16 times the size, averaged. The coverage of a straight edge differs by at most
# 0.1, where it runs diagonally. At tips, joints and gaps between close lines the difference is what
# a single nearest segment cannot know: two lines that each cover half of a pixel cover all of it.
# Measured at 64 px: mean 0.005 over real drawings, 0.012 for the worst; 1 pixel in 1,000 differs by
# more than 0.18, and none by more than 0.48.
MEAN_TOLERANCE = {64: 0.0075, 224: 0.002}
WORST_MEAN_TOLERANCE = {64: 0.015, 224: 0.005}
RARE_TOLERANCE = 0.2  # for all but 1 pixel in 1,000
MAX_TOLERANCE = 0.6


def batch_of(*drawings: list[list[tuple[float, float]]], width: int) -> Strokes:
    """Strokes of f32[b t 3], padded with values that no result may depend on."""
    points = np.full((len(drawings), width, 3), 77.0, np.float32)
    length = np.zeros(len(drawings), np.int32)
    for i, drawing in enumerate(drawings):
        rows = [(x, y, 0) for stroke in drawing for x, y in stroke]
        for last in np.cumsum([len(stroke) for stroke in drawing], dtype=int) - 1:
            rows[last] = (*rows[last][:2], 1)
        points[i, : len(rows)] = np.asarray(rows, np.float32).reshape(-1, 3)
        length[i] = len(rows)
    return placed(points, length)


def in_pixels(drawing, size: int, width: float):
    """The documented map, written independently: box middle to picture middle, fixed scale."""
    places = np.concatenate([np.asarray(stroke, np.float64) for stroke in drawing])
    middle = (places.min(0) + places.max(0)) / 2
    scale = (size - width - 1.6) / 255
    return [size / 2 + (np.asarray(stroke, np.float64) - middle) * scale for stroke in drawing]


def by_pillow(drawing, size: int, width: float, fine: int = 16) -> np.ndarray:
    """Ink coverage [s s] of a drawing with round ends, as Pillow draws it."""
    image = Image.new("L", (size * fine, size * fine), 0)
    pen = ImageDraw.Draw(image)
    for stroke in in_pixels(drawing, size, width):
        places = [tuple(place) for place in (stroke * fine - 0.5).tolist()]
        if len(places) > 1:
            pen.line(places, fill=255, width=round(width * fine))
        reach = (width * fine - 1) / 2
        for x, y in places:
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), np.float32) / 255


def by_distance(drawing, size: int, width: float) -> np.ndarray:
    """The documented coverage [s s], segment by segment in float64."""
    y, x = np.mgrid[:size, :size] + 0.5
    nearest = np.full((size, size), np.inf)
    for stroke in in_pixels(drawing, size, width):
        for a, b in zip(stroke, [*stroke[1:], stroke[-1]], strict=True):
            step = b - a
            share = ((x - a[0]) * step[0] + (y - a[1]) * step[1]) / max(step @ step, 1e-30)
            share = np.clip(share, 0, 1)
            away = np.hypot(x - a[0] - share * step[0], y - a[1] - share * step[1])
            nearest = np.minimum(nearest, away)
    return np.clip(width / 2 + 0.5 - nearest, 0, 1)


def random_drawings(count: int):
    rng = np.random.default_rng(3)
    for _ in range(count):
        yield [
            np.clip(rng.normal(rng.uniform(40, 215, 2), 40, (rng.integers(1, 8), 2)), 0, 255)
            .round()
            .tolist()
            for _ in range(rng.integers(1, 5))
        ]


SHAPES = [
    [[(10, 10)]],  # a dot
    [[(0, 0)], [(255, 255)], [(255, 0)]],  # dots on the edge
    [[(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)]],  # a square that fills the picture
    [[(0, 0), (255, 10), (0, 20)]],  # a sharp corner
    [[(20, 30), (20, 30), (20, 30), (90, 200)]],  # the same point three times
    [[(0, 128), (255, 128)], [(128, 0), (128, 255)]],  # a cross; no line joins its strokes
    *random_drawings(10),
]


@pytest.mark.parametrize("size, width", [(64, 1.5), (65, 3.0), (224, 2.0)])
def test_coverage_is_the_distance_formula_in_float64(size, width):
    drawn = np.asarray(draw(in_bytes(SHAPES, 37), size=size, stroke_width=width))
    assert drawn.shape == (len(SHAPES), size, size, 1)
    assert drawn.dtype == np.float32
    wanted = np.stack([by_distance(drawing, size, width) for drawing in SHAPES])
    np.testing.assert_allclose(drawn[..., 0], wanted, atol=3e-3 if width > 1 else 1e-2)


def in_bytes(drawings, points: int) -> Strokes:
    """Strokes of u8[b t 3], as a feed gives them."""
    made = batch_of(*drawings, width=points)
    return placed(np.asarray(made.points).astype(np.uint8), made.length)


def assert_agrees_with_pillow(drawings, size: int, width: float, points: int):
    drawn = np.asarray(draw(in_bytes(drawings, points), size=size, stroke_width=width))
    wanted = np.stack([by_pillow(drawing, size, width) for drawing in drawings])
    apart = np.abs(drawn[..., 0] - wanted)
    assert apart.mean() <= MEAN_TOLERANCE[size]
    assert apart.mean(axis=(1, 2)).max() <= WORST_MEAN_TOLERANCE[size]
    assert np.quantile(apart, 0.999) <= RARE_TOLERANCE
    assert apart.max() <= MAX_TOLERANCE


@pytest.mark.parametrize("size, width", [(64, 1.5), (224, 2.0)])
def test_shapes_look_as_pillow_draws_them(size, width):
    assert_agrees_with_pillow(SHAPES, size, width, points=37)


@pytest.mark.parametrize("size, width", [(64, 1.5), (224, 2.0)])
def test_real_drawings_look_as_pillow_draws_them(real_data: Path, size, width):
    drawings = []
    for path in sorted((real_data / "quickdraw").glob("*.ndjson.gz"))[::15]:
        with gzip.open(path, "rt") as lines:
            strokes = json.loads(next(lines))["drawing"]
        drawings.append([list(zip(*stroke[:2], strict=True)) for stroke in strokes])
    assert len(drawings) > 20
    points = max(sum(map(len, each)) for each in drawings)
    assert_agrees_with_pillow(drawings, size, width, points)


def test_a_drawing_fills_all_but_the_margin():
    square = batch_of([[(0, 0), (255, 0), (255, 255), (0, 255), (0, 0)]], width=5)
    drawn = np.asarray(draw(square, size=64, stroke_width=2.0))[0, ..., 0]
    # The line's middle is 1.8 px from the edge, so pixel centres at 0.5, 1.5, … are 1.3, 0.3, 0.7,
    # 1.7 px away from it: coverage is 1.5 minus that.
    np.testing.assert_allclose(drawn[32, :5], [0.2, 1, 0.8, 0, 0], atol=1e-5)
    np.testing.assert_allclose(drawn, drawn[::-1], atol=1e-5)
    np.testing.assert_allclose(drawn, drawn.T, atol=1e-5)


def test_the_centre_places_the_drawing_and_ink_is_cut():
    line = batch_of([[(100, 100), (140, 120)]], width=4)
    drawn = draw(line, size=64, stroke_width=1.5)
    np.testing.assert_array_equal(bounding_center(line.points, line.length), [[120, 110]])
    # One pixel is 255 / (64 - 3.1) units.
    unit = 255 / (64 - 1.5 - 1.6)
    left = line._replace(center=np.array([[120 - 5 * unit, 110]], np.float32))
    moved = np.asarray(draw(left, size=64, stroke_width=1.5))
    np.testing.assert_allclose(moved[0, :, 5:], np.asarray(drawn)[0, :, :-5], atol=1e-4)
    away = line._replace(center=np.array([[1000.0, 0.0]], np.float32))
    assert not np.asarray(draw(away, size=64, stroke_width=1.5)).any()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_host_and_device_find_the_same_centre(kind):
    made = batch_of(*SHAPES, [], width=37)
    points, length = np.array(made.points).astype(kind), np.asarray(made.length)
    points[-1] = 0  # an empty sketch is all padding, and padding is zero
    ours, hosts = placed(points, length), Strokes.of(points, length)
    for one, other in zip(ours, hosts, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for center, shape in zip(ours.center, SHAPES, strict=False):
        places = np.concatenate([np.asarray(stroke) for stroke in shape])
        np.testing.assert_array_equal(center, (places.min(0) + places.max(0)) / 2)


def test_a_stroke_cut_by_the_length_ends_there():
    whole = batch_of([[(0, 0), (100, 0), (100, 255)]], width=4)
    wanted = batch_of([[(0, 0), (100, 0)]], width=4)
    cut = placed(whole.points, wanted.length)
    options = {"size": 32, "stroke_width": 1.5}
    np.testing.assert_array_equal(draw(cut, **options), draw(wanted, **options))


def test_padding_and_empty_sketches_change_nothing():
    shapes = [*SHAPES[:4], []]
    short, long = batch_of(*shapes, width=8), batch_of(*shapes, width=21)
    valid = np.arange(21)[None, :, None] < np.asarray(long.length)[:, None, None]
    broken = placed(np.where(valid, long.points, np.float32(np.nan)), long.length)
    one = draw(short, size=32, stroke_width=1.5)
    two = draw(broken, size=32, stroke_width=1.5)
    np.testing.assert_array_equal(one, two)
    assert not np.asarray(one)[-1].any()
    steps = np.asarray(steps_of(broken, scale=10.0))
    np.testing.assert_array_equal(steps[:, :8], steps_of(short, scale=10.0))
    assert not steps[:, 8:].any()


def test_gradients_are_finite_and_right():
    points, length, _ = batch_of(*SHAPES[:6], [], width=9)
    # An odd size has a pixel centred on the dot itself: distance 0, where the root has no slope.
    weights = np.linspace(0, 1, 25 * 25, dtype=np.float32).reshape(1, 25, 25, 1)

    @jax.jit
    def loss(points):
        drawn = draw(strokes_of(points, length), size=25, stroke_width=2.0)
        return jnp.sum(weights * drawn**2)

    # All optimisations take 4 s more for a program that runs once.
    few = {"xla_backend_optimization_level": 1, "xla_llvm_disable_expensive_passes": True}
    slope = np.asarray(jax.jit(jax.grad(loss), compiler_options=few)(points))
    assert np.isfinite(slope).all()
    points, length = np.asarray(points), np.asarray(length)
    valid = np.arange(9)[None, :] < length[:, None]
    assert not slope[~valid].any()
    assert np.abs(slope[valid]).max() > 1e-3
    step = np.zeros_like(points)
    step[3, 1, 1] = 0.5  # the tip of the sharp corner, downwards
    measured = (loss(points + step) - loss(points - step)) / 1.0
    np.testing.assert_allclose(slope[3, 1, 1], measured, rtol=0.05, atol=0.02)

    def moves(points):
        return jnp.sum(sequence(strokes_of(points, length), scale=2.0) ** 2)

    tangent = jax.jit(jax.grad(moves))(np.where(valid[..., None], points, np.float32(np.nan)))
    assert np.isfinite(tangent).all()


def test_pictures_are_the_same_under_jit_vmap_and_scan():
    shapes = batch_of(*SHAPES[:6], width=9)

    def picture(strokes):
        return rasterize(strokes, size=32, stroke_width=1.5)

    def one_picture(one):
        return picture(jax.tree.map(lambda part: part[None], one))[0]

    plain = draw(shapes, size=32, stroke_width=1.5)
    singly = jax.jit(jax.vmap(one_picture))(shapes)
    pairs = jax.tree.map(lambda part: np.reshape(part, (3, 2, *part.shape[1:])), shapes)
    scanned = jax.lax.scan(lambda carry, pair: (carry, picture(pair)), 0, pairs)[1]
    for other in (singly, np.reshape(scanned, plain.shape)):
        np.testing.assert_allclose(other, plain, atol=2e-4)


def test_sequence_is_stroke_4():
    made = batch_of([[(10, 20), (13, 16), (13, 16)], [(0, 0)]], [[(5, 5)]], width=5)
    made = placed(np.asarray(made.points).astype(np.uint8), made.length)
    steps = steps_of(made, scale=np.float32(2.0))
    wanted = np.zeros((2, 5, 4), np.float32)
    wanted[0, :4] = [[0, 0, 1, 0], [1.5, -2, 1, 0], [0, 0, 0, 1], [-6.5, -8, 0, 1]]
    wanted[1, :1] = [[0, 0, 0, 1]]
    np.testing.assert_array_equal(steps, wanted)
    assert steps.dtype == jnp.float32


def test_wrong_shapes_are_named():
    dot = batch_of([[(1, 2)]], width=3)
    with pytest.raises(ValueError, match=r"\[b t 3\].*\(3, 3\)"):
        draw(dot._replace(points=dot.points[0]), size=8, stroke_width=1.0)
    with pytest.raises(ValueError, match=r"\[b t 3\]"):
        sequence(dot._replace(length=jnp.zeros(2, jnp.int32)), scale=1.0)
    with pytest.raises(ValueError, match=r"\[b t 3\]"):
        strokes_of(dot.points, jnp.zeros(2, jnp.int32))
    with pytest.raises(ValueError, match=r"center must be \[b 2\], got \(2,\)"):
        draw(dot._replace(center=dot.center[0]), size=8, stroke_width=1.0)
