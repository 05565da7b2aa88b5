"""benchmarks.record: the peak memory of a process is its own."""

import subprocess
import sys

import numpy as np

from benchmarks.record import REPOSITORY, peak_memory_bytes


def printed_by(program: str) -> list[int]:
    """The numbers that a process of its own prints."""
    begin = "from benchmarks.record import peak_memory_bytes\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + program], cwd=REPOSITORY, capture_output=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_peak_memory_leaves_out_the_parent():
    held = np.ones(1 << 28, np.uint8)
    assert peak_memory_bytes() > held.nbytes
    (peak,) = printed_by("print(peak_memory_bytes())")
    assert 5e6 < peak < held.nbytes / 2


def test_peak_memory_stays_after_memory_is_freed():
    """In a small process: this one may have had gigabytes, of which twice as many take seconds."""
    before, after = printed_by(
        "before = peak_memory_bytes()\nbytearray(2 * before)\nprint(before, peak_memory_bytes())"
    )
    assert after > 2 * before
