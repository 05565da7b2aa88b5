"""Contour maps of photos: line drawings, dark on white, of what a hand might trace."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from sketchjax.data.sources.pictures.image import LARGEST, normal_raster
from sketchjax.data.sources.records import Refused
from sketchjax.errors import ConfigError

CONTOURS = ("none", "canny", "files")


def check_canny() -> None:
    """Raise ConfigError where scikit-image is not installed."""
    try:
        import skimage.feature  # noqa: F401 (0.4 s: only where contours are asked for)
    except ImportError:
        raise ConfigError(
            "contours=canny needs scikit-image: pip install 'sketchjax[contours]'"
        ) from None


def canny(photo: Image.Image, sigma: float) -> bytes:
    """Canny's edges of a photo's luminance, as a PNG of 1 bit: dark on white.

    sigma: of the Gaussian that smooths first, in px; scikit-image's thresholds (0.1, 0.2 of 1).
    """
    from skimage.feature import canny as edges

    found = edges(np.asarray(photo.convert("L"), np.float64) / 255, sigma=sigma)
    return _png(Image.fromarray(~found))


def contour_of_file(path: Path, most_side: int) -> bytes:
    """A contour map that the user brings, as a PNG.  Raises Refused where it is none."""
    try:
        with path.open("rb") as file:
            return normal_raster(file.read(LARGEST + 1), most_side).content
    except OSError as error:
        raise Refused("unreadable", f"its contour map cannot be read: {error.strerror}") from None
    except Refused as refused:
        raise Refused(refused.kind, f"its contour map {path.name}: {refused}") from None


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
