"""numba kernels, compiled once for a machine where their code can be cached.

numba caches next to the source file, else in the user's cache directory, or in NUMBA_CACHE_DIR
where that is set. A read-only installation and a home that cannot be written, as in many
containers, leave it no place, and `njit(cache=True)` then fails on import. A cache saves time and
nothing else, so here such a kernel is compiled again by each process that calls it.
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
