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
    """Let the garbage collector of this process run seldom, as a program's first step.

    Imports and tracing make millions of objects that stay. Of a small run's 15 seconds, looking
    through them took 2.
    """
    # Allocations until the youngest objects are looked through, by default 700; how many such
    # passes until those that survived one are, and then how many of these until all are.
    gc.set_threshold(50_000, 20, 100)
