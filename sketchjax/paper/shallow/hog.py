"""HOG features of sketches: drawn on the device, described by scikit-image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import numpy as np

from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.inputs import Strokes
from sketchjax.errors import ConfigError
from sketchjax.ops.draw import rasterize

BATCH = 256  # sketches drawn at a time: 4 MiB at 64 px


def hog_features(
    strokes: Strokes,
    *,
    size: int = 64,
    stroke_width: float = 1.5,
    cell: int = 8,
    cells_per_block: int = 2,
    orientations: int = 9,
) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) of b sketches, f32[b e].

    strokes: b sketches, on the host.
    size: s, side of the picture in px.
    stroke_width: px.
    cell: side of a cell in px.
    cells_per_block: side, in cells, of the blocks that are normalised by L2-Hys. Blocks advance by
      one cell.
    orientations: bins of the unsigned gradient's angle.
    Features are in skimage's order; by default e = 1764 (7 x 7 blocks of 4 cells of 9 bins).
    Raises ConfigError when no block fits the picture or scikit-image is missing.
    """
    hog = _hog()
    if size // cell < cells_per_block:
        raise ConfigError(
            f"size={size}: only {size // cell} cells of {cell} px fit across, fewer than "
            f"cells_per_block={cells_per_block}; draw larger pictures or use smaller cells"
        )
    describe = partial(
        hog,
        orientations=orientations,
        pixels_per_cell=(cell, cell),
        cells_per_block=(cells_per_block, cells_per_block),
        block_norm="L2-Hys",
    )
    blocks_across = size // cell - cells_per_block + 1
    width = blocks_across**2 * cells_per_block**2 * orientations
    count = len(strokes.length)
    found = np.empty((count, width), np.float32)
    for start in range(0, count, BATCH):
        part = Strokes(*(values[start : start + BATCH] for values in strokes))
        pictures = _draw(part, size, stroke_width)
        for place, picture in enumerate(pictures, start):
            found[place] = describe(picture)
    return found


def hog_of_split(
    folder: str | Path, split: str, *, points: int = 128, batch: int = 4_096, **how
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """HOG features f32[b e] and labels i32[b] of a split, block by block in its order.

    folder: a data folder.
    split: such as train or gallery.
    points: t; longer sketches are cut. 128 by default.
    batch: b, 4,096 by default; the last block may be shorter.
    how: keyword arguments of `hog_features`.
    Raises DataError when the folder cannot be used.
    """
    for scan in scan_feed(folder, split, batch=batch, points=points):
        own = Strokes(*(values[scan.mask] for values in scan.batch.inputs))
        yield hog_features(own, **how), scan.batch.label[scan.mask]


def _draw(strokes: Strokes, size: int, stroke_width: float) -> np.ndarray:
    """Pictures f32[b s s]; short batches are padded, so one compiled program draws all."""
    count = len(strokes.length)
    padded = (
        np.pad(values, [(0, BATCH - count)] + [(0, 0)] * (values.ndim - 1)) for values in strokes
    )
    pictures = _rasterize(Strokes(*padded), size=size, stroke_width=stroke_width)
    return np.asarray(pictures)[:count, ..., 0]


_rasterize = jax.jit(rasterize, static_argnames=("size", "stroke_width"))


def _hog():
    try:
        from skimage.feature import hog
    except ImportError as error:
        raise ConfigError("HOG needs scikit-image: pip install 'sketchjax[study]'") from error
    return hog
