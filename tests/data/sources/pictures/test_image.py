"""Single pictures: what stays as it is, what is encoded again and why, what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from sketchjax.data.sources.pictures.contours import canny, contour_of_file
from sketchjax.data.sources.pictures.image import (
    MOST_WHOLE,
    normal_photo,
    normal_pixels,
    normal_raster,
)
from sketchjax.data.sources.records import Refused

COLOURS = np.array([[[200, 30, 40], [20, 180, 60]], [[30, 40, 220], [240, 240, 10]]], np.uint8)
BLOCKS = np.kron(COLOURS, np.ones((16, 24, 1), np.uint8))  # 48 wide, 32 high


def saved(picture: np.ndarray | Image.Image, form: str, **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def sketch(paper: int = 255, ink: int = 0) -> np.ndarray:
    picture = np.full((20, 30), paper, np.uint8)
    picture[5:15, 7] = ink
    return picture


@pytest.mark.parametrize(
    "content",
    [
        saved(BLOCKS, "JPEG"),
        saved(BLOCKS, "JPEG", progressive=True, quality=50),
        saved(BLOCKS[..., 0], "JPEG"),
        saved(BLOCKS, "PNG"),
    ],
)
def test_ordinary_photos_stay_bit_for_bit(content):
    found = normal_photo(content, 512)
    assert found.content == content
    assert (found.width, found.height, found.changes) == (48, 32, [])


@pytest.mark.parametrize("content", [saved(sketch(), "PNG"), saved(sketch(), "JPEG")])
def test_grey_sketches_stay_bit_for_bit(content):
    assert normal_raster(content, 512).content == content


def colours(content: bytes) -> np.ndarray:
    """The middle of each quarter of a kept picture."""
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), int)
    high, wide = picture.shape[:2]
    return picture[high // 4 :: high // 2, wide // 4 :: wide // 2][:2, :2]


@pytest.mark.parametrize(
    "content, change, off",
    [
        (saved(Image.fromarray(BLOCKS).convert("CMYK"), "JPEG", quality=95), "CMYK", 8),
        (saved(Image.fromarray(BLOCKS).convert("P"), "PNG"), "palette", 60),
        (saved(Image.fromarray(BLOCKS).convert("RGBA"), "PNG"), "alpha on white", 0),
        (saved(BLOCKS, "WEBP", lossless=True), "WebP", 4),
    ],
)
def test_what_is_encoded_again_keeps_its_colours(content, change, off):
    found = normal_photo(content, 512)
    assert found.changes == [change]
    assert found.content != content
    assert np.abs(colours(found.content) - COLOURS).max() <= off


def test_transparent_parts_are_white():
    picture = np.dstack([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)])
    picture[2, 2] = (0, 0, 0, 255)
    found = np.asarray(normal_raster(saved(picture, "PNG"), 512).pixels)
    assert found[2, 2] == 0
    assert (np.delete(found.ravel(), 2 * 8 + 2) == 255).all()


def test_sixteen_bits_become_eight():
    picture = np.array([[0, 257, 65_535], [128, 129, 386]], np.uint16)
    found = normal_photo(saved(picture, "PNG"), 512)
    expected = [[0, 1, 255], [0, 1, 2]]  # n / 257, rounded
    assert np.asarray(found.pixels)[..., 0].tolist() == expected
    assert found.changes == ["16-bit"]


RAMP = np.arange(64 * 64).reshape(64, 64) % 251  # 0 to 250


@pytest.mark.parametrize("mode", ["L", "I", "F"])
def test_every_mode_of_grey_keeps_its_values(mode):
    image = Image.fromarray(RAMP.astype(np.uint8)).convert(mode)
    assert (np.asarray(normal_pixels(image, "RGB", 4096)) == RAMP[..., None]).all()


@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_images_of_sixteen_bits_become_eight(kind):
    image = Image.fromarray((RAMP * 257).astype(kind))
    assert image.mode == {np.uint16: "I;16", np.int32: "I"}[kind]
    assert (np.asarray(normal_pixels(image, "RGB", 4096))[..., 0] == RAMP).all()


@pytest.mark.parametrize(
    "values, message",
    [
        (np.float32([[0, 0.5], [1, 0.2]]), "mode F with values from 0 to 1; white is 255: scale"),
        (np.float32([[0, 256], [1, 2]]), "from 0 to 256"),
        (np.float32([[0, np.nan], [1, 2]]), "from nan to nan"),
        (np.int32([[0, 70_000], [1, 2]]), "mode I with values from 0 to 70000; white is 65,535"),
        (np.int32([[0, 70], [-1, 2]]), "from -1 to 70; white is 255"),
    ],
)
def test_values_that_are_no_greys_are_refused(values, message):
    with pytest.raises(Refused, match=message):
        normal_pixels(Image.fromarray(values), "RGB", 4096)


@pytest.mark.parametrize("orientation, quarters", [(3, 2), (6, 3), (8, 1)])
def test_exif_turns_the_picture(orientation, quarters):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = normal_photo(saved(BLOCKS, "JPEG", exif=exif, quality=95), 512)
    assert found.changes == ["turned by EXIF"]
    assert np.abs(colours(found.content) - np.rot90(COLOURS, quarters)).max() <= 8
    again = normal_photo(found.content, 512)  # its bytes are upright: nothing turns them twice
    assert again.changes == []


def test_larger_pictures_are_scaled_down():
    found = normal_photo(saved(BLOCKS, "PNG"), 24)
    assert (found.width, found.height) == (24, 16)
    assert found.changes == ["larger than 24 px"]
    assert np.abs(colours(found.content) - COLOURS).max() == 0


def test_a_jpeg_far_larger_is_decoded_small():
    tall = np.kron(COLOURS, np.ones((200, 160, 1), np.uint8))
    found = normal_photo(saved(tall, "JPEG", quality=95), 100)
    assert (found.width, found.height) == (80, 100)
    assert found.changes == ["larger than 100 px"]
    assert np.abs(colours(found.content) - COLOURS).max() <= 10


def header_of(wide: int, high: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    size = struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(100)))


JPEG = saved(BLOCKS, "JPEG")


@pytest.mark.parametrize(
    "content, kind, message",
    [
        (b"", "truncated", "empty"),
        (JPEG[: len(JPEG) // 2], "truncated", "the file is cut short"),
        (saved(BLOCKS, "PNG")[:60], "truncated", "the file is cut short"),
        (b"GIF89a" + bytes(50), "unreadable", "not a JPEG, PNG or WebP"),
        (b"<html>", "unreadable", "not a JPEG, PNG or WebP"),
        (header_of(10_000, 9_000), "too_large", f"at most {MOST_WHOLE:,}"),
        (header_of(60_000, 60_000), "too_large", "pixels"),
        (
            saved(BLOCKS, "PNG", save_all=True, append_images=[Image.fromarray(BLOCKS[::-1])]),
            "unreadable",
            "animated",
        ),
        (
            saved(BLOCKS, "WEBP", save_all=True, append_images=[Image.fromarray(BLOCKS[::-1])]),
            "unreadable",
            "animated",
        ),
    ],
)
def test_bad_pictures(content, kind, message):
    with pytest.raises(Refused) as caught:
        normal_photo(content, 512)
    assert message in str(caught.value)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "picture, kind, message",
    [
        (np.full((9, 9), 255, np.uint8), "empty", "no lines: all its pixels are 255 to 255"),
        (sketch(255, 250), "empty", "no lines"),
        (sketch(0, 255), "range", "light lines on a dark ground"),
    ],
)
def test_bad_sketches(picture, kind, message):
    with pytest.raises(Refused, match=message) as caught:
        normal_raster(saved(picture, "PNG"), 512)
    assert caught.value.kind == kind


def framed(paper: int, ink: int) -> np.ndarray:
    picture = np.full((64, 64), paper, np.uint8)
    picture[20, 10:50] = ink
    picture[[0, 63]] = picture[:, [0, 63]] = ink
    return picture


def test_a_frame_does_not_decide_what_is_paper():
    assert normal_raster(saved(framed(255, 0), "PNG"), 512).width == 64
    with pytest.raises(Refused, match="light lines on a dark ground"):
        normal_raster(saved(framed(0, 255), "PNG"), 512)


def test_canny_finds_the_edge_of_a_square():
    picture = np.full((60, 60, 3), 230, np.uint8)
    picture[20:40, 20:40] = (200, 10, 10)
    found = np.asarray(Image.open(io.BytesIO(canny(Image.fromarray(picture), 1.0))).convert("L"))
    rows, columns = np.nonzero(found == 0)
    assert set(np.unique(found)) == {0, 255}
    # Dark lines on white, within 2 px of the square's outline, on all four sides.
    away = np.abs(np.maximum(np.abs(rows - 29.5), np.abs(columns - 29.5)) - 10)
    assert len(rows) > 60
    assert away.max() <= 2


def test_a_contour_map_of_the_user(tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(saved(sketch(), "PNG"))
    assert contour_of_file(path, 512) == path.read_bytes()
    path.write_bytes(b"no")
    with pytest.raises(Refused, match=r"its contour map map\.png: not a JPEG"):
        contour_of_file(path, 512)
