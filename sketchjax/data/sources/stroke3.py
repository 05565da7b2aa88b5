"""sketch-rnn's .npz: arrays train, valid and test of sketches in stroke-3 form.

A sketch is i[t 3]: the offset dx, dy from the point before, and 1 where the pen is lifted after the
point. Where the first offset starts from is written nowhere, and both ways are in use:

- from the sketch's own first point, which no row gives (sketch-rnn's own data: in `aaron_sheep` the
  first row is as long as a drawn step, and 71 % of the first strokes close better on the origin);
- from the corner of the canvas, so that the first row is the first point itself.

In the second way no sketch goes left of or above the corner; in the first nearly all do. That
decides for a file. Offsets of zero in the first row mean the same in both ways; we write those.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.archive import member, open_archive
from sketchjax.data.sources.npy import load_arrays
from sketchjax.data.sources.records import MOST_POINTS, BadRecords, Gather, Refused, key_of_points
from sketchjax.data.sources.stream import written
from sketchjax.errors import DataError

PARTS = ("train", "valid", "test")
_LOOK_AT = 1000  # sketches that decide where the first offset starts


def read_stroke3(
    file: IO[bytes], report: BadRecords, category: str, chunk: int
) -> Iterator[Sketches]:
    """Stream the sketches of an open .npz file: train, then valid, then test, one array in memory.

    Places count on through the three. `key_id`s are derived from the points; `recognized` is -1.
    Raises DataError where the file is not sketch-rnn's, or asks to run something.
    """
    return read_arrays(_members(file, report.path), report, category, chunk)


def read_arrays(
    members: Iterable[bytes], report: BadRecords, category: str, chunk: int
) -> Iterator[Sketches]:
    """Stream the sketches of arrays, each the bytes of an .npy; see `read_stroke3`."""
    gather = Gather()
    place = 0
    from_corner: bool | None = None
    try:
        for data in members:
            arrays = _arrays(data, report.path)
            if from_corner is None and arrays:
                from_corner = _starts_at_corner(arrays[:_LOOK_AT])
            for place, array in enumerate(arrays, place):  # noqa: B020
                _take(gather, report, place, array, bool(from_corner), category)
                if len(gather) == chunk:
                    yield gather.sketches()
            place += bool(arrays)
    except Refused as refused:
        report(place, refused.kind, refused.reason)
    except OSError as error:
        report(place, "unreadable", f"the disk gave an error: {error.strerror}")
    if len(gather):
        yield gather.sketches()


def write_stroke3(
    path: Path | str,
    train: Sketches,
    valid: Sketches | None = None,
    test: Sketches | None = None,
) -> None:
    """Write sketches as a sketch-rnn .npz, whole or not at all.

    The form has no place for category, key_id and recognized, nor for where a sketch lies. Each
    sketch starts with a row of zero offsets. Raises DataError where the file cannot be written.
    """
    with written(Path(path)) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, sketches in zip(PARTS, (train, valid, test), strict=True):
            count = len(sketches) if sketches is not None else 0
            array = np.empty(count, object)
            for index in range(count):
                assert sketches is not None
                rows = sketches.points_of(index).astype(np.int16)
                rows[1:, :2] = np.diff(rows[:, :2], axis=0)
                rows[0, :2] = 0
                array[index] = rows
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=True)
            # A name alone would carry the time of writing.
            entry = zipfile.ZipInfo(f"{part}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED)


def _members(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """The content of each part that is there."""
    with open_archive(file) as archive:
        names = [f"{part}.npy" for part in PARTS if f"{part}.npy" in archive.namelist()]
        if not names:
            raise DataError(f"{path} has no array train, valid or test: not a sketch-rnn file")
        for name in names:
            yield member(archive, name)


def _arrays(data: bytes, path: Path) -> list[np.ndarray]:
    try:
        return load_arrays(data)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except ValueError as error:
        raise Refused("unreadable", f"the file holds {error}") from None


def _rows(array: np.ndarray) -> np.ndarray:
    """One sketch as f64[t 3], checked."""
    if array.ndim != 2 or array.shape[1] != 3:
        raise Refused("unreadable", f"the sketch has the shape {array.shape}, not (points, 3)")
    if not len(array):
        raise Refused("empty", "the drawing has no points")
    if len(array) >= MOST_POINTS:
        raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
    rows = array.astype(np.float64)
    if not np.isfinite(rows).all():
        raise Refused("not_finite", "an offset is NaN or infinite")
    if not np.isin(rows[:, 2], (0, 1)).all():
        raise Refused("unreadable", "the third column is not 0 or 1 (pen lifted)")
    return rows


def _starts_at_corner(arrays: list[np.ndarray]) -> bool:
    """Whether no sketch leaves the quadrant right of and below the start: see the file's head."""
    for array in arrays:
        try:
            rows = _rows(array)
        except Refused:
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            if (np.cumsum(rows[:, :2], axis=0) < 0).any():
                return False
    return True


def _take(
    gather: Gather,
    report: BadRecords,
    place: int,
    array: np.ndarray,
    from_corner: bool,
    category: str,
) -> None:
    """Take one sketch, or report what is wrong with it."""
    try:
        points = _points(_rows(array), from_corner)
    except Refused as refused:
        report(place, refused.kind, refused.reason)
        return
    gather.add_points(
        points, category=category, key_id=key_of_points(points), recognized=-1, place=place
    )


def _points(rows: np.ndarray, from_corner: bool) -> np.ndarray:
    """Points u8[t 3] of rows f64[t 3]: aligned to the top left, shrunk where larger than 255."""
    if not from_corner and rows[0, :2].any():
        rows = np.concatenate([np.zeros((1, 3)), rows])
    with np.errstate(over="ignore", invalid="ignore"):
        places = np.cumsum(rows[:, :2], axis=0)
        places -= places.min(axis=0)
    extent = places.max()
    if not np.isfinite(extent):
        raise Refused("range", "the offsets add up to more than a number can hold")
    if extent > 255:
        places = places / extent * 255.0
    points = np.zeros((len(rows), 3), np.uint8)
    points[:, :2] = np.rint(places)
    points[:, 2] = rows[:, 2]
    points[-1, 2] = 1  # The last stroke ends with the sketch, whether or not the file says so.
    return points
