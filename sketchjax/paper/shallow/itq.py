"""Iterative quantisation: the rotation that brings projected features nearest to codes.

faiss.ITQMatrix is no way to it: in 1.15 it takes U V from the decomposition U S V' where Procrustes
wants U V', and its error wanders instead of falling (`tests/shallow/test_itq.py` shows both).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import orthogonal_procrustes

SAMPLE = 100_000  # rows for the rotation
ITERATIONS = 50  # as published


def rotation(projected: np.ndarray, seed: int, iterations: int = ITERATIONS) -> np.ndarray:
    """The rotation R f64[d d] of ITQ for projected features f[n d], from a random one of the seed.

    It lowers the quantisation error ‖B − V R‖², B in {−1, 1} (Gong et al., TPAMI 2013, eq. 2).
    """
    bits = projected.shape[1]
    start = np.random.default_rng(seed).standard_normal((bits, bits))
    turned = np.linalg.qr(start)[0]
    for better in rotations(projected, start, iterations):
        turned = better
    return turned


def rotations(projected: np.ndarray, start: np.ndarray, iterations: int) -> Iterator[np.ndarray]:
    """The rotation after each iteration: B = sign(V R), then the R of orthogonal Procrustes.

    projected: V f[n d]; start: f[d d]. No iteration raises the quantisation error.
    """
    # Single precision halves the time.
    values = projected.astype(np.float32)
    turned = start
    for _ in range(iterations):
        codes = np.copysign(np.float32(1), values @ turned.astype(np.float32))
        turned, _ = orthogonal_procrustes(values, codes)
        yield turned


def quantization_error(projected: np.ndarray, turned: np.ndarray) -> float:
    """Mean of ‖b − v R‖² over the rows v of projected f[n d], b the signs of v R."""
    values = projected @ turned
    return float(np.mean(np.sum((np.where(values > 0, 1.0, -1.0) - values) ** 2, axis=1)))
