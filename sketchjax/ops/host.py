"""numba kernels as operations of XLA on a CPU, for sums that XLA itself computes slowly there.

XLA's foreign function interface calls a C function with the address of a call frame, described in
xla/ffi/api/c_api.h, which comes with jaxlib (`jax.ffi.include_dir()`). A frame consists of words of
8 bytes. Those read here, by their places:

  - frame: 1 extension, 2 api, 9 the addresses of the arguments, 14 those of the results;
  - argument or result: 3 the address of its data, 5 that of its sides;
  - extension, when XLA asks for the version that a function was written for:
    1 its type, 3 the address of the answer, whose word 3 is the version; XLA's is word 4 of the
    api.

No Python runs in such an operation, and it needs no lock: several devices may call one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numba import cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numba.np.unsafe.ndarray import to_fixed_tuple

from sketchjax.compiled import kernel

_sides: Any = to_fixed_tuple
_ARGUMENTS, _RESULTS, _VERSION_QUERY = 9, 14, 1


def sum_of_two(
    name: str, compute: Callable[..., None], ranks: tuple[int, int, int]
) -> Callable[[jax.Array, jax.Array, tuple[int, ...]], jax.Array]:
    """An operation on a CPU that computes one array from two, all of them float32.

    name: of the operation, unique in the process.
    compute: a kernel that fills its third argument from the first two.
    ranks: of the first argument, the second and the result.
    Returns a function of both arrays and the shape of the result; it has no gradient.
    """

    def call(first: jax.Array, second: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        if name not in _registered:  # at the first use: compiling takes a second
            _registered[name] = _entry(compute, *ranks)
            address = jax.ffi.pycapsule(_registered[name].ctypes)
            jax.ffi.register_ffi_target(name, address, platform="cpu")
        operation = jax.ffi.ffi_call(
            name, jax.ShapeDtypeStruct(shape, np.float32), vmap_method="sequential"
        )
        return operation(first.astype(np.float32), second.astype(np.float32))

    return call


_registered: dict[str, Any] = {}


def _entry(compute: Callable[..., None], first_rank: int, second_rank: int, rank: int) -> Any:
    """The C function that XLA calls, with the address of a frame; 0 means that all went well."""

    @cfunc(types.int64(types.CPointer(types.int64)))
    def entry(address):
        frame = carray(address, 15)
        if not _answers_version(frame):
            first = _words(_words(frame[_ARGUMENTS], 2)[0], 6)
            second = _words(_words(frame[_ARGUMENTS], 2)[1], 6)
            result = _words(_words(frame[_RESULTS], 1)[0], 6)
            compute(
                carray(
                    _pointer(first[3]),
                    _sides(_words(first[5], first_rank), first_rank),
                    np.float32,
                ),
                carray(
                    _pointer(second[3]),
                    _sides(_words(second[5], second_rank), second_rank),
                    np.float32,
                ),
                carray(_pointer(result[3]), _sides(_words(result[5], rank), rank), np.float32),
            )
        return 0

    return entry


def _as_address(typing: Any, number: Any) -> Any:
    """How numba makes an address of a whole number: its types, and the code."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(number), generate


_pointer: Any = intrinsic(_as_address)


@kernel
def _words(address, count):
    return carray(_pointer(address), (count,), np.int64)


@kernel
def _answers_version(frame):
    """Whether XLA asks for the version of its interface; the answer is XLA's own."""
    if frame[1] == 0:
        return False
    extension = _words(frame[1], 4)
    if extension[1] & 0xFFFFFFFF != _VERSION_QUERY:
        return False
    _words(extension[3], 4)[3] = _words(frame[2], 5)[4]
    return True
