"""Keyed hashes of whole numbers: every draw over sketches is made with them.

They use integers only, so they are the same on every machine and in every version of numpy.
"""

from __future__ import annotations

import numpy as np


def keyed_hash(numbers: np.ndarray, key: int | tuple[int, ...]) -> np.ndarray:
    """Hash numbers u64[n] to u64[n] under a key: SplitMix64's finaliser after adding the key.

    One-to-one for a fixed key, so distinct numbers never collide and their hashes sort without
    ties.
    """
    offset = np.uint64(0)
    for part in (key,) if isinstance(key, int) else key:
        offset = _mix(offset ^ np.array([part % 2**64], np.uint64))[0]
    return _mix(np.asarray(numbers).astype(np.uint64, copy=False) + offset)


def _mix(state: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele, Lea, Flood 2014): one step of the sequence and its finaliser."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def rank_within(labels: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Rank of each sketch by hash among those of its label, from 0: i64[n]."""
    order = np.lexsort((hashes, labels))
    ranks = np.empty(len(labels), np.int64)
    ordered = labels[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(first, append=len(ordered))
    ranks[order] = np.arange(len(ordered)) - np.repeat(first, sizes)
    return ranks
