"""Timing two programs in turn, so that a busy machine slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Comparison(NamedTuple):
    """Median seconds of ours and of the peer; ratio: the median of peer / ours, round by round."""

    seconds: float
    peer_seconds: float
    ratio: float
    least_ratio: float
    greatest_ratio: float


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of one call, which must wait for its own work."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    work()
    return statistics.median(seconds_of(work) for _ in range(rounds))


def in_turn(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> Comparison:
    """A B A B ..., after one call of each that is not counted."""
    ours()
    peer()
    pairs = [(seconds_of(ours), seconds_of(peer)) for _ in range(rounds)]
    ratios = [theirs / own for own, theirs in pairs]
    return Comparison(
        statistics.median(own for own, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )
