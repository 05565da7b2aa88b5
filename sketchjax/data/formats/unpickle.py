"""Object arrays of numbers out of .npy files without letting pickle build anything.

A pickle is a program that may call any function. Here every name that it asks for is looked up in
a table of six, each answered by a class of our own that holds plain data; any other name is refused
before it is imported.
"""

from __future__ import annotations

import pickle
from typing import IO, Any

import numpy as np

from sketchjax.errors import DataError

# A whole array of sketches is in memory at once; Google's largest (.full.npz) takes some 200 MB.
LARGEST_ARRAY = 2 << 30


class _Type:
    """Stands for numpy.dtype: its short name, and the byte order that follows as state."""

    def __init__(self, name: Any, *_: Any):
        self.name = name.decode("latin1") if isinstance(name, bytes) else name
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]

    def dtype(self) -> np.dtype:
        """The numeric type that it stands for; ValueError for any other."""
        if not (isinstance(self.name, str) and self.name[:1] in "iufb" and len(self.name) <= 3):
            raise ValueError(f"an array of type {self.name!r}, not of numbers")
        return np.dtype(self.name).newbyteorder(self.order)  # type: ignore[arg-type]


class _Array:
    """Stands for numpy.ndarray as pickle rebuilds it: `value` is an array or a list of values."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, data = state
        if not isinstance(kind, _Type) or not all(isinstance(size, int) for size in shape):
            raise ValueError("an array with a state that numpy does not write")
        if isinstance(data, list):
            self.value = [item.value if isinstance(item, _Array) else item for item in data]
            return
        data = data.encode("latin1") if isinstance(data, str) else data
        order = "F" if by_columns else "C"
        self.value = np.frombuffer(data, kind.dtype()).reshape(shape, order=order)


def _reconstruct(*_: Any) -> _Array:
    """Stands for numpy's function: the shape that it is asked for is not allocated."""
    return _Array()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Stands for _codecs.encode, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise DataError(
                f"the file asks to run {module_name}.{global_name}, which no sketch needs: "
                "refused; do not trust where it came from"
            ) from None

    def persistent_load(self, pid: Any, /) -> Any:
        raise ValueError("a reference to something outside the file")


def load_arrays(file: IO[bytes]) -> list[np.ndarray]:
    """Read an open .npy file that holds one array of numbers for each sketch.

    Returns the arrays, whatever their shapes.  Raises DataError where the file asks for anything
    but numpy arrays, ValueError where it is damaged or holds something else.
    """
    try:
        shape, by_columns, kind = _header(file)
        if kind.hasobject:
            outer = _Unpickler(file, encoding="latin1").load()
            items = outer.value if isinstance(outer, _Array) else None
            if not isinstance(items, list):
                raise ValueError("a pickle that is not an array of objects")
        else:
            data = np.frombuffer(file.read(), kind)
            items = list(data.reshape(shape, order="F" if by_columns else "C"))
    except (DataError, ValueError):
        raise
    except Exception as error:  # A damaged pickle can fail in any of a dozen ways.
        raise ValueError(f"a damaged array ({error.__class__.__name__}: {error})") from None
    if not all(isinstance(item, np.ndarray) for item in items):
        raise ValueError("an array that holds something but arrays of numbers")
    return items


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether by columns, and type of an .npy file."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
