"""Raster sketches cut to their ink, against squares drawn by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from sketchjax.data.folder.pictures import cut_to_ink, decode_picture


def canvas(ink: int, *, top: int, left: int, height: int, width: int) -> Image.Image:
    """A white canvas of 96 x 128 px with a filled rectangle."""
    pixels = np.full((96, 128), 255, np.uint8)
    pixels[top : top + height, left : left + width] = ink
    return Image.fromarray(pixels)


def test_the_square_has_the_ink_and_its_margin():
    cut = np.asarray(cut_to_ink(canvas(0, top=20, left=30, height=16, width=32)))
    assert cut.shape == (36, 36)
    ink = np.argwhere(cut == 0)
    assert ink.min(0).tolist() == [10, 2]
    assert ink.max(0).tolist() == [25, 33]
    assert set(np.unique(cut)) == {0, 255}


def test_place_and_size_do_not_matter():
    pictures = [
        canvas(0, top=40, left=90, height=32, width=32),
        canvas(0, top=3, left=5, height=64, width=64),
    ]
    small, large = (
        np.asarray(cut_to_ink(p).resize((18, 18), Image.Resampling.BOX)) for p in pictures
    )
    np.testing.assert_array_equal(small, large)


def test_beyond_the_canvas_is_white():
    cut = np.asarray(cut_to_ink(canvas(0, top=0, left=0, height=16, width=128)))
    assert cut.shape == (144, 144)
    assert (cut == 0).sum() == 16 * 128
    assert (cut[64:80, 8:136] == 0).all()


@pytest.mark.parametrize("ink", [0, 100, 230, 254])
def test_faint_lines_become_black(ink):
    cut = np.asarray(cut_to_ink(canvas(ink, top=30, left=30, height=20, width=20)))
    assert cut.min() == 0
    assert (cut == 0).sum() == 400


def test_smudges_of_less_than_half_the_ink_are_outside():
    image = canvas(55, top=30, left=30, height=32, width=32)
    image.putpixel((2, 2), 255 - 99)
    assert cut_to_ink(image).size == (36, 36)
    image.putpixel((2, 2), 255 - 100)
    assert cut_to_ink(image).size[0] > 60


def test_a_blank_picture_stays_whole():
    blank = Image.new("L", (30, 20), 255)
    assert cut_to_ink(blank) is blank


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_cut_at_its_own_size(mode):
    image = canvas(0, top=30, left=30, height=60, width=60).resize((512, 512), Image.Resampling.BOX)
    jpeg, png = io.BytesIO(), io.BytesIO()
    image.convert(mode).save(jpeg, "jpeg", quality=95)
    image.save(png, "png")
    from_jpeg, from_png = (
        decode_picture(content.getvalue(), 64, "L", fit=True).astype(int) for content in (jpeg, png)
    )
    assert np.abs(from_jpeg - from_png).mean() < 2


def test_decoding_cuts_before_it_scales():
    content = io.BytesIO()
    canvas(0, top=50, left=60, height=8, width=8).save(content, "png")
    fitted = decode_picture(content.getvalue(), 40, "L", fit=True)
    assert (fitted < 128).mean() > 0.5
    whole = decode_picture(content.getvalue(), 40, "L")
    assert (whole < 128).mean() < 0.02
