"""sketch-rnn's .npz: arrays train, valid and test of sketches as rows of numbers (see `rows`)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.archive import member, open_archive
from sketchjax.data.sources.npy import load_arrays
from sketchjax.data.sources.records import Gather, Refused, Source, key_of_points
from sketchjax.data.sources.rows import LOOK_AT, RowForm, judge_rows, points_of_rows
from sketchjax.data.sources.stream import written
from sketchjax.errors import DataError

PARTS = ("train", "valid", "test")
# Our own files say so in the archive's comment, so that nothing about them has to be judged.
_OURS = b"sketchjax: stroke-3 in units of 1/255, from the first point"


def read_stroke3(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """Stream the sketches of an open .npz file: train, then valid, then test, one array in memory.

    Places count through the three. `key_id`s are derived from the points; `recognized` is -1.
    Raises DataError where the file is not sketch-rnn's, its rows do not mean what their form says,
    or it asks to run something.
    """
    try:
        with open_archive(file) as archive:
            form = RowForm(scaled=False) if archive.comment == _OURS else None
            yield from read_arrays(_members(archive, source), source, form)
    except Refused as refused:
        source.bad(0, refused.kind, refused.reason)


def read_arrays(
    members: Iterable[tuple[str, bytes | Refused]], source: Source, form: RowForm | None = None
) -> Iterator[Sketches]:
    """Stream the sketches of arrays; one that cannot be read is a bad record of its own.

    members: name and bytes of an .npy each, or what is wrong with it.
    form: how the rows are read; judged where it is None.
    """
    gather = Gather()
    place = 0
    try:
        for name, data in members:
            try:
                arrays = _arrays(name, data, source.path)
            except Refused as refused:
                source.bad(place, refused.kind, refused.reason)
                place += 1
                continue
            if form is None and arrays:
                form = _judged(arrays[:LOOK_AT], source)
            for place, array in enumerate(arrays, place):  # noqa: B020
                _take(gather, source, place, array, form or RowForm())
                if len(gather) == source.chunk:
                    yield gather.sketches()
            place += bool(arrays)
    except OSError as error:
        source.bad(place, "unreadable", f"the disk gave an error: {error.strerror}")
    if len(gather):
        yield gather.sketches()


def write_stroke3(
    path: Path | str,
    train: Sketches,
    valid: Sketches | None = None,
    test: Sketches | None = None,
) -> None:
    """Write sketches as a sketch-rnn .npz in stroke-3 form, whole or not at all.

    The form has no place for category, key_id and recognized, nor for where a sketch is on the
    square. Each sketch starts with a row of zero offsets. Raises DiskError where the file cannot be
    written.
    """
    with written(Path(path)) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = _OURS
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
            # By name only, the entry would carry the time of writing.
            entry = zipfile.ZipInfo(f"{part}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED)


def _members(archive: zipfile.ZipFile, source: Source) -> Iterator[tuple[str, bytes | Refused]]:
    """Name and content of each part that is there; arrays of other names go to the notes."""
    held, path = archive.namelist(), source.path
    names = [f"{part}.npy" for part in PARTS if f"{part}.npy" in held]
    if not names:
        others = ", ".join(f"{name.removesuffix('.npy')!r}"[:30] for name in held[:5]) or "nothing"
        raise DataError(
            f"{path} has no array train, valid or test, as sketch-rnn's files do; it has {others}"
        )
    if others := sorted({*held} - {*names}):
        listed = ", ".join(name.removesuffix(".npy")[:30] for name in others[:5])
        source.notes.add(f"only the arrays {', '.join(PARTS)} are read, not {listed}")
    for name in names:
        try:
            yield name, member(archive, name)
        except Refused as refused:
            yield name, refused


def _arrays(name: str, data: bytes | Refused, path: Path) -> list[np.ndarray | None]:
    if isinstance(data, Refused):
        raise data
    try:
        return load_arrays(data)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except ValueError as error:
        raise Refused("unreadable", f"{name} holds {error}") from None


def _judged(arrays: Sequence[np.ndarray | None], source: Source) -> RowForm:
    try:
        form, notes = judge_rows([array for array in arrays if array is not None])
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from None
    for note in notes:
        source.notes.add(note)
    return form


def _take(
    gather: Gather, source: Source, place: int, array: np.ndarray | None, form: RowForm
) -> None:
    """Add one sketch, or report what is wrong with it."""
    try:
        if array is None:
            raise Refused("unreadable", "the sketch is not an array of numbers")
        points = points_of_rows(array, form)
    except Refused as refused:
        source.bad(place, refused.kind, refused.reason)
        return
    gather.add_points(
        points,
        category=source.category_of_file(),
        key_id=key_of_points(points),
        recognized=-1,
        place=place,
    )
