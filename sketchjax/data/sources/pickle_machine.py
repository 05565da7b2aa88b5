"""A machine for the pickles of numpy's arrays of arrays, in place of Python's unpickler.

A pickle is a program that may call any function and make any number of objects. This machine has
the 27 instructions by which numpy writes arrays, and knows three functions, each answered by plain
data of ours; any other name is refused before it is imported. What it holds is bounded by the bytes
that it reads: the standard unpickler makes 64 bytes out of one ("an empty list"), so that 1 MB of
zip would fill any memory.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np

from sketchjax.errors import DataError

_TYPES = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}

# Of a sketch numpy writes 18 instructions (sketch-rnn's files) to 30, and memoizes up to 8 things.
_INSTRUCTIONS, _MEMOS = 64, 16
_DEEPEST = 2_048  # a stack holds at most the 1,000 items that pickle appends at once
_KEPT = 64  # bytes; longer texts are numbers of a sketch, to which nothing refers back


@lru_cache(maxsize=64)
def dtype_of(name: str, order: str) -> np.dtype:
    """A type of numbers by its short name; ValueError for any other."""
    if name not in _TYPES or order not in tuple("<>=|"):
        raise ValueError(f"an array of type {order + name!r}, not of numbers")
    return np.dtype(name).newbyteorder(order)  # type: ignore[arg-type]


class _Type:
    """Stands for numpy.dtype: its short name, and the byte order that follows as state."""

    __slots__ = ("name", "order")

    def __init__(self, name: Any, *_: Any):
        self.name, self.order = _text(name), "="

    def build(self, state: Any) -> None:
        if len(state) < 2:
            raise ValueError("a type with a state that numpy does not write")
        self.order = _text(state[1])


class _Array:
    """Stands for numpy.ndarray: `value` is an array, or the list of values of an outer one."""

    __slots__ = ("value",)

    def __init__(self, *_: Any):
        self.value: Any = None  # the shape that is asked for at first is not allocated

    def build(self, state: Any) -> None:
        if len(state) != 5 or type(state[1]) is not tuple or type(state[2]) is not _Type:
            raise ValueError("an array with a state that numpy does not write")
        _, shape, kind, by_columns, data = state
        if type(data) is list:
            self.value = data
            return
        if type(data) is str:
            data = data.encode("latin1")
        dtype = dtype_of(kind.name, kind.order)
        sizes = all(type(size) is int and size >= 0 for size in shape)
        if not sizes or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError("an array whose bytes are not of its shape")
        order = "F" if by_columns else "C"
        self.value = np.frombuffer(data, dtype).reshape(shape, order=order)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for _codecs.encode, by which protocol 2 writes bytes."""
    if type(text) is not str or _text(encoding) != "latin1":
        raise ValueError("bytes in an encoding that numpy does not write")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    """Stands for bytes, by which protocol 2 writes those of an empty array."""
    if arguments:
        raise ValueError("bytes in a form that numpy does not write")
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}


def _allowed(module: str, name: str) -> Callable[..., Any]:
    try:
        return _ALLOWED[module, name]
    except KeyError:
        raise DataError(
            f"the file asks to run {f'{module}.{name}'[:100]!r}, which no sketch needs: "
            "refused; do not trust where it came from"
        ) from None


def _text(value: Any) -> str:
    """A short name, which Python 2 wrote as bytes."""
    if type(value) in (bytes, memoryview):
        value = bytes(value[:_KEPT]).decode("latin1")
    if type(value) is not str or len(value) >= _KEPT:
        raise ValueError("a name that numpy does not write")
    return value


