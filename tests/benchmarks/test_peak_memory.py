"""benchmarks.record: the peak memory of a process is its own."""

import subprocess
import sys

import numpy as np

from benchmarks.record import REPOSITORY, peak_memory_bytes


def test_peak_memory_leaves_out_the_parent():
    held = np.ones(1 << 29, np.uint8)
    assert peak_memory_bytes() > held.nbytes
    line = "from benchmarks.record import peak_memory_bytes; print(peak_memory_bytes())"
    command = [sys.executable, "-c", line]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    assert 5e6 < int(done.stdout) < held.nbytes / 2


def test_peak_memory_stays_after_memory_is_freed():
    before = peak_memory_bytes()
    np.ones(2 * before, np.uint8)
    assert peak_memory_bytes() > 2 * before
