"""Sketch centre loss (SketchMate, eq. 4)."""

import jax


def center(features: jax.Array, centers: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean squared distance of a code feature to its class centre, summed over the bits.

    features: f[b d] in (0, 1); centers: f[l d], fixed; labels: i[b].  Returns f[].
    Raises ValueError when features and centers differ in d, or features and labels in b.
    """
    if features.shape[1:] != centers.shape[1:]:
        raise ValueError(f"features {features.shape} and centers {centers.shape} differ in d")
    if features.shape[:1] != labels.shape:
        raise ValueError(f"features {features.shape} and labels {labels.shape} differ in b")
    return ((features - centers[labels]) ** 2).sum(-1).mean()
