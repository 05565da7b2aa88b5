"""Tensors from the files that `torch.save` writes, read without PyTorch and without running them.

Such a file is a pickle, which can name any function of any module and call it. Here a small machine
runs the few instructions that describe a dictionary of tensors, and refuses everything else: the
only names it knows are those of tensors, their storages and OrderedDict, and it calls none of them.

There are two formats. Since PyTorch 1.6 (2020) a file is a zip archive: `data.pkl`, and one entry
per storage, none of them compressed. Before, it was five pickles in a row (a magic number, a
version, the machine's sizes, the dictionary, the keys of the storages) and then, for each key, a
count and the numbers. Both are read in little-endian order, which all of today's machines use.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from sketchjax.errors import ConfigError

LARGEST_FILE = 4 * 2**30
MOST_INSTRUCTIONS = 1_000_000  # a ResNet-152 has 40,000
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001

_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
_TENSOR, _PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
_DICTIONARY = "collections OrderedDict"
_KNOWN = {_TENSOR, _PARAMETER, _DICTIONARY, *(f"torch {name}" for name in _STORAGES)}


class _Refused(ValueError):
    """What is wrong with a file, in words."""


class _Name(str):
    """A global that a pickle names; it stays a name."""


class _Storage(NamedTuple):
    kind: np.dtype
    key: str
    numbers: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, as arrays of their own types.

    path: of a dictionary of tensors (a "state dict"), in either format.
    Raises ConfigError when there is no such file, when it is damaged or too large, and when it
    holds anything but named tensors.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise _Refused(f"it has {size:,} bytes, more than {LARGEST_FILE:,}")
        content = path.read_bytes()
        zipped = content.startswith(b"PK")
        tensors, stored = (_read_zip if zipped else _read_rows)(content)
        return {name: _array(name, tensor, stored) for name, tensor in tensors.items()}
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read ({problem.strerror})") from problem
    except (_Refused, zipfile.BadZipFile) as problem:
        raise ConfigError(
            f"{path} is not a file of tensors that torch.save wrote ({problem}); save it again as "
            "torch.save(model.state_dict(), FILE)"
        ) from problem


def _read_zip(content: bytes) -> tuple[dict[str, _Tensor], dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Refused(f"{len(pickles)} of its entries are called data.pkl")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise _Refused("some of its entries are compressed")
        if sum(entry.file_size for entry in entries.values()) > len(content):
            raise _Refused("its entries overlap")
        folder = pickles[0].removesuffix("data.pkl")
        order = entries.get(f"{folder}byteorder")
        if order and archive.read(order) != b"little":
            raise _Refused("its numbers are in big-endian order")
        tensors = _named_tensors(_run(io.BytesIO(archive.read(pickles[0]))))
        keys = {tensor.storage.key for tensor in tensors.values()}
        if missing := sorted(key for key in keys if f"{folder}data/{key}" not in entries):
            raise _Refused(f"it lacks the storage {missing[0]!r}")
        return tensors, {key: archive.read(f"{folder}data/{key}") for key in keys}


def _read_rows(content: bytes) -> tuple[dict[str, _Tensor], dict[str, bytes]]:
    file = io.BytesIO(content)
    if _run(file) != _MAGIC or _run(file) != _VERSION:
        raise _Refused("it does not begin as one")
    if not (_run(file) or {}).get("little_endian", False):
        raise _Refused("its numbers are in big-endian order")
    tensors = _named_tensors(_run(file))
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    stored = {}
    for key in _run(file):
        if key not in storages:
            raise _Refused(f"no tensor has the storage {key!r}")
        count = int.from_bytes(file.read(8), "little")
        stored[key] = file.read(min(count, LARGEST_FILE) * storages[key].kind.itemsize)
    if missing := sorted(storages.keys() - stored.keys()):
        raise _Refused(f"it lacks the storage {missing[0]!r}")
    return tensors, stored


def _named_tensors(found: Any) -> dict[str, _Tensor]:
    if not isinstance(found, dict):
        raise _Refused("it holds no dictionary")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, _Tensor):
            raise _Refused(f"{str(name)[:60]!r} is not a tensor with a name")
    return found


def _array(name: str, tensor: _Tensor, stored: Mapping[str, bytes]) -> np.ndarray:
    """A tensor as a view of its storage."""
    kind, key, count = tensor.storage
    content = stored[key]
    if len(content) != count * kind.itemsize:
        raise _Refused(f"the storage of {name} has {len(content):,} bytes, not {count:,} numbers")
    whole = np.frombuffer(content, kind)
    last = tensor.offset + sum(
        stride * (side - 1) for side, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    numbers = math.prod(tensor.shape)
    # A repeated number, with a stride of 0, could make an array of any size.
    if numbers and (last >= count or numbers > count):
        raise _Refused(f"{name} is larger than its storage")
    strides = [stride * kind.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(
        whole[tensor.offset :], tensor.shape, strides, writeable=False
    )


_MARK = object()
_PUSHES = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: _MARK,
}
_CONSTANTS = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _run(file: io.BytesIO) -> Any:
    """The value of one pickle, read from a file; a call in it makes a description, nothing more."""
    try:
        return _Machine().run(file)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise _Refused(f"its pickle is damaged: {type(problem).__name__} {problem}") from problem
    except ValueError as problem:
        raise _Refused(str(problem)) from problem


class _Machine:
    """The stack and the memory of a pickle."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def run(self, file: io.BytesIO) -> Any:
        for count, (code, argument, _) in enumerate(pickletools.genops(file)):
            if count > MOST_INSTRUCTIONS:
                raise _Refused(f"its pickle has more than {MOST_INSTRUCTIONS:,} instructions")
            if code.name == "STOP":
                return self.stack.pop()
            self.step(code.name, argument)
        raise _Refused("its pickle has no end")

    def step(self, code: str, argument: Any) -> None:
        stack = self.stack
        if code in _PUSHES:
            stack.append(_PUSHES[code]())
        elif code in _CONSTANTS:
            stack.append(argument)
        elif code in _TUPLES:
            count = _TUPLES[code]
            stack[-count:] = [tuple(stack[-count:])]
        elif code == "TUPLE":
            stack.append(tuple(self.marked()))
        elif code in ("BINPUT", "LONG_BINPUT"):
            self.memory[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(self.memory[argument])
        elif code == "GLOBAL":
            if argument not in _KNOWN:
                raise _Refused(f"it names {argument.replace(' ', '.')[:80]}, which is no tensor")
            stack.append(_Name(argument))
        elif code == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif code == "REDUCE":
            arguments, name = stack.pop(), stack.pop()
            stack.append(_described(name, arguments))
        elif code == "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1][key] = value
        elif code == "SETITEMS":
            items = self.marked()
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif code == "APPEND":
            value = stack.pop()
            stack[-1].append(value)
        elif code == "APPENDS":
            items = self.marked()
            stack[-1].extend(items)
        elif code == "BUILD":  # attributes of the dictionary, such as the versions of its modules
            stack.pop()
        elif code != "PROTO":
            raise _Refused(f"its pickle has the instruction {code}")

    def marked(self) -> list[Any]:
        """What is on the stack above the last mark, taken off."""
        place = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items


def _storage(identity: tuple[Any, ...]) -> _Storage:
    """("storage", type, key, device, count, and in old files a view of it) as a storage."""
    word, kind, key, _, count = identity[:5]
    if word != "storage" or any(part is not None for part in identity[5:]):
        raise _Refused("one of its storages is a view of another")
    return _Storage(_STORAGES[_named(kind).removeprefix("torch ")], _text(key), _count(count))


def _described(name: Any, arguments: tuple[Any, ...]) -> Any:
    """What calling a known name would make, as a description."""
    name = _named(name)
    if name == _DICTIONARY:
        if arguments:
            raise _Refused("it makes a dictionary from something")
        return {}
    if name == _PARAMETER:
        return arguments[0]
    if name != _TENSOR:
        raise _Refused(f"it calls {name.replace(' ', '.')}")
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise _Refused("one of its tensors has no storage or no shape")
    return _Tensor(storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides)))


def _named(value: Any) -> str:
    if not isinstance(value, _Name):
        raise _Refused("it calls something without a name")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Refused("a storage has no name")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_FILE:
        raise _Refused(f"a size of it is {str(value)[:20]}")
    return value
