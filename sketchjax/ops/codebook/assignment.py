"""Which class gets which codeword: confused classes near ones (Koopmans and Beckmann 1957)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sketchjax.compiled import kernel


def assign(codewords: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """Rows of a codebook for classes, so that what is confused is near.

    Minimises Σ confusion_ij · distance_ij over permutations: a relaxed solution (scipy's FAQ,
    Vogelstein et al. 2015), or the order as given if that is better, then swaps of two classes
    until none helps. The same arguments give the same answer.

    codewords: i[l d] of ±1.
    confusion: f[l l], at least 0; only the sum of both directions counts, and not the diagonal.
    Returns i64[l]: codewords[result] are the codewords of the classes, and never further from what
    was asked for than in the given order.
    Raises ValueError when the shapes do not fit or a confusion is negative or not finite.
    """
    confusion = np.asarray(confusion, np.float64)
    if confusion.shape != (len(codewords),) * 2:
        raise ValueError(
            f"confusion {list(confusion.shape)}: must be [l l] for {len(codewords)} codewords"
        )
    if not np.isfinite(confusion).all() or (confusion < 0).any():
        raise ValueError("confusion: must be finite numbers of at least 0")
    from scipy.optimize import quadratic_assignment

    together = confusion + confusion.T
    np.fill_diagonal(together, 0)
    signs = codewords.astype(np.float64)
    distances = (codewords.shape[1] - signs @ signs.T) / 2
    relaxed = quadratic_assignment(together, distances, method="faq").col_ind
    orders = [np.arange(len(codewords)), np.asarray(relaxed, np.int64)]
    for order in orders:
        _swap(together, distances, order)
    return min(orders, key=lambda order: (together * distances[order][:, order]).sum())


@kernel
def _swap(together: Any, distances: Any, order: Any) -> None:
    """Swap the codewords of two classes wherever that lowers the sum, until it does nowhere."""
    count = len(order)
    # 1e-9: sums of floats that only round differently would be swapped forever.
    least = -1e-9 * (1 + together.max() * distances.max())
    improved = True
    while improved:
        improved = False
        for i in range(count):
            for j in range(i + 1, count):
                change = 0.0
                for k in range(count):
                    if k != i and k != j:
                        change += (together[i, k] - together[j, k]) * (
                            distances[order[j], order[k]] - distances[order[i], order[k]]
                        )
                if change < least:
                    order[i], order[j] = order[j], order[i]
                    improved = True
