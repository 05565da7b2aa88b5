"""Iterative quantisation: the rotation that brings projected features nearest to binary codes.

faiss.ITQMatrix does not compute it: in 1.15 it takes U V from the decomposition U S V' where
Procrustes needs U V', so its error wanders instead of falling (`test_rotation.py` compares the
two).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import orthogonal_procrustes

ITERATIONS = 50  # as published


def rotation(projected: np.ndarray, seed: int, iterations: int = ITERATIONS) -> np.ndarray:
    """ITQ's rotation R f64[d d], found from a random start.

    It lowers the quantisation error ‖B − V R‖² over B in {−1, 1} (Gong et al., TPAMI 2013, eq. 2).

    projected: V f[n d].
    seed: of the random start.
    iterations: 50 by default, as published.
    """
    bits = projected.shape[1]
    start = np.random.default_rng(seed).standard_normal((bits, bits))
    found = np.linalg.qr(start)[0]
    for better in rotations(projected, start, iterations):
        found = better
    return found


def rotations(projected: np.ndarray, start: np.ndarray, iterations: int) -> Iterator[np.ndarray]:
    """Yield the rotation f64[d d] after each iteration; none raises the quantisation error.

    An iteration sets B = sign(V R), then R to the solution of orthogonal Procrustes.

    projected: V f[n d].
    start: the first R f[d d].
    iterations: how many rotations to yield.
    """
    # Single precision halves the time.
    values = projected.astype(np.float32)
    rotated = start
    for _ in range(iterations):
        codes = np.copysign(np.float32(1), values @ rotated.astype(np.float32))
        rotated, _ = orthogonal_procrustes(values, codes)
        yield rotated


def quantization_error(projected: np.ndarray, rotation: np.ndarray) -> float:
    """Mean of ‖b − v R‖² over the rows v of projected f[n d], where b are the signs of v R."""
    values = projected @ rotation
    return float(np.mean(np.sum((np.where(values > 0, 1.0, -1.0) - values) ** 2, axis=1)))
