"""How much memory is free on this machine."""

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
