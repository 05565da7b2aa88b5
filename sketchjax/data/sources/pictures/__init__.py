"""Photos, and sketches of them: folders, archives and known sets, read as a `Collection`."""

from __future__ import annotations

from pathlib import Path

from sketchjax.data.sources.pictures.archive import PictureArchive, is_picture_archive, read_archive
from sketchjax.data.sources.pictures.collection import (
    PHOTO,
    RASTER,
    STROKES,
    Collection,
    Fault,
    Item,
)
from sketchjax.data.sources.pictures.known_sets import known_set, read_known
from sketchjax.data.sources.pictures.layout import is_picture_folder, read_folder

__all__ = [
    "PHOTO",
    "RASTER",
    "STROKES",
    "Collection",
    "Fault",
    "Item",
    "PictureArchive",
    "collect",
    "is_pictures",
]


def is_pictures(path: Path) -> bool:
    """Whether a source is one of pictures, not of sketch files."""
    if path.is_dir():
        return known_set(path) is not None or is_picture_folder(path)
    return is_picture_archive(path)


def collect(path: Path, splits: tuple[str, ...], names: dict[str, str]) -> Collection:
    """What a source of pictures holds.

    splits: the names of splits that a source may use.
    names: categories that are to have another name.
    Raises DataError where it cannot be read.
    """
    if not path.is_dir():
        return read_archive(path, splits, names)
    known = known_set(path)
    return read_known(path, known, splits, names) if known else read_folder(path, splits, names)
