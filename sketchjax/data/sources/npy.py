"""Arrays of numbers out of .npy files, pickled ones too, without Python's pickle."""

from __future__ import annotations

import math
import re
import struct

import numpy as np

from sketchjax.data.sources.pickle_machine import Machine, dtype_of

MOST_SKETCHES = 1 << 20  # in one array; Google's largest category has 340,000 drawings
_LEAST = 24  # bytes of pickle for an array; sketch-rnn's have 47 without the numbers
_HEADER = re.compile(
    rb"\{'descr': '([^']{1,8})', 'fortran_order': (True|False), "
    rb"'shape': \((\d{1,12}L?(?:, ?\d{1,12}L?){0,7})?,?\),? ?\}\s*"
)


def load_arrays(data: bytes) -> list[np.ndarray]:
    """The arrays of numbers in the bytes of an .npy file that holds one for each sketch.

    Returns them whatever their shapes.  Raises DataError where the file asks for anything but numpy
    arrays, ValueError where it is damaged or holds something else.
    """
    shape, by_columns, descr, start = _header(data)
    count = math.prod(shape)
    objects = descr.endswith("O")
    if not shape or max(shape[0], objects and count) > MOST_SKETCHES:
        raise ValueError(f"an array of the shape {shape}, not a list of sketches")
    if objects:
        if count > len(data) // _LEAST:
            raise ValueError(f"{len(data):,} bytes for {count:,} arrays")
        return Machine(data, start, count).run()
    kind = dtype_of(descr[1:], descr[0])
    if count * kind.itemsize != len(data) - start:
        raise ValueError(f"{len(data) - start:,} bytes for an array of the shape {shape}")
    order = "F" if by_columns else "C"
    return list(np.frombuffer(data, kind, count, start).reshape(shape, order=order))


def _header(data: bytes) -> tuple[tuple[int, ...], bool, str, int]:
    """Shape, whether by columns, type, and where the content starts, of an .npy file."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12 or data[6] not in (1, 2, 3):
        raise ValueError("no array: it does not start as an .npy does")
    form = "<H" if data[6] == 1 else "<I"
    first = 8 + struct.calcsize(form)
    start = first + struct.unpack_from(form, data, 8)[0]
    found = _HEADER.fullmatch(data, first, min(start, len(data)))
    if found is None or start > len(data):
        raise ValueError("an array with a header that numpy does not write")
    shape = tuple(int(size) for size in re.findall(rb"\d+", found[3] or b""))
    return shape, found[2] == b"True", found[1].decode("latin1"), start
