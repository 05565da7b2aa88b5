"""HOG features of sketches: drawn on the device, described by scikit-image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import numpy as np

from sketchjax.data.feed.scan import scan_feed
from sketchjax.errors import ConfigError
from sketchjax.ops.draw import rasterize

BATCH = 256  # sketches drawn at a time: 4 MiB of 64 px


def hog_features(
    points: np.ndarray,
    length: np.ndarray,
    *,
    size: int = 64,
    stroke_width: float = 1.5,
    cell: int = 8,
    cells_per_block: int = 2,
    orientations: int = 9,
) -> np.ndarray:
    """Histograms of oriented gradients (Dalal and Triggs, CVPR 2005) of b sketches, f32[b e].

    points: u8[b t 3], columns x, y, end; length: i[b]. size: s, px, of the picture; stroke_width:
    px; cell: side of a cell, px; cells_per_block: side of the blocks that are normalised, in cells;
    orientations: of unsigned gradients. Blocks move by one cell, are normalised by L2-Hys and flat
    in skimage's order: e = 1764 by default (7 x 7 blocks of 4 cells of 9).
    Raises ConfigError when a picture holds no block or scikit-image is missing.
    """
    hog = _hog()
    if size // cell < cells_per_block:
        raise ConfigError(
            f"size={size} has {size // cell} cells of {cell} px, less than "
            f"cells_per_block={cells_per_block}; draw larger or take smaller cells"
        )
    describe = partial(
        hog,
        orientations=orientations,
        pixels_per_cell=(cell, cell),
        cells_per_block=(cells_per_block, cells_per_block),
        block_norm="L2-Hys",
    )
    blocks_a_side = size // cell - cells_per_block + 1
    width = blocks_a_side**2 * cells_per_block**2 * orientations
    found = np.empty((len(points), width), np.float32)
    for start in range(0, len(points), BATCH):
        pictures = _draw(
            points[start : start + BATCH], length[start : start + BATCH], size, stroke_width
        )
        for place, picture in enumerate(pictures, start):
            found[place] = describe(picture)
    return found


def hog_of_split(
    folder: str | Path, split: str, *, points: int = 128, batch: int = 4_096, **how
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """HOG features f32[b e] and labels i32[b] of a split of a data folder, in its order, in blocks.

    points: t, the longest sketch; batch: b, the last block may be shorter; how: as for
    `hog_features`. Raises DataError when the folder cannot be used.
    """
    for scan in scan_feed(folder, split, batch=batch, points=points):
        own = scan.mask
        features = hog_features(scan.batch.points[own], scan.batch.length[own], **how)
        yield features, scan.batch.label[own]


def _draw(points: np.ndarray, length: np.ndarray, size: int, stroke_width: float) -> np.ndarray:
    """Pictures f32[b s s]; short batches are filled up, so that one compiled program draws all."""
    count = len(points)
    missing = BATCH - count
    points = np.pad(points, ((0, missing), (0, 0), (0, 0)))
    length = np.pad(length, (0, missing))
    return np.asarray(_rasterize(points, length, size=size, stroke_width=stroke_width))[
        :count, ..., 0
    ]


_rasterize = jax.jit(rasterize, static_argnames=("size", "stroke_width"))


def _hog():
    try:
        from skimage.feature import hog
    except ImportError as error:
        raise ConfigError("HOG wants scikit-image: pip install 'sketchjax[study]'") from error
    return hog
