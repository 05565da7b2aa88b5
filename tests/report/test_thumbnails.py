"""Pictures for people: ink where the points are, in the colours asked for."""

import numpy as np
import pytest
from PIL import Image

from sketchjax.data.entropy import ink_fraction
from sketchjax.data.sketch import points_of_strokes
from sketchjax.report.thumbnails import contact_sheet, order_colour, thumbnail

CROSS = points_of_strokes([np.array([[0, 128], [255, 128]]), np.array([[128, 0], [128, 255]])])


def darkness(picture: Image.Image) -> np.ndarray:
    return 1 - np.asarray(picture.convert("L"), np.float64) / 255


def test_a_line_has_its_width_and_length_and_is_centred():
    line = points_of_strokes([np.array([[0, 40], [255, 40]])])
    drawn = darkness(thumbnail(line, size=96, stroke_width=3.0))
    assert drawn.shape == (96, 96)
    np.testing.assert_allclose(drawn[:, 48].sum(), 3.0, atol=0.3)
    np.testing.assert_allclose(drawn[48].sum(), 96 - 1.6, atol=0.6)


def test_a_drawing_is_centred_to_a_fifth_of_a_pixel():
    drawn = darkness(thumbnail(CROSS, size=96, stroke_width=3.0))
    # The cross stands half a unit off the middle of its box, 0.18 px.
    for axis in (0, 1):
        middle = (drawn.sum(axis=axis) * (np.arange(96) + 0.5)).sum() / drawn.sum()
        assert middle == pytest.approx(48, abs=0.2)


@pytest.mark.parametrize("size, width", [(64, 1.5), (96, 2.0), (224, 2.0)])
def test_ink_agrees_with_the_binary_picture(size, width):
    rng = np.random.default_rng(2)
    for _ in range(5):
        points = points_of_strokes([rng.integers(0, 256, (4, 2)) for _ in range(3)])
        drawn = darkness(thumbnail(points, size=size, stroke_width=width)).mean()
        offsets = np.array([0, len(points)])
        ink = ink_fraction(points, offsets, size=size, stroke_width=width)[0]
        assert drawn == pytest.approx(ink, rel=0.1)


def test_edges_are_smooth():
    slope = points_of_strokes([np.array([[0, 0], [255, 100]])])
    assert len(np.unique(darkness(thumbnail(slope)))) > 6


def test_colours_and_default_width():
    picture = thumbnail(CROSS, size=64, ink=(10, 20, 200), background=(250, 240, 230))
    assert picture.mode == "RGB"
    assert picture.size == (64, 64)
    assert picture.getpixel((2, 2)) == (250, 240, 230)
    reds = np.asarray(picture)[..., 0]
    assert reds.min() < 140
    assert darkness(thumbnail(CROSS, size=256)).sum() > 3 * 256


def test_by_order_the_strokes_go_from_blue_to_red():
    picture = np.asarray(thumbnail(CROSS, size=64, stroke_width=4.0, by_order=True), int)
    first, last = picture[32, 10], picture[10, 32]
    assert first[2] > first[0] + 100
    assert last[0] > last[2] + 100
    assert order_colour(0, 1) == order_colour(0, 5)
    assert len({order_colour(i, 5) for i in range(5)}) == 5


def test_a_dot_and_an_empty_sketch():
    dot = points_of_strokes([np.array([[200, 7]])])
    drawn = darkness(thumbnail(dot, size=32, stroke_width=6.0))
    assert drawn.sum() == pytest.approx(np.pi * 9, rel=0.15)
    assert drawn[16, 16] == 1
    assert not darkness(thumbnail(dot[:0], size=32)).any()


def test_a_contact_sheet_has_every_picture_in_order():
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    sheet = contact_sheet([Image.new("RGB", (10, 8), c) for c in colours], columns=2, gap=3)
    assert sheet.size == (2 * 13 + 3, 2 * 11 + 3)
    assert [sheet.getpixel(at) for at in ((4, 4), (17, 4), (4, 15))] == colours
    assert sheet.getpixel((17, 15)) == (225, 225, 225)
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], columns=3)