class Machine:
    """Runs the pickle of an object array of `count` arrays from `start` on."""

    def __init__(self, data: bytes, start: int, count: int):
        self.data, self.at, self.count = data, start, count
        self.view = memoryview(data)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.memoized = 0

    def run(self) -> list[np.ndarray]:
        """The arrays; DataError where a name is asked for that is not numpy's, else ValueError."""
        try:
            outer = self._result()
        except (IndexError, KeyError, TypeError, struct.error, UnicodeError) as error:
            # What is popped, looked up or cut out is not there.
            raise ValueError(f"a damaged array ({error.__class__.__name__}: {error})") from None
        items = outer.value if type(outer) is _Array else None
        if type(items) is not list or len(items) != self.count:
            raise ValueError("a pickle that is not an array of objects")
        arrays = [item.value if type(item) is _Array else None for item in items]
        if not all(isinstance(array, np.ndarray) for array in arrays):
            raise ValueError("an array that holds something but arrays of numbers")
        return cast(list[np.ndarray], arrays)

    def _result(self) -> Any:
        data, stack = self.data, self.stack
        for _ in range(_INSTRUCTIONS * (self.count + 16)):
            code = data[self.at]
            self.at += 1
            if code == _STOP:
                return stack.pop()
            operation = _OPERATIONS[code]
            if operation is None:
                raise ValueError(f"a damaged array (instruction 0x{code:02x}, not one of numpy's)")
            operation(self)
            if len(stack) > _DEEPEST or len(self.memo) > _MEMOS * (self.count + 16):
                break
        raise ValueError("a damaged array (more instructions than its sketches need)")

    def take(self, form: struct.Struct) -> int:
        (value,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return value

    def cut(self, length: int) -> bytes | memoryview:
        """The next bytes; long ones without a copy."""
        end = self.at + length
        if end > len(self.data):
            raise ValueError("a damaged array (it ends too early)")
        found = self.view[self.at : end] if length > _KEPT else self.data[self.at : end]
        self.at = end
        return found

    def line(self) -> str:
        end = self.data.index(b"\n", self.at, self.at + 200)
        found = self.data[self.at : end].decode("latin1")
        self.at = end + 1
        return found

    def keep(self, place: int) -> None:
        """Note the top of the stack for later; not what nothing refers back to: see `_KEPT`."""
        top = self.stack[-1]
        kind = type(top)
        if kind in (tuple, list, memoryview) or (kind in (str, bytes) and len(top) > _KEPT):
            return
        self.memo[place] = top

    def keep_next(self) -> None:
        self.keep(self.memoized)
        self.memoized += 1

    def to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    def tuple_of(self, items: Sequence[Any]) -> None:
        # Two levels are enough for numpy; a tuple in a tuple for each byte is a bomb.
        if len(items) > 16 or any(type(i) is tuple and tuple in map(type, i) for i in items):
            raise ValueError("a damaged array (tuples that numpy does not write)")
        self.stack.append(tuple(items))

    def last(self, number: int) -> None:
        items = self.stack[-number:]
        if len(items) < number:
            raise ValueError("a damaged array (nothing on the stack)")
        del self.stack[-number:]
        self.tuple_of(items)

    def mark(self) -> None:
        self.marks.append(len(self.stack))
        if len(self.marks) > 64:
            raise ValueError("a damaged array (marks that numpy does not write)")

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list or len(target) + len(items) > self.count:
            raise ValueError("a list of more items than the array has")
        if not all(type(item) is _Array for item in items):
            raise ValueError("an array that holds something but arrays of numbers")
        target += items

    def name(self) -> None:
        name, module = _text(self.stack.pop()), _text(self.stack.pop())
        self.stack.append(_allowed(module, name))

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function not in _ALLOWED.values() or type(arguments) is not tuple:
            raise ValueError("a damaged array (a call that numpy does not write)")
        self.stack.append(function(*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) not in (_Array, _Type) or type(state) is not tuple:
            raise ValueError("a damaged array (a state that numpy does not write)")
        target.build(state)

    def skip(self, length: int) -> None:
        self.at += length

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def text(self, length: int) -> None:
        self.stack.append(str(self.cut(length), "utf-8"))

    def long(self) -> None:
        length = self.take(_U1)
        if length > 8:
            raise ValueError("a damaged array (a number of more than 64 bits)")
        self.stack.append(int.from_bytes(self.cut(length), "little", signed=True))


_U1, _U2, _I4, _U4, _U8 = map(struct.Struct, ("<B", "<H", "<i", "<I", "<Q"))
_STOP = ord(".")
_BY_CODE: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": lambda m: m.skip(1),  # the protocol
    b"\x95": lambda m: m.skip(8),  # a frame's length
    b"c": lambda m: m.push(_allowed(m.line(), m.line())),
    b"\x93": Machine.name,
    b"q": lambda m: m.keep(m.take(_U1)),
    b"r": lambda m: m.keep(m.take(_U4)),
    b"\x94": Machine.keep_next,
    b"h": lambda m: m.push(m.memo[m.take(_U1)]),
    b"j": lambda m: m.push(m.memo[m.take(_U4)]),
    b"K": lambda m: m.push(m.take(_U1)),
    b"M": lambda m: m.push(m.take(_U2)),
    b"J": lambda m: m.push(m.take(_I4)),
    b"\x8a": Machine.long,
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"N": lambda m: m.push(None),
    b"U": lambda m: m.push(m.cut(m.take(_U1))),
    b"C": lambda m: m.push(m.cut(m.take(_U1))),
    b"T": lambda m: m.push(m.cut(m.take(_U4))),
    b"B": lambda m: m.push(m.cut(m.take(_U4))),
    b"\x8e": lambda m: m.push(m.cut(m.take(_U8))),
    b"\x8c": lambda m: m.text(m.take(_U1)),
    b"X": lambda m: m.text(m.take(_U4)),
    b"(": Machine.mark,
    b"t": lambda m: m.tuple_of(m.to_mark()),
    b")": lambda m: m.tuple_of(()),
    b"\x85": lambda m: m.last(1),
    b"\x86": lambda m: m.last(2),
    b"\x87": lambda m: m.last(3),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.append([m.stack.pop()]),
    b"e": lambda m: m.append(m.to_mark()),
    b"R": Machine.reduce,
    b"b": Machine.build,
}
_OPERATIONS = [_BY_CODE.get(bytes([code])) for code in range(256)]
