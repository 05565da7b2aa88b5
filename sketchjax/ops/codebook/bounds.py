"""How many words a code can have at most: bounds for saying that a codebook does not exist."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

# Sharper than what is computed here: Best, Brouwer, MacWilliams, Odlyzko and Sloane (1978).
_PUBLISHED = {(17, 6): 340}
_EXACT = 40  # bits; Delsarte's linear program is solved in floats, too coarse beyond


def most_words(bits: int, distance: int) -> int:
    """An upper bound on the words of a binary code of this length and least distance.

    The least of the bounds of Singleton, Hamming, Plotkin and, up to 40 bits, Delsarte (linear
    programming). A code of odd distance and one bit less has as many words as one of even distance,
    so an odd distance is first made even (MacWilliams and Sloane 1977, chapters 1, 2 and 17).
    """
    if distance > bits:
        return 1
    if distance % 2:
        bits, distance = bits + 1, distance + 1
    bounds = [2 ** (bits - distance + 1), _hamming(bits - 1, distance - 1)]
    bounds.append(_PUBLISHED.get((bits, distance), bounds[0]))
    if 2 * distance > bits:
        bounds.append(2 * (distance // (2 * distance - bits)))
    elif 2 * distance == bits:
        bounds.append(4 * distance)
    elif bits <= _EXACT:
        bounds.append(_delsarte(bits, distance))
    return min(bounds)


def _hamming(bits: int, distance: int) -> int:
    """Balls of radius (d - 1) / 2 around the words do not overlap."""
    return 2**bits // sum(math.comb(bits, radius) for radius in range((distance - 1) // 2 + 1))


def _delsarte(bits: int, distance: int) -> int:
    """Delsarte's bound for an even distance, where all words may be taken as even.

    With Johnson's bounds on the words at each distance from a word.
    """
    from scipy.optimize import linprog

    weights = range(distance, bits + 1, 2)
    # Σ A_i K_k(i) >= -K_k(0), each row over K_k(0): numbers between -1 and 1.
    rows = np.array(
        [
            [_krawtchouk(bits, k, weight) / math.comb(bits, k) for weight in weights]
            for k in range(1, bits // 2 + 1)
        ]
    )
    # In units of a random code's own numbers, as they span many orders of magnitude.
    scale = np.array([math.comb(bits, weight) / 2 ** (bits - 1) for weight in weights])
    most = np.array([_of_weight(bits, distance, weight) for weight in weights])
    found = linprog(
        -scale, A_ub=-rows * scale, b_ub=np.ones(len(rows)), bounds=[(0, m) for m in most / scale]
    )
    # The solver's tolerance must not make an existing code impossible.
    return math.floor((1 - found.fun) * (1 + 1e-6) + 1e-6) if found.success else 2**bits


@cache
def _of_weight(bits: int, distance: int, weight: int) -> int:
    """Johnson's bound on words of one weight, for an even distance."""
    weight = min(weight, bits - weight)
    if 2 * weight < distance:
        return 1
    with_one = bits * _of_weight(bits - 1, distance, weight - 1) // weight
    without = bits * _of_weight(bits - 1, distance, weight) // (bits - weight)
    return min(with_one, without)


def _krawtchouk(bits: int, k: int, weight: int) -> int:
    return sum(
        (-1) ** j * math.comb(weight, j) * math.comb(bits - weight, k - j) for j in range(k + 1)
    )
