"""Pictures as people give them: arrays, images and the bytes of files are the same pictures."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sketchjax.data.inputs import PHOTO, Form
from sketchjax.errors import DataError
from sketchjax.retrieval.pictures import as_pictures

RASTER = Form("raster", 40)


def drawn(width: int, height: int, mode: str) -> Image.Image:
    """Noise, or black lines on white."""
    if mode == "RGB":
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        return Image.fromarray(noise)
    picture = Image.new("L", (width, height), 255)
    ImageDraw.Draw(picture).line([(3, 5), (width - 4, height - 7), (5, height - 3)], 0, 3)
    return picture


def png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "png")
    return content.getvalue()


@pytest.mark.parametrize("width, height", [(40, 40), (31, 77), (4500, 9)])
@pytest.mark.parametrize("form, modes", [(Form(PHOTO, 40), "RGB L"), (RASTER, "L RGB")])
def test_an_array_is_what_its_file_is(width, height, form, modes):
    for mode in modes.split():
        image = drawn(width, height, "L" if form is RASTER else mode).convert(mode)
        array = np.asarray(image)
        for given in (array, image, array[..., None] if mode == "L" else array):
            found = as_pictures(given, form).pixels
            np.testing.assert_array_equal(found, as_pictures(png(image), form).pixels)


def test_bytes_and_open_files_are_pictures(tmp_path):
    content = png(drawn(40, 30, "L"))
    (tmp_path / "drawn.png").write_bytes(content)
    expected = as_pictures(content, RASTER).pixels
    with (tmp_path / "drawn.png").open("rb") as file:
        for given in (bytearray(content), memoryview(content), io.BytesIO(content), file):
            np.testing.assert_array_equal(as_pictures(given, RASTER).pixels, expected)
    two = as_pictures([bytearray(content), io.BytesIO(content)], RASTER).pixels
    np.testing.assert_array_equal(two, np.concatenate([expected, expected]))


@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros((0, 4, 3), np.uint8), "has no pixels"),
        (np.zeros((4, 4, 2), np.uint8), "it must be u8"),
        (np.zeros((4, 4, 3)), "it must be u8"),
        (np.zeros((4, 4), np.uint8), "has no lines"),
        (np.eye(90, dtype=np.uint8) * 255, "light lines on a dark ground"),
        (7, "is no picture"),
        ([], "there is no picture to encode"),
    ],
)
def test_what_is_no_picture_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        as_pictures(given, RASTER)


@pytest.mark.parametrize("mode", ["CMYK", "HSV", "YCbCr", "RGBA", "LA", "P", "1", "I;16", "F"])
def test_an_image_of_any_mode_is_read(mode):
    grey = drawn(40, 30, "L")
    image = Image.new(mode, (40, 30)) if mode == "I;16" else grey.convert("RGB").convert(mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    found = as_pictures(image, RASTER).pixels.astype(int)
    assert np.abs(found - as_pictures(grey, RASTER).pixels).mean() < 4


def test_an_image_is_turned_upright_as_its_file_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    drawn(60, 40, "RGB").save(tmp_path / "turned.png", exif=exif)
    form = Form(PHOTO, 40)
    upright = drawn(60, 40, "RGB").rotate(-90, expand=True)
    with Image.open(tmp_path / "turned.png") as image:
        for given in (image, tmp_path / "turned.png"):
            np.testing.assert_array_equal(
                as_pictures(given, form).pixels, as_pictures(upright, form).pixels
            )


def test_a_damaged_image_that_is_not_read_yet_is_refused(tmp_path):
    noise = drawn(90, 90, "RGB")
    (tmp_path / "cut.png").write_bytes(png(noise)[:2000])
    with pytest.raises(DataError, match="picture 0: the file is cut short"):
        as_pictures(Image.open(tmp_path / "cut.png"), Form(PHOTO, 40))
