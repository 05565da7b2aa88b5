"""Codewords for classes, pasted together from the best known codes.

The columns of a codebook are cut into pieces and each piece is taken from a code with enough words:
distances add up. With pieces of Hadamard matrices this meets Plotkin's bound (Levenshtein 1961);
with one piece it is the code itself, punctured or shortened where it is longer.
"""

from __future__ import annotations

from functools import cache
from operator import index

import numpy as np

from sketchjax.errors import ConfigError
from sketchjax.ops.codebook.assignment import assign
from sketchjax.ops.codebook.bounds import most_words
from sketchjax.ops.codebook.families import Code, all_words, even_words, families

_LONGEST = 512  # bits; pieces up to this length are considered
_MOST_CLASSES = 1 << 16  # as many as the labels of a data folder can name
# Choosing compares all words with each other: 2^12 of them, or blocks of more words than that.
_WHOLE, _BLOCK = 1 << 12, 1 << 8


def codebook(
    classes: int,
    bits: int,
    *,
    distance: int | None = None,
    confusion: np.ndarray | None = None,
) -> np.ndarray:
    """A codeword of ±1 for each class, the least distance between two as large as we know how.

    The words of every piece are chosen so that its bits are as balanced as can be. The same
    arguments give the same codebook. Without a confusion, 65,535 words of 512 bits take about ten
    seconds, and 1,000 words of 64 bits a tenth of one.

    classes: l, 2 to 65,536.
    bits: d, 1 to 512.
    distance: the least distance that is asked for; None: the largest that is found.
    confusion: f[l l], how often two classes are confused, such as counts of a classifier's errors;
      their codewords are assigned so that confused classes have near ones. None: in any order.
    Returns i8[l d].
    Raises ConfigError when there are not as many words of that length, and when no codebook of that
    distance exists or none is known here; ValueError for other arguments out of range.
    """
    # Integers of Python: NumPy's small ones would overflow.
    classes, bits = index(classes), index(bits)
    for name, value, least, most in (
        ("classes", classes, 2, _MOST_CLASSES),
        ("bits", bits, 1, _LONGEST),
    ):
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")
        if value > most:
            raise ValueError(f"{name}={value}: must be at most {most:,}")
    if classes > 2**bits:
        raise ConfigError(
            f"no codebook of {classes:,} different words of {bits} bits exists: there are only "
            f"{2**bits:,}; use more bits"
        )
    pieces = _pieces(classes, bits)
    found = sum(piece.distance for piece in pieces)
    if distance is not None and distance > found:
        raise ConfigError(_refusal(classes, bits, distance, found))
    parts = [_balanced(piece.words(classes), classes, seed) for seed, piece in enumerate(pieces)]
    words = np.concatenate(parts, axis=1)
    codewords = np.where(words, -1, 1).astype(np.int8)
    return codewords if confusion is None else codewords[assign(codewords, confusion)]


def least_distance(codewords: np.ndarray) -> int:
    """The least Hamming distance between two rows of a codebook of ±1, i[l d].

    Raises ValueError when there are fewer than two rows.
    """
    if codewords.ndim != 2 or len(codewords) < 2:
        raise ValueError(f"codewords {list(codewords.shape)}: must be [l d] with at least 2 rows")
    signs = codewords.astype(np.float32)
    most = -np.inf
    for start in range(0, len(signs), _WHOLE):
        inner = signs[start : start + _WHOLE] @ signs.T
        np.fill_diagonal(inner[:, start:], -np.inf)
        most = max(most, inner.max())
    return int(codewords.shape[1] - most) // 2


def _refusal(classes: int, bits: int, distance: int, found: int) -> str:
    most = most_words(bits, distance)
    if most < classes:
        return (
            f"no codebook of {classes:,} words of {bits} bits with distance {distance} exists: "
            f"there are at most {most:,} such words; ask for a distance of at most {found}, or use "
            "more bits"
        )
    return (
        f"no codebook of {classes:,} words of {bits} bits with distance {distance} is known here: "
        f"the best has {found}; ask for that, or use more bits"
    )


@cache
def _pieces(classes: int, bits: int) -> tuple[Code, ...]:
    """The codes whose words, side by side, have the largest least distance; the fewest in a tie."""
    single = _singles(classes, bits)
    best: list[tuple[int, tuple[Code, ...]]] = [(0, ())]
    for length in range(1, bits + 1):
        options = [
            (best[rest][0] + piece.distance, (*best[rest][1], piece))
            for rest in range(length)
            if (piece := single[length - rest]) is not None
        ]
        best.append(max(options, key=lambda option: (option[0], -len(option[1]))))
    return best[bits][1]


def _singles(classes: int, bits: int) -> list[Code | None]:
    """The best single code of each length 0 to `bits`."""
    best: list[Code | None] = [None, *(_plain(classes, length) for length in range(1, bits + 1))]

    def offer(code: Code) -> None:
        if 0 < code.length <= bits and code.size >= classes and code.distance > 0:
            known = best[code.length]
            if known is None or code.distance > known.distance:
                best[code.length] = code

    for code in families(classes, bits):
        offer(code)
        for fewer in range(1, min(code.distance, code.length)):
            offer(code.punctured(fewer))
        for fewer in range(1, min(code.length, 12) if code.is_linear else 0):
            offer(code.shortened(fewer))
    return best


def _plain(classes: int, bits: int) -> Code:
    """Words of any length: two of them, all even ones, all, or bits that only fill up."""
    if classes == 2:
        return Code(bits, 2, bits, lambda: np.tile(np.array([[0], [1]], np.uint8), (1, bits)))
    for code in (even_words(bits), all_words(bits)):
        if code.size >= classes:
            return code
    return Code(bits, classes, 0, lambda: _halves(classes, bits))


def _halves(classes: int, bits: int) -> np.ndarray:
    """Columns that halve the classes, drawn with a fixed seed: they repeat words."""
    half = np.arange(classes) % 2
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(half) for _ in range(bits)], axis=1).astype(np.uint8)


def _balanced(words: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Some of the words, chosen one by one so that the sums of the columns (of ±1) stay near zero.

    Where the code has complements, every second word is the complement of the one before. The words
    are shuffled first: the first ones of a code share columns, and so do pieces of one code.
    """
    words = words[np.random.default_rng(seed).permutation(len(words))]
    if len(words) == classes:
        return words
    parts = 1 if len(words) <= _WHOLE else len(words) // _BLOCK
    sums = np.zeros(words.shape[1])
    found: list[np.ndarray] = []
    for part, block in enumerate(np.array_split(words, parts)):
        share = classes * (part + 1) // parts - classes * part // parts
        signs = 1.0 - 2.0 * block
        chosen: list[int] = []
        while len(chosen) < share:
            # Σ (s + w)⁴ = Σ s⁴ + 6 s² + 1 + 4 (s³ + s) w, as w² = 1. Squares would not see uneven
            # columns: of orthogonal words, all have the same. einsum, as BLAS waits for busy cores.
            cost = np.einsum("nd,d->n", signs, sums**3 + sums)
            cost[chosen] = np.inf
            chosen.append(int(cost.argmin()))
            sums += signs[chosen[-1]]
        found.append(block[chosen])
    return np.concatenate(found)
