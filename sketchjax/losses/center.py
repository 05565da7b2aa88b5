"""Sketch centre loss and its class centres (SketchMate: Xu et al., CVPR 2018, section 3.3)."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.errors import DataError
from sketchjax.losses.loss import Loss, Memory, Setup, TrainingPart


def center(features: jax.Array, centers: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean squared distance of a feature to its class centre, summed over d (eq. 4).

    features: f[b d].
    centers: f[l d], fixed.
    labels: i[b].
    Returns f[].
    Raises ValueError when features and centers differ in d, or features and labels in b.
    """
    if features.shape[1:] != centers.shape[1:]:
        raise ValueError(f"features {features.shape} and centers {centers.shape} differ in d")
    if features.shape[:1] != labels.shape:
        raise ValueError(f"features {features.shape} and labels {labels.shape} differ in b")
    return ((features - centers[labels]) ** 2).sum(-1).mean()


def first_centers(setup: Setup) -> dict[str, np.ndarray]:
    """The class centres of the model at the start of a stage; they then stay fixed."""
    return {
        "centers": class_centers(
            setup.train(), setup.entropy_low, setup.entropy_high, setup.width, setup.in_training
        )
    }


def class_centers(
    parts: Iterable[TrainingPart],
    low: np.ndarray,
    high: np.ndarray,
    width: int,
    in_training: np.ndarray | None = None,
) -> np.ndarray:
    """Mean feature of each class over its training sketches without noise.

    parts: of the training set, in any order.
    low, high: f[l], each class's bounds of image entropy; sketches outside them are noise.
    width: d.
    in_training: bool[l], False for classes kept out of training: their centre is 0. None: all are
      in training.
    Returns f32[l d]. The sums are float64, in the order of the stream: the same on each run.
    Raises DataError when no sketch of a class lies within its bounds. With two sketches that can
      happen, as the middle 90 % lies between them.
    """
    classes = len(low)
    sums = np.zeros((classes, width))
    counts = np.zeros(classes, np.int64)
    for part in parts:
        labels = part.labels
        kept = (part.entropy >= low[labels]) & (part.entropy <= high[labels])
        np.add.at(sums, labels[kept], part.features[kept].astype(np.float64))
        counts += np.bincount(labels[kept], minlength=classes)
    missing = counts == 0 if in_training is None else (counts == 0) & in_training
    if missing.any():
        empty = np.flatnonzero(missing).tolist()
        raise DataError(
            f"categories with labels {empty} have no training sketch within their entropy bounds, "
            "so they have no class centre; give each category at least 3 sketches for training"
        )
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def no_centers(setup: Setup) -> Memory:
    """Class centres that are all zero."""
    return {"centers": jnp.zeros((setup.classes, setup.width))}


LOSS = Loss(
    lambda seen: center(seen.features, seen.memory["centers"], seen.labels),
    blank=no_centers,
    begin=first_centers,
)
