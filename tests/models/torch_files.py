"""Files of tensors as `torch.save` writes them, written without PyTorch."""

import collections
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}


class Global:
    """Pickled as a name of a module, whether it exists or not."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name


class Call:
    """Pickled as a call of a global."""

    def __init__(self, function: Global, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return _placeholder, (self.function, *self.arguments)


def _placeholder():
    """Never called: the pickler below replaces it."""


class Storage:
    def __init__(self, kind: str, key: str, count: int):
        self.identity = ("storage", Global("torch", kind), key, "cpu", count)


class Pickler(pickle._Pickler):  # the one in Python, whose methods can be replaced
    """Writes globals that are not there to import."""

    def persistent_id(self, obj):
        return obj.identity if isinstance(obj, Storage) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def pickled(value) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def tensor(array: np.ndarray, key: str, *, old: bool = False) -> Call:
    """A call that makes a tensor from the storage `key`."""
    storage = Storage(KINDS[array.dtype.str[1:]], key, array.size)
    if old:
        storage.identity = (*storage.identity, None)
    strides = tuple(step // array.itemsize for step in np.empty(array.shape, array.dtype).strides)
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    hooks = collections.OrderedDict()
    return Call(rebuild, storage, 0, array.shape, strides, False, hooks)


def write_zip(path: Path, arrays, value=None, compression=zipfile.ZIP_STORED) -> Path:
    """The format since PyTorch 1.6. value: pickled in place of the tensors by name."""
    keys = {name: str(number) for number, name in enumerate(arrays)}
    if value is None:
        value = collections.OrderedDict((n, tensor(a, keys[n])) for n, a in arrays.items())
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(value))
        archive.writestr("archive/byteorder", "little")
        for name, array in arrays.items():
            archive.writestr(f"archive/data/{keys[name]}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    return path


def write_rows(path: Path, arrays) -> Path:
    """The format before PyTorch 1.6."""
    keys = {name: str(70_000 + number) for number, name in enumerate(arrays)}
    value = collections.OrderedDict((n, tensor(a, keys[n], old=True)) for n, a in arrays.items())
    machine = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}}
    parts = [pickled(each) for each in (MAGIC, VERSION, machine, value, list(keys.values()))]
    for array in arrays.values():
        parts += [array.size.to_bytes(8, "little"), array.tobytes()]
    path.write_bytes(b"".join(parts))
    return path
