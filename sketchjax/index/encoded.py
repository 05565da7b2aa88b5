"""A folder of encoded drawings in files that others read: two .npy and one .parquet.

    codes.npy      u8[n d/8], bit j of a code is bit j % 8 of its byte j // 8
    features.npy   f32[n f], the head's features
    items.parquet  a row for each drawing: key_id, category, source, place, drawing (JSON, strokes
                   as [[x, ...], [y, ...]]); the metadata hold the model's fingerprint

With 10 million drawings of 64 bits, codes are 80 MB, features 2.6 GB and items about 1 GB.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.lib import format as npy

from sketchjax.data.sketch import Sketches, drawing_of, points_of_strokes
from sketchjax.errors import DataError, DiskError
from sketchjax.files import whole_folder
from sketchjax.index.duck import duckdb
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.outputs import Outputs

CODES, FEATURES, ITEMS = "codes.npy", "features.npy", "items.parquet"
_FIELDS = "key_id, category, source, place, drawing"


def write_encoded(out: Path, model: str, parts: Iterable[tuple[str, Sketches, Outputs]]) -> int:
    """Write a folder of encoded drawings, whole or not at all; returns how many there are.

    out: the folder, which must not be there, or be empty.
    model: fingerprint of the model.
    parts: name of the source, drawings, and what the model made of them.
    Raises DataError where `out` is there or there is no drawing, InUseError where another process
    writes it, and DiskError.
    """
    with whole_folder(out) as partial:
        try:
            count = _write(partial, model, parts)
        except duckdb().Error as error:
            reason = str(error).splitlines()[0][:200]
            raise DiskError(
                f"{out} cannot be written ({reason}); check the disk, then rerun the same command"
            ) from error
        if not count:
            raise DataError("there is no drawing to encode")
    return count


def _write(folder: Path, model: str, parts: Iterable[tuple[str, Sketches, Outputs]]) -> int:
    """Write the three files; returns the number of drawings."""
    table = folder / "items.duckdb"
    with (
        _GrowingArray(folder / CODES) as codes,
        _GrowingArray(folder / FEATURES) as features,
        duckdb().connect(str(table)) as connection,
    ):
        connection.execute(
            "create table items(key_id ubigint, category varchar, source varchar, place bigint, "
            "drawing varchar)"
        )
        for source, sketches, outputs in parts:
            codes.append(outputs.codes.packed)
            features.append(outputs.features)
            connection.register("given", _rows(source, sketches))
            connection.execute(f"insert into items select {_FIELDS} from given")
            connection.unregister("given")
        connection.execute(
            f"copy (select {_FIELDS} from items order by rowid) to "
            f"'{_quoted(folder / ITEMS)}' (format parquet, kv_metadata {{model: '{model}'}})"
        )
        count = codes.count
    table.unlink()
    return count


class EncodedFolder:
    """A folder that `write_encoded` wrote.

    model: fingerprint of the model.
    Raises DataError where a file is missing or damaged, or they do not belong together.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        try:
            self._codes = np.load(folder / CODES, mmap_mode="r")
            self._features = np.load(folder / FEATURES, mmap_mode="r")
            path = _quoted(folder / ITEMS)
            with duckdb().connect() as connection:
                known = dict(
                    connection.execute(
                        f"select key, value from parquet_kv_metadata('{path}')"
                    ).fetchall()
                )
                count = connection.execute(f"select count(*) from '{path}'").fetchall()[0][0]
            self.model = known[b"model"].decode()
        except (OSError, ValueError, KeyError, duckdb().Error) as error:
            raise _unreadable(folder, error) from error
        if not count == len(self._codes) == len(self._features) or self._codes.dtype != np.uint8:
            raise DataError(
                f"{folder}: {len(self._codes):,} codes, {len(self._features):,} features and "
                f"{count:,} items do not belong together; encode the drawings again"
            )

    def __len__(self) -> int:
        return len(self._codes)

    def read(self, start: int, stop: int) -> tuple[Sketches, Outputs]:
        """Some of the drawings, and what the model made of them, without probabilities.

        Raises DataError where the items are damaged.
        """
        path = _quoted(self._folder / ITEMS)
        try:
            with duckdb().connect() as connection:
                rows = connection.execute(
                    f"select {_FIELDS} from '{path}' where file_row_number >= {start} "
                    f"and file_row_number < {stop} order by file_row_number"
                ).fetchall()
        except duckdb().Error as error:
            raise _unreadable(self._folder, error) from error
        drawings = [_points(row[4]) for row in rows]
        sketches = Sketches(
            points=np.concatenate(drawings),
            offsets=np.concatenate([[0], np.cumsum([len(own) for own in drawings])]),
            categories=[row[1] for row in rows],
            key_ids=np.array([row[0] for row in rows], np.uint64),
            recognized=np.full(len(rows), -1, np.int8),
            places=np.array([row[3] for row in rows], np.int64),
        )
        codes = Codes(
            np.array(self._codes[start:stop]),
            np.full(len(rows), -1, np.int32),
            sketches.key_ids,
            sketches.places,
            model=self.model,
        )
        features = np.array(self._features[start:stop])
        return sketches, Outputs(codes, features, np.zeros((len(rows), 0), np.float32))


def _unreadable(folder: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0]
    return DataError(f"{folder} cannot be read ({reason}); encode the drawings again")


class _GrowingArray:
    """A .npy file whose rows are appended; the header is written at the end."""

    def __init__(self, path: Path):
        self._file, self.count = path.open("wb"), 0
        self._row: np.ndarray | None = None

    def __enter__(self) -> _GrowingArray:
        return self

    def __exit__(self, *_: object) -> None:
        if self._row is not None:
            self._file.seek(0)
            self._header(self._row)
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Add rows, all of one shape."""
        if self._row is None:
            self._row = rows[:0]
            self._header(self._row)
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self.count += len(rows)

    def _header(self, row: np.ndarray) -> None:
        # numpy leaves room in a header for the number of rows to grow, so its length stays.
        shape = (self.count, *row.shape[1:])
        about = {"descr": npy.dtype_to_descr(row.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, about)


def _rows(source: str, sketches: Sketches) -> dict[str, Any]:
    """Drawings as columns of the table."""
    drawings = [
        msgspec.json.encode(drawing_of(sketches.points_of(i))).decode()
        for i in range(len(sketches))
    ]
    return {
        "key_id": sketches.key_ids,
        "category": _objects(sketches.categories),
        "source": _objects([source] * len(sketches)),
        "place": np.asarray(sketches.places, np.int64),
        "drawing": _objects(drawings),
    }


def _points(drawing: str) -> np.ndarray:
    parts = msgspec.json.decode(drawing, type=list[list[list[int]]])
    return points_of_strokes([np.array(part).T for part in parts])


def _objects(values: Iterable[str]) -> np.ndarray:
    return np.array([*values], object)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
