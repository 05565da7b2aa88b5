"""Arrays of numbers out of the bytes of an .npy file, without running anything that it holds."""

from __future__ import annotations

import io
import math
import warnings

import numpy as np

from sketchjax.data.sources.pickled import is_numbers, unpickle

MOST_SKETCHES = 1 << 20  # in one array; Google's largest category has 340,000 drawings
_LEAST = 24  # bytes of pickle for an array; sketch-rnn's have 47 without the numbers


def load_arrays(data: bytes) -> list[np.ndarray | None]:
    """The arrays of numbers in an .npy that holds one for each sketch, whatever their shapes.

    None for an item that is not an array of numbers.

    data: the whole file; an object array's pickle is read by `pickled.unpickle`.
    Raises DataError where the file asks for anything but numpy arrays, ValueError where it is
    damaged or holds something else.
    """
    shape, by_columns, dtype, start = _header(data)
    count, rest = math.prod(shape), len(data) - start
    objects = dtype.hasobject
    if not shape or shape[0] > MOST_SKETCHES:
        raise ValueError(f"an array of the shape {shape}, not a list of sketches")
    if objects:
        if count != shape[0]:
            raise ValueError(
                f"single numbers as objects, in the shape {shape}: store one array per sketch "
                f"(a = np.empty({shape[0]}, object); a[:] = sketches)"
            )
        if count > len(data) // _LEAST:
            raise ValueError(f"{len(data):,} bytes for {count:,} arrays")
        return unpickle(data, start, count)
    if not is_numbers(dtype.str):
        raise ValueError(f"an array of type {dtype.str[:40]!r}, not of numbers")
    if count * dtype.itemsize != rest:
        raise ValueError(f"{rest:,} bytes for an array of the shape {shape}")
    order = "F" if by_columns else "C"
    return list(np.frombuffer(data, dtype, count, start).reshape(shape, order=order))


def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether by columns, type, and where the content starts."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        raise ValueError("no array: it does not start as an .npy does") from None
    one = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if one else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A file of Python 2 is read all the same.
            shape, by_columns, dtype = read(file)
    except Exception:  # numpy parses Python's syntax: a damaged header can fail in many ways.
        raise ValueError("an array with a header that numpy does not write") from None
    if any(not 0 <= size < 1 << 40 for size in shape):
        raise ValueError(f"an array of the shape {shape}, not a list of sketches")
    return shape, by_columns, dtype, file.tell()
