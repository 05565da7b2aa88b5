"""One picture as a data folder keeps it: the bytes of a JPEG or PNG that decodes to RGB or grey.

A file stays bit for bit what it is where that is possible. It is encoded again where it is of
another format, is CMYK, has a palette, alpha or 16 bits, is turned by its EXIF data, or is larger
than asked for; each such reason is reported.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from sketchjax.data.sources.records import Refused

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
LARGEST = 64 << 20  # bytes of a file
MOST_PIXELS = 89_478_485  # of a JPEG: Pillow's own limit, which it only warns about
MOST_WHOLE = 40_000_000  # pixels of a PNG or WebP, which is decoded whole: 160 MB with alpha
QUALITY = 95  # of what is encoded again as JPEG
_FORMATS = ("JPEG", "PNG", "WEBP")
_ORIENTATION = 0x0112  # of EXIF
_TURNED = range(2, 9)
_LIGHT, _LEAST_CONTRAST = 128, 16  # of 255: the paper, and lines on it
_LEAST_SIDE = 16  # px of a photo; a thumbnail of CIFAR has 32


@dataclass(frozen=True, slots=True)
class Normal:
    """A picture ready to be kept.

    content: a JPEG or PNG file; width, height: in px; changes: why it is not the source's bytes.
    pixels: the decoded picture, RGB or L.
    """

    content: bytes
    width: int
    height: int
    changes: list[str]
    pixels: Image.Image


def normal_photo(content: bytes, most_side: int) -> Normal:
    """A photo of at most `most_side` px.  Raises Refused where the bytes are no usable picture."""
    image, changes = _decoded(content, "RGB", most_side)
    # A PNG's pixels stay exact; a photo from WebP is nearly always lossy already.
    lossless = content.startswith(b"\x89PNG")
    return _kept(image, content, changes, "PNG" if lossless else "JPEG")


def doubt_about(photo: Image.Image) -> str:
    """What suggests that a photo shows nothing, such as a placeholder; empty: nothing does."""
    if min(photo.size) < _LEAST_SIDE:
        return f"smaller than {_LEAST_SIDE} px"
    if np.ptp(photo.convert("RGB").getextrema(), axis=1).max() < _LEAST_CONTRAST:
        return "of one colour"
    return ""


def normal_raster(content: bytes, most_side: int) -> Normal:
    """A raster sketch of at most `most_side` px, grey, dark lines on white.

    Raises Refused where the bytes are no usable picture, the paper is dark, or there is no line.
    """
    image, changes = _decoded(content, "L", most_side)
    _check_lines(image)
    return _kept(image, content, changes, "PNG")


def normal_pixels(image: Image.Image, mode: str, most_side: int) -> Image.Image:
    """The pixels that `normal_photo` (mode "RGB") or `normal_raster` ("L") keep of an image.

    image: of any mode; it may be one that Pillow has opened and not read yet.
    Raises Refused as they do.
    """
    with _refusing():
        image.load()
        plain, _ = _plain(image, mode)
    plain = _limited(plain, most_side, []) if max(plain.size) > most_side else plain
    if mode == "L":
        _check_lines(plain)
    return plain


def _check_lines(image: Image.Image) -> None:
    """Refuse what is no drawing of dark lines on light paper."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if high - low < _LEAST_CONTRAST:
        raise Refused("empty", f"the sketch has no lines: all its pixels are {low} to {high}")
    # Not only the outermost pixels: they may be a frame.
    across, down = (max(1, side // 8) for side in values.shape)
    middle = np.zeros(values.shape, bool)
    middle[across:-across, down:-down] = True
    if np.median(values[~middle]) < _LIGHT:
        raise Refused("range", "the sketch has light lines on a dark ground; invert it")


def _decoded(content: bytes, mode: str, most_side: int) -> tuple[Image.Image, list[str]]:
    """The picture in `mode`, upright and small enough, and what had to be changed for it."""
    if len(content) > LARGEST:
        raise Refused("too_large", f"the file has more than {LARGEST:,} bytes")
    if not content:
        raise Refused("truncated", "the file is empty")
    with _refusing():
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
        is_jpeg = image.format in ("JPEG", "MPO")
        most = MOST_PIXELS if is_jpeg else MOST_WHOLE
        if image.width * image.height > most:
            size = f"{image.width:,} by {image.height:,} pixels"
            raise Refused("too_large", f"the picture has {size}; at most {most:,} may be read")
        large = max(image.size) > most_side
        # A phone's MPO is a JPEG with a second picture behind the first, which is the photo.
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise Refused("unreadable", "the picture is animated; save one frame of it")
        if is_jpeg and large:
            image.draft(image.mode, (most_side, most_side))
        image.load()
        plain, changes = _plain(image, mode)
        return (_limited(plain, most_side, changes) if large else plain), changes


@contextmanager
def _refusing() -> Iterator[None]:
    """Raise Refused in place of whatever Pillow raises for a picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF data, and of sizes that are checked
            yield
    except Refused:
        raise
    except Image.DecompressionBombError as error:
        raise Refused("too_large", str(error)[:150]) from None
    except Image.UnidentifiedImageError:
        raise Refused("unreadable", "not a JPEG, PNG or WebP picture") from None
    # Whatever a damaged field leads to: Pillow raises nine kinds of errors for hostile files.
    except Exception as error:
        if "truncated" in str(error).lower():
            raise Refused("truncated", "the file is cut short") from None
        said = f" ({str(error)[:100]})" if isinstance(error, OSError) and str(error) else ""
        raise Refused("unreadable", f"the picture is damaged{said}") from None


def _plain(image: Image.Image, mode: str) -> tuple[Image.Image, list[str]]:
    """Upright, 8 bits, without palette and alpha."""
    changes = []
    if image.format == "WEBP":
        changes.append("WebP")
    found = image.mode
    if image.getexif().get(_ORIENTATION, 1) in _TURNED:
        changes.append("turned by EXIF")
        image = ImageOps.exif_transpose(image)
    if found.startswith(("I", "F")):
        values, largest = _numbers(image)
        if largest > 255:
            changes.append("16-bit")
        image = Image.fromarray(np.rint(values * (255 / largest)).astype(np.uint8))
    elif "transparency" in image.info or found in ("RGBA", "LA", "PA", "La", "RGBa"):
        changes.append("alpha on white")
        image = (image.convert("LA") if found == "La" else image).convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    elif found == "P":
        changes.append("palette")
    elif found not in ("RGB", "L", "1"):
        changes.append(found)
    elif mode == "L" and found == "RGB":
        changes.append("colour made grey")
    return (image if image.mode == mode else image.convert(mode)), changes


def _numbers(image: Image.Image) -> tuple[np.ndarray, int]:
    """The values f64[h w] of an image of wide integers or floats, and the one that is white.

    Integers are of 16 bits where they are more than 8 bits hold: mode I has those of a PNG, and
    those of `convert("I")`, too. Floats are as those of `convert("F")`.
    """
    values = np.asarray(image, np.float64)
    low, high = values.min(), values.max()
    wide = image.mode.startswith("I;16") or (image.mode == "I" and high > 255)
    largest = 65_535 if wide else 255
    # Floats up to 1 would be black; NaN fails the comparison.
    if not (low >= 0 and high <= largest) or (image.mode == "F" and 0 < high <= 1):
        raise Refused(
            "range",
            f"an image of mode {image.mode} with values from {low:.6g} to {high:.6g}; white is "
            f"{largest:,}: scale it, or convert it to L or RGB",
        )
    return values, largest


def _limited(image: Image.Image, most_side: int, changes: list[str]) -> Image.Image:
    side = max(image.size)
    changes.append(f"larger than {most_side} px")
    width, height = (max(1, round(length * most_side / side)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def _kept(image: Image.Image, content: bytes, changes: list[str], form: str) -> Normal:
    if changes:
        buffer = io.BytesIO()
        options = {"quality": QUALITY, "subsampling": 0} if form == "JPEG" else {}
        image.save(buffer, form, **options)
        content = buffer.getvalue()
    return Normal(content, *image.size, changes, image)
