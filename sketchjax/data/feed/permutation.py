"""A keyed shuffle that can compute any single place: no list of n is sorted or kept.

Host and devices compute the same order from the same integers, so either may pick the sketches of a
batch, and a run may resume anywhere in an epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sketchjax.data.folder.hashing import keyed_hash

ROUNDS = 8


def round_keys(*key: int) -> np.ndarray:
    """The keys of one order, u32[r], from whole numbers such as seed and epoch."""
    return (keyed_hash(np.arange(ROUNDS), key) >> np.uint64(32)).astype(np.uint32)


def permute(places: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """The numbers at some places of a shuffled 0 ... size - 1.

    places: i[b], each below size.
    size: how many numbers are shuffled.
    keys: u32[r] of `round_keys`.
    Returns i64[b].
    """
    bits = domain_bits(size)
    numbers = shuffle(places.astype(np.uint32), bits, keys)
    while (outside := numbers >= size).any():
        numbers[outside] = shuffle(numbers[outside], bits, keys)
    return numbers.astype(np.int64)


def domain_bits(size: int) -> int:
    """Bits of the power of two that `shuffle` permutes: less than twice the size, but at least 32.

    With 16, the 24 orders of 4 do not occur equally often.
    """
    return max(5, (size - 1).bit_length())


def shuffle(places: Any, bits: int, keys: Any) -> Any:
    """One pass of the shuffle over 0 ... 2^bits - 1, a Feistel network (Luby and Rackoff 1988).

    places: u32[b], a numpy or jax array.
    bits: of the range.
    keys: u32[r], of the same kind.
    For a size that is not a power of two, a result beyond it is shuffled again until it is below.
    That walks along a cycle, so it stays one-to-one.
    """
    low_bits = np.uint32(bits // 2)
    low_mask = np.uint32((1 << bits // 2) - 1)
    high_mask = np.uint32((1 << (bits - bits // 2)) - 1)
    high, low = places >> low_bits, places & low_mask
    for number in range(0, ROUNDS, 2):
        high = high ^ (_mix(low, keys[number]) & high_mask)
        low = low ^ (_mix(high, keys[number + 1]) & low_mask)
    return high << low_bits | low


def _mix(half: Any, key: Any) -> Any:
    """The 32-bit finaliser of MurmurHash3 (Appleby 2011), keyed."""
    half = half ^ key
    half = (half ^ (half >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    half = (half ^ (half >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return half ^ (half >> np.uint32(16))
