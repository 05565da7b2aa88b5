"""How much memory is free on this machine, and how often this process looks for garbage."""

import gc
import os
from pathlib import Path


def free_bytes() -> int:
    """Memory that programs can still allocate, in bytes."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    # Other systems do not report free memory, so return all of it.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def collect_seldom() -> None:
    """Make the garbage collector run rarely in this process; programs call it first.

    Importing and tracing create millions of objects that stay. Scanning them again and again took 2
    of a small run's 15 seconds.
    """
    # The allocations after which the youngest generation is scanned, 700 by default, and how many
    # scans of one generation lead to one of the next.
    gc.set_threshold(50_000, 20, 100)
