"""Pictures as sources of an index: photos of a folder, and photos or raster sketches of a split."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sketchjax.data.folder import manifest as manifests
from sketchjax.data.folder.pictures import PictureRecord, PictureShards
from sketchjax.data.folder.shards import MEND
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.inputs import SKETCH, part_name
from sketchjax.data.sources import SVG, BadRecord, canonical, wrong_name
from sketchjax.data.sources.finding import files_of, holds_drawings
from sketchjax.data.sources.pictures import PHOTO, Fault, Item, collect, is_pictures
from sketchjax.data.sources.pictures.collection import number_of
from sketchjax.data.sources.pictures.image import EXTENSIONS, normal_photo
from sketchjax.data.sources.records import Refused
from sketchjax.errors import DataError
from sketchjax.index.engine import Photos
from sketchjax.retrieval.outputs import Encoder, Outputs

SIDE = 128  # px of a thumbnail's longer side
_QUALITY = 80  # of its JPEG: about 4 KB
_MOST_SIDE = 4096  # px; as a model takes photos
_PART = 256  # photos that are encoded at once


class PhotoSource:
    """Photos of a folder.

    path: of it.
    photos: in it.
    on_bad: called with each that cannot be read; None: the first one raises DataError.
    """

    def __init__(
        self, path: Path, photos: Sequence[Item], on_bad: Callable[[BadRecord], None] | None
    ):
        self.path, self.name = path, path.resolve().name
        self._photos, self._on_bad = photos, on_bad

    @property
    def key(self) -> str:
        """See `sources.Source`."""
        return str(self.path.resolve())

    @property
    def paths(self) -> Sequence[Path]:
        """The files."""
        return [photo.path for photo in self._photos]

    def count(self) -> int:
        """Photos that can be read. All are, so that bad ones end the work before it begins."""
        return sum(1 for _ in self._read(self._on_bad))

    def parts(self, encoder: Encoder, start: int) -> Iterator[tuple[Photos, Outputs]]:
        """The photos from number `start`, where a part began, with their outputs."""
        encode: Any = encoder  # `find_sources` has seen that it reads photos
        ignored = None if self._on_bad is None else lambda _: None
        reading, done = self._read(ignored), 0
        while part := [*islice(reading, _PART)]:
            if done >= start:
                items, contents, thumbnails = zip(*part, strict=True)
                contours = [item.contour for item in items]
                outputs = encode.picture_outputs(contents, contours if all(contours) else None)
                keys = [number_of(item.name) for item in items]
                named = [(item.name, item.category) for item in items]
                yield _photos(keys, named, thumbnails, done), outputs
            done += len(part)

    def _read(
        self, on_bad: Callable[[BadRecord], None] | None
    ) -> Iterator[tuple[Item, bytes, bytes]]:
        """Each photo that can be read, its file and its thumbnail."""
        for number, photo in enumerate(self._photos):
            try:
                content = photo.path.read_bytes()
                small = thumbnail(content)
            except (OSError, Refused) as error:
                reason = error.strerror or "" if isinstance(error, OSError) else str(error)
                if on_bad is None:
                    raise DataError(
                        f"{photo.path}: {reason}; fix or remove it, or leave bad photos out "
                        "(--on-bad skip)"
                    ) from None
                on_bad(BadRecord(photo.path, number, "unreadable", f"{photo.name}: {reason}"))
                continue
            yield photo, content, small


class PictureShardSource:
    """The photos, or the raster sketches, of a split of a data folder. It may have none.

    kind: `photo` or `raster`.
    """

    def __init__(self, folder: Path, kind: str, split: str):
        self._side = PHOTO if kind == PHOTO else SKETCH
        part = part_name(self._side, split)
        self.path, self.name = folder / manifests.NAME, f"{folder.resolve().name}/{part}"
        self._shards = PictureShards(folder, kind, split)
        self.manifest = self._shards.manifest

    @property
    def key(self) -> str:
        """See `sources.Source`."""
        return f"{self.path.resolve()}:{self.name}"

    @property
    def paths(self) -> Sequence[Path]:
        """The manifest."""
        return [self.path]

    def count(self) -> int:
        """Pictures of the split."""
        return len(self._shards)

    def parts(self, encoder: Encoder, start: int) -> Iterator[tuple[Photos, Outputs]]:
        """See `PhotoSource`."""
        encode: Any = encoder
        categories = self.manifest.categories
        with closing(self._shards) as shards:
            for first in range(start, len(shards), _PART):
                places = np.arange(first, min(first + _PART, len(shards)))
                records = [PictureRecord.decode(blob) for blob in shards.read_bytes(places)]
                small = [self._small(place, each) for place, each in enumerate(records, first)]
                contours = [record.contour for record in records]
                outputs = encode.picture_outputs(
                    [record.picture for record in records],
                    contours if all(contours) else None,
                    side=self._side,
                )
                named = [(record.name, categories[record.label]) for record in records]
                yield _photos([record.id for record in records], named, small, first), outputs

    def _small(self, place: int, record: PictureRecord) -> bytes:
        try:
            return thumbnail(record.picture)
        except Refused as refused:
            where = self._shards.place_of(place)
            raise DataError(f"{where}: {refused}; {MEND}") from None


def find_photos(path: Path) -> tuple[list[Item], list[Fault]]:
    """The photos of a folder, and what else of it cannot be used; none where it has no photos.

    A picture folder (docs/data.md) has them in photo/CATEGORY/. In any other folder they may be at
    any depth, through links as well, and the name of their folder is their category; there must be
    no files of sketches.
    Raises DataError where a folder cannot be read.
    """
    if not path.is_dir():
        return [], []
    if is_pictures(path):
        found = collect(path, SPLITS, {})
        # Those with a line are of its tables, which an index does not need.
        return found.of(PHOTO), [fault for fault in found.faults if fault.place is None]
    files = sorted(files_of(path))
    if any(holds_drawings(file) or file.name.lower().endswith(SVG) for file in files):
        return [], []
    return [_item(path, file) for file in files if file.suffix.lower() in EXTENSIONS], []


def thumbnail(content: bytes) -> bytes:
    """A JPEG file of at most 128 px of a photo's.  Raises Refused where it is no photo."""
    image = normal_photo(content, _MOST_SIDE).pixels.copy()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    small = io.BytesIO()
    image.save(small, "JPEG", quality=_QUALITY, optimize=True)
    return small.getvalue()


def _item(root: Path, file: Path) -> Item:
    name = file.relative_to(root).as_posix()
    category = canonical(os.path.basename(os.path.dirname(os.path.abspath(file))))
    if reason := wrong_name(category):
        raise DataError(f"{file}: its folder's name, the category, {reason}; rename the folder")
    return Item(name, PHOTO, category, file)


def _photos(
    keys: Sequence[int],
    named: Sequence[tuple[str, str]],
    thumbnails: Sequence[bytes],
    first: int,
) -> Photos:
    """Photos with these ids, names and categories; `first` is the place of the first one."""
    count = len(keys)
    return Photos(
        points=np.zeros((0, 3), np.uint8),
        offsets=np.zeros(count + 1, np.int64),
        categories=[category for _, category in named],
        key_ids=np.array(keys, np.uint64),
        recognized=np.full(count, -1, np.int8),
        places=np.arange(first, first + count),
        thumbnails=thumbnails,
        names=[name for name, _ in named],
    )
