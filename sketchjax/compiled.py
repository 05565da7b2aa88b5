"""numba kernels, compiled once per machine if their code can be cached.

numba caches next to the source file, else in the user's cache directory; NUMBA_CACHE_DIR names
another folder. With a read-only installation and a home that is not writable, as in many
containers, `njit(cache=True)` finds no place and raises on import. A cache only saves time, so here
such a kernel is compiled again in each process that calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def kernel(function: Kernel) -> Kernel:
    """Compile a function with numba on its first call; it runs without the GIL."""
    return _compile(function)


def parallel_kernel(function: Kernel) -> Kernel:
    """A `kernel` whose `prange` loops use all of numba's threads."""
    return _compile(function, parallel=True)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # "cannot cache function ...: no locator available for file ..."
        return njit(nogil=True, **options)(function)
