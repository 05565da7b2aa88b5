"""How much memory the machine has left."""

import os
from pathlib import Path


def free_bytes() -> int:
    """Memory that programs may still take, in bytes."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    # Elsewhere all of it: what is free there, the system does not say.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
