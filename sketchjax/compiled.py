"""numba kernels, compiled once per machine if their code can be cached.

numba caches next to the source file, else in the user's cache directory; NUMBA_CACHE_DIR names
another folder. With a read-only installation and a home that is not writable, as in many
containers, `njit(cache=True)` finds no place and raises on import. A cache only saves time, so here
such a kernel is compiled again in each process that calls it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, wraps
from types import FunctionType
from typing import Any, TypeVar

import numba
from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def kernel(function: Kernel) -> Kernel:
    """Compile a function with numba on its first call; it runs without the GIL."""
    return _compile(function)


def parallel_kernel(function: Kernel) -> Kernel:
    """A `kernel` whose `prange` loops use all of numba's threads.

    A forked child of a process that has these threads lacks them, and GNU's OpenMP would end it;
    there the loops run one after another. Call it from Python only.
    """
    compiled = _compile(function, parallel=True)

    @cache
    def of_one_thread() -> Any:
        # numba's cache tells functions apart by their names, and not by their options.
        assert isinstance(function, FunctionType)
        twin = FunctionType(function.__code__, function.__globals__)
        twin.__qualname__ = f"{function.__qualname__}_of_one_thread"
        return _compile(twin)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        return (of_one_thread() if _lost_threads else compiled)(*arguments)

    return call  # pyright: ignore[reportReturnType]


_lost_threads = False  # whether numba's threads are those of the process that forked this one


def _lose_threads() -> None:
    global _lost_threads
    try:
        numba.threading_layer()  # pyright: ignore[reportPrivateImportUsage]
    except ValueError:  # no threads so far: this process gets its own
        return
    _lost_threads = True


os.register_at_fork(after_in_child=_lose_threads)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # "cannot cache function ...: no locator available for file ..."
        return njit(nogil=True, **options)(function)
