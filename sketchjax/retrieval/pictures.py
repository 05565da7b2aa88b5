"""Photos and raster sketches as a user gives them, ready for a network."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sketchjax.data.folder.pictures import decode_picture
from sketchjax.data.inputs import PHOTO, Form, Pictures
from sketchjax.data.sources.pictures.image import normal_photo, normal_raster
from sketchjax.data.sources.records import Refused
from sketchjax.errors import DataError
from sketchjax.fields import home_path

_MOST_SIDE = 4096  # px; larger pictures are reduced first, as conversion does


def as_pictures(given: Any, form: Form, contours: Any = None) -> Pictures:
    """Pictures u8[n s s c] from one picture or several.

    given: a picture is the path of a JPEG, PNG or WebP file, the bytes of one, a `PIL.Image`, or an
      array u8[h w 3], u8[h w 1] or u8[h w]. They are treated as conversion treats files: turned
      upright, without alpha, scaled to s × s px.
    form: of the pictures to make.
    contours: as many contour maps, dark lines on white, where the form has them.
    Raises DataError for anything else, and where a form with contours gets none.
    """
    pictures = _several(given)
    if form.contours and contours is None:
        raise DataError("this model reads contour maps of photos as well; give contours=")
    maps = _several(contours) if form.contours else []
    if form.contours and len(maps) != len(pictures):
        raise DataError(f"{len(pictures)} photos and {len(maps)} contour maps; give one for each")
    channels = 3 if form.kind == PHOTO else 1
    pixels = _stacked(pictures, form.size, channels)
    return Pictures(pixels, _stacked(maps, form.size, 1) if form.contours else None)


def _several(given: Any) -> list[Any]:
    one = isinstance(given, str | bytes | Path | Image.Image) or (
        isinstance(given, np.ndarray) and given.ndim < 4
    )
    if one:
        return [given]
    if not isinstance(given, Iterable):
        raise DataError(f"{type(given).__name__} is no picture; give files, arrays or images")
    return list(given)


def _stacked(pictures: list[Any], size: int, channels: int) -> np.ndarray:
    """Pictures as one array u8[n s s c]."""
    stacked = np.empty((len(pictures), size, size, channels), np.uint8)
    for place, picture in enumerate(pictures):
        stacked[place] = _pixels(picture, size, channels, place)
    return stacked


def _pixels(picture: Any, size: int, channels: int, place: int) -> np.ndarray:
    content, name = _content(picture, place)
    try:
        kept = (normal_photo if channels == 3 else normal_raster)(content, _MOST_SIDE)
    except Refused as refused:
        raise DataError(f"{name}: {refused}") from None
    return decode_picture(kept.content, size, "RGB" if channels == 3 else "L")


def _content(picture: Any, place: int) -> tuple[bytes, str]:
    """The bytes of a picture's file, and what a message calls it."""
    if isinstance(picture, bytes):
        return picture, f"picture {place}"
    if isinstance(picture, str | Path):
        path = home_path(picture)
        try:
            return path.read_bytes(), str(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if isinstance(picture, np.ndarray):
        grey = picture.ndim == 2 or picture.shape[-1:] == (1,)
        if picture.dtype != np.uint8 or not (grey or picture.shape[2:] == (3,)):
            raise DataError(
                f"picture {place} is {picture.dtype}{list(picture.shape)}; it must be u8[h w 3], "
                "u8[h w 1] or u8[h w]"
            )
        picture = Image.fromarray(picture.reshape(picture.shape[:2]) if grey else picture)
    if not isinstance(picture, Image.Image):
        raise DataError(f"picture {place} is a {type(picture).__name__}; give a file or an array")
    content = io.BytesIO()
    picture.save(content, "png")
    return content.getvalue(), f"picture {place}"
