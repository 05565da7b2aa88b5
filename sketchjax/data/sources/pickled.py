"""numpy's pickles of arrays of arrays, read without running anything that they ask for.

A pickle is a program: it may call any function and create any number of objects. Two passes make
it harmless. The first walks over the opcodes and creates nothing: it refuses what numpy never
writes, and more of anything than the file's sketches need. (One byte of pickle can make 64 bytes
of empty list, so 1 MB of zip could fill any memory.) The second is Python's unpickler with
stand-ins for the names that numpy writes. numpy's own would allocate any shape that is claimed,
and a `numpy.dtype` can be built that takes bytes for pointers.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from sketchjax.errors import DataError

# How often numpy writes an opcode for one sketch, generously; no other opcode is accepted.
_PLAIN = """
PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD APPEND APPENDS EMPTY_TUPLE BINGET LONG_BINGET
NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 SHORT_BINSTRING BINSTRING SHORT_BINBYTES BINBYTES
BINBYTES8 SHORT_BINUNICODE BINUNICODE
"""
_OFTEN: dict[str, int] = dict.fromkeys(_PLAIN.split(), 16)
_OFTEN |= dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), 8)
_OFTEN |= dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), 3) | {"EMPTY_LIST": 1}
_CODE = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
_DEEPEST = 2_048  # on the stack: numpy appends 1,000 arrays at a time
_NUMBERS = re.compile(r"[<>=|]?([iu][1248]|f[248]|b1)")


def is_numbers(dtype: str) -> bool:
    """Whether a type, by its short name, is one of plain numbers."""
    return _NUMBERS.fullmatch(dtype) is not None


def unpickle(data: bytes, start: int, count: int) -> list[np.ndarray | None]:
    """The arrays of an object array, None for an item that is anything but an array of numbers.

    data: the bytes of an .npy.  start: where its pickle starts.  count: arrays, after the header.
    Raises DataError where the pickle asks for anything but numpy's arrays, ValueError where it is
    damaged or holds something else.
    """
    file = io.BytesIO(data)
    try:
        file.seek(start)
        _check_opcodes(file, count + 16)
        file.seek(start)
        items = _Unpickler(file, encoding="latin1").load().content
        arrays = [item.content if type(item) is _Array else None for item in items]
    except DataError:
        raise
    except Exception as error:  # A damaged pickle can fail in any of a dozen ways.
        raise ValueError(f"a damaged array ({f'{error}'[:100] or type(error).__name__})") from None
    if len(arrays) != count:
        raise ValueError(f"{len(arrays):,} items in an array of {count:,}")
    return [array if type(array) is np.ndarray else None for array in arrays]


def _check_opcodes(file: io.BytesIO, sketches: int) -> None:
    """Refuse what numpy does not write, and what would take more memory than the sketches do."""
    seen = Counter[str]()
    marks: list[int] = []
    depth = 0
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        seen[name] += 1
        if name in _CODE:
            _refuse(f"opcode {name}")
        if seen[name] > _OFTEN.get(name, 0) * sketches:
            raise ValueError(f"more opcodes {name} than numpy writes")
        # Python's memo is an array as long as its largest index.
        if name.endswith("BINPUT") and int(argument or 0) > 24 * sketches:
            raise ValueError("a memo index that numpy does not write")
        if name == "MARK":
            marks.append(depth)
        elif name in ("TUPLE", "APPENDS"):
            depth = marks.pop() + (name == "TUPLE")
        else:
            depth += len(opcode.stack_after) - len(opcode.stack_before)
        if max(depth, len(marks)) > _DEEPEST:
            raise ValueError("more on the stack than numpy puts there")


class _Array:
    """Stands for numpy.ndarray. `content`: an array, or the items of an array of objects."""

    def __init__(self, *_: Any):
        self.content: Any = None  # The shape that is asked for at first is not allocated.

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_columns, content = state
        if type(content) is list:
            self.content = content
            return
        if dtype.value is None:  # text, say
            return
        if type(content) is str:  # Python 2's bytes, by `encoding`
            content = content.encode("latin1")
        whole = all(type(size) is int and size >= 0 for size in shape)
        if not whole or math.prod(shape) * dtype.value.itemsize != len(content):
            raise ValueError("bytes that do not fit the shape")
        order = "F" if by_columns else "C"
        self.content = np.frombuffer(content, dtype.value).reshape(shape, order=order)


class _Dtype:
    """Stands for numpy.dtype. `value`: the type where it is one of numbers, else None."""

    def __init__(self, name: str, *_: Any):
        self.value = np.dtype(name) if is_numbers(name) else None

    def __setstate__(self, state: Any) -> None:
        self.value = self.value and self.value.newbyteorder(state[1])


_ALLOWED: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    # Protocol 2 has no bytes: it calls one of these two.
    "_codecs.encode": lambda text, _: text.encode("latin1"),
    "__builtin__.bytes": lambda: b"",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        return _ALLOWED.get(f"{module}.{name}") or _refuse(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        _refuse("a persistent object")


def _refuse(what: str) -> NoReturn:
    raise DataError(
        f"the file asks to run {what[:100]!r}, which no sketch needs: refused; "
        "do not trust where it came from"
    )
