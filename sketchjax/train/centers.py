"""Class centres of the sketch centre loss (SketchMate, section 3.3)."""

from collections.abc import Iterable

import numpy as np

from sketchjax.errors import DataError
from sketchjax.retrieval.encode import Encoded


def class_centers(
    encoded: Iterable[tuple[Encoded, np.ndarray]], low: np.ndarray, high: np.ndarray, bits: int
) -> np.ndarray:
    """Mean code feature of each class over its noise-removed training sketches.

    encoded: parts of the training set with the entropy f[n] of each sketch, in any order;
    low, high: f[l], each class's bounds of entropy; what lies outside is noise.
    Returns f32[l d]. The sums are float64, in the order of the stream: the same on each run.
    Raises DataError when no sketch of a class lies within its bounds: of two, none
    may, as the middle 90 % lies between them.
    """
    classes = len(low)
    sums = np.zeros((classes, bits))
    counts = np.zeros(classes, np.int64)
    for part, entropy in encoded:
        labels = part.labels
        kept = (entropy >= low[labels]) & (entropy <= high[labels])
        np.add.at(sums, labels[kept], part.features[kept].astype(np.float64))
        counts += np.bincount(labels[kept], minlength=classes)
    if not counts.all():
        empty = np.flatnonzero(counts == 0).tolist()
        raise DataError(
            f"no training sketch of the categories with labels {empty} lies within the entropy "
            "bounds, so they have no class centre; give each category at least 3 for training"
        )
    return (sums / counts[:, None]).astype(np.float32)
