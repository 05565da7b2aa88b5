"""numba kernels, compiled once per machine if their code can be cached.

numba caches next to the source file, else in the user's cache directory; NUMBA_CACHE_DIR names
another folder. With a read-only installation and a home that is not writable, as in many
containers, `njit(cache=True)` finds no place and raises on import; it raises on the first call
where the disk is full, a file of the cache is damaged, or another user's. A cache only saves time,
so here such a kernel is compiled again in each process that calls it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, wraps
from types import FunctionType
from typing import Any, TypeVar

import numba
import numpy as np
from numba import njit
from numba.core.caching import FunctionCache

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
    compiled: Any = njit(nogil=True, **options)(function)
    with suppress(RuntimeError):  # "cannot cache function ...: no locator available for file ..."
        compiled._cache = _Cache(function)
    return compiled


class _Cache(FunctionCache):
    """numba's cache, without its ways to end a program or to give it code of another version."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # of pickle there are many
            with suppress(Exception):
                self.flush()  # or it would be as damaged the next time
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        """numba looks at the kernel's own file, and not at the modules whose functions it calls."""
        return (*super()._index_key(sig, codegen), _digest(self._py_func))


def _digest(function: Any) -> str:
    """The sha256 of all that is compiled into a kernel: its code, its constants, what it calls."""
    found = hashlib.sha256()
    for part in _parts(function, set()):
        found.update(part)
    return found.hexdigest()


def _parts(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    code = function.__code__
    seen.add(id(code))
    yield code.co_code
    yield repr((code.co_names, function.__defaults__)).encode()
    for each in code.co_consts:
        yield getattr(each, "co_code", None) or repr(each).encode()
    for name in code.co_names:
        value = function.__globals__.get(name)
        called = getattr(value, "py_func", value)  # of a kernel
        if isinstance(called, FunctionType):
            if id(called.__code__) not in seen:
                yield name.encode()
                yield from _parts(called, seen)
        elif isinstance(value, bool | int | float | str | tuple | np.generic):
            yield f"{name}={value!r}".encode()
        elif isinstance(value, np.ndarray):
            yield f"{name}={value.dtype}{value.shape}".encode() + value.tobytes()
