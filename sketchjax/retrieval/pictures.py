"""Photos and raster sketches as a user gives them, ready for a network."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from sketchjax.data.feed.batch import pad_points, parts_of, power_of_two
from sketchjax.data.folder.pictures import decode_picture, scaled
from sketchjax.data.inputs import PHOTO, Form, Pictures, Strokes
from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.pictures.image import normal_photo, normal_pixels, normal_raster
from sketchjax.data.sources.records import Refused
from sketchjax.errors import DataError
from sketchjax.fields import home_path
from sketchjax.ops.draw import rasterize
from sketchjax.ops.precision import in_32_bits

_MOST_SIDE = 4096  # px; larger pictures are reduced first, as conversion does
_DRAWN = 64  # drawings drawn at once
_Bytes = bytes | bytearray | memoryview
_POINTS = 128  # of a drawing, at least, with padding


def as_pictures(given: Any, form: Form, contours: Any = None) -> Pictures:
    """Pictures u8[n s s c] from one picture or several.

    given: a picture is the path of a JPEG, PNG or WebP file, the bytes of one, one that is open, a
      `PIL.Image`, or an array u8[h w 3], u8[h w 1] or u8[h w]. They are treated as conversion
      treats files: turned upright, without alpha, scaled to s × s px.
    form: of the pictures to make.
    contours: as many contour maps, dark lines on white, where the form has them.
    Raises DataError for anything else, and where a form with contours gets none.
    """
    pictures = _several(given)
    if not pictures:
        raise DataError("there is no picture to encode")
    if form.contours and contours is None:
        raise DataError("this model reads contour maps of photos as well; give contours=")
    maps = _several(contours) if form.contours else []
    if form.contours and len(maps) != len(pictures):
        raise DataError(f"{len(pictures)} photos and {len(maps)} contour maps; give one for each")
    channels = 3 if form.kind == PHOTO else 1
    pixels = _stacked(pictures, form.size, channels, form.fit)
    return Pictures(pixels, _stacked(maps, form.size, 1) if form.contours else None)


@in_32_bits
def draw_pictures(sketches: Sketches, form: Form, stroke_width: float) -> Pictures:
    """Strokes as the raster sketches u8[n s s 1] that a model of such sketches reads.

    All points are drawn, and each drawing fills its picture, as one that is cut to its ink.

    form: of the pictures to make.
    stroke_width: in their pixels.
    """
    pixels = np.empty((len(sketches), form.size, form.size, 1), np.uint8)
    for count, places in parts_of(len(sketches), _DRAWN):
        first = places[0]
        offsets = sketches.offsets[first : first + count + 1]
        # One program for almost all single drawings.
        longest = power_of_two(max(_POINTS, int(np.diff(offsets).max())))
        points, length = pad_points(
            sketches.points[offsets[0] : offsets[-1]], offsets - offsets[0], longest
        )
        own = places - first
        ink = _ink(Strokes.of(points[own], length[own]), form.size, stroke_width)
        drawn = np.rint(255 * (1 - np.asarray(ink)[:count])).astype(np.uint8)
        for place, picture in enumerate(drawn[..., 0], first):
            pixels[place] = scaled(Image.fromarray(picture), form.size, "L", form.fit)
    return Pictures(pixels, None)


@partial(jax.jit, static_argnums=(1, 2))
def _ink(strokes: Strokes, size: int, stroke_width: float) -> jax.Array:
    return rasterize(strokes, size=size, stroke_width=stroke_width)


def _several(given: Any) -> list[Any]:
    if _is_file(given) or isinstance(given, Image.Image):
        return [given]
    if isinstance(given, np.ndarray) and given.ndim < 4:
        return [given]
    if not isinstance(given, Iterable):
        raise DataError(f"{type(given).__name__} is no picture; give files, arrays or images")
    return list(given)


def _is_file(given: Any) -> bool:
    """Whether it names a file, holds the bytes of one, or is one opened."""
    return isinstance(given, str | Path | _Bytes) or hasattr(given, "read")


def _stacked(pictures: list[Any], size: int, channels: int, fit: bool = False) -> np.ndarray:
    """Pictures as one array u8[n s s c]."""
    stacked = np.empty((len(pictures), size, size, channels), np.uint8)
    for place, picture in enumerate(pictures):
        stacked[place] = _pixels(picture, size, channels, place, fit)
    return stacked


def _pixels(picture: Any, size: int, channels: int, place: int, fit: bool) -> np.ndarray:
    mode, name = "RGB" if channels == 3 else "L", f"picture {place}"
    try:
        if isinstance(picture, np.ndarray):
            picture = _image(picture, name)
        if isinstance(picture, Image.Image):
            return scaled(normal_pixels(picture, mode, _MOST_SIDE), size, mode, fit)
        content, name = _content(picture, name)
        kept = (normal_photo if channels == 3 else normal_raster)(content, _MOST_SIDE)
    except Refused as refused:
        raise DataError(f"{name}: {refused}") from None
    return decode_picture(kept.content, size, mode, fit)


def _image(pixels: np.ndarray, name: str) -> Image.Image:
    grey = pixels.ndim == 2 or pixels.shape[-1:] == (1,)
    if pixels.dtype != np.uint8 or not (grey or pixels.shape[2:] == (3,)):
        raise DataError(
            f"{name} is {pixels.dtype}{list(pixels.shape)}; it must be u8[h w 3], u8[h w 1] or "
            "u8[h w]"
        )
    if not pixels.size:
        raise DataError(f"{name} has no pixels")
    return Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else pixels)


def _content(picture: Any, name: str) -> tuple[bytes, str]:
    """The bytes of a picture's file, and what a message calls it: `name` if it has no path."""
    if hasattr(picture, "read"):
        picture = picture.read()
    if isinstance(picture, _Bytes):
        return bytes(picture), name
    if isinstance(picture, str | Path):
        path = home_path(picture)
        try:
            return path.read_bytes(), str(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
    raise DataError(f"{name} is a {type(picture).__name__}; give a file, an array or an image")
