"""The list of a split's records: which picture or sketch each is, and which photo it shows.

`{photo|raster}-SPLIT-index.json` lists the pictures of a split, so that labels and pairs are known
before a picture is decoded. `SPLIT-index.json` lists the sketches of strokes where their source
says which photo they draw.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from sketchjax.data.folder.manifest import IndexFile
from sketchjax.errors import DataError
from sketchjax.files import write_whole

_MEND = "delete the folder and convert its sources again"


@dataclass(frozen=True, slots=True)
class Index:
    """n records in the order of their split.

    ids: u64[n], what identifies a record.
    labels: i32[n], indices into the manifest's categories.
    instances: i64[n], the number of the photo that each record is or draws; -1 where unknown.
    names: the path of each in its source; "" for a sketch that shares its file with others.
    """

    ids: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    ids: list[int]
    labels: list[int]
    instances: list[int]
    names: list[str]


def write_index(folder: Path, name: str, index: Index) -> IndexFile:
    """Write a split's list as the file `name`, whole or not at all; what the manifest says of it.

    Raises OSError when the disk refuses.
    """
    stored = _Stored(
        index.ids.tolist(), index.labels.tolist(), index.instances.tolist(), index.names
    )
    content = msgspec.json.encode(stored)
    write_whole(folder / name, content)
    return IndexFile(name, len(content), hashlib.sha256(content).hexdigest())


def read_index(folder: Path, file: IndexFile, records: int) -> Index:
    """The list of a split.

    folder: the data folder.  file: what its manifest says of the list.
    records: how many the split has.
    Raises DataError where it is missing or damaged.
    """
    path = folder / file.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; {_MEND}") from error
    if len(content) != file.bytes or hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{path} is not the file that the manifest lists; {_MEND}")
    try:
        stored = msgspec.json.decode(content, type=_Stored)
        index = Index(
            np.array(stored.ids, np.uint64),
            np.array(stored.labels, np.int32),
            np.array(stored.instances, np.int64),
            stored.names,
        )
    except (ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{path} is not a valid index: {str(error)[:200]}; {_MEND}") from error
    if {len(index.ids), len(index.labels), len(index.instances), len(index.names)} != {records}:
        raise DataError(f"{path} does not list {records} records; {_MEND}")
    return index
