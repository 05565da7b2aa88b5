"""The pictures of a data folder: photos, and sketches that come as pixels.

A record is a header of 26 bytes, the picture's name, the bytes of its JPEG or PNG file, and those
of its contour map, a PNG, where there is one; little-endian:

    bytes 0-7    id        u64, a hash of the picture's path in its source
    bytes 8-15   instance  i64, the number of the photo that it is or draws; -1 where unknown
    bytes 16-17  label     u16, an index into the manifest's categories
    bytes 18-19  name      u16, the bytes of its path in the source, as UTF-8
    bytes 20-23  picture   u32, the bytes of the picture; the rest of the record is the contour
    bytes 24-25  zero

Pictures stay compressed until they are read: Sketchy's 73,002 photos are about 1 GB like this, and
11 GB as pixels of 224 by 224.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sketchjax.data.folder.index import Index, read_index
from sketchjax.data.folder.manifest import KINDS, Manifest
from sketchjax.data.folder.shards import MEND, ShardFiles, check_split
from sketchjax.data.inputs import Pictures
from sketchjax.data.workers import cores
from sketchjax.errors import DataError

HEADER = np.dtype(
    [
        ("id", "<u8"),
        ("instance", "<i8"),
        ("label", "<u2"),
        ("name", "<u2"),
        ("picture", "<u4"),
        ("zero", "<u2"),
    ]
)
FORMATS = ("JPEG", "PNG")  # of a record's pictures
_MODES = {"photo": "RGB", "raster": "L"}


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """One picture of a data folder.

    id: u64; instance: i64, -1 where unknown; label: u16; name: its path in the source.
    picture: the bytes of a JPEG or PNG file; contour: those of a PNG, empty where there is none.
    """

    id: int
    instance: int
    label: int
    name: str
    picture: bytes
    contour: bytes = b""

    def encode(self) -> bytes:
        """The bytes of the record."""
        name = self.name.encode()
        values = (self.id, self.instance, self.label, len(name), len(self.picture), 0)
        header = np.array([values], HEADER).tobytes()
        return b"".join((header, name, self.picture, self.contour))

    def without_bytes(self) -> PictureRecord:
        """The same without picture and contour."""
        return PictureRecord(self.id, self.instance, self.label, self.name, b"")

    @classmethod
    def decode(cls, blob: bytes) -> PictureRecord:
        """The record of these bytes.  Raises DataError where they are none."""
        if len(blob) < HEADER.itemsize:
            raise DataError(f"it has {len(blob)} bytes, fewer than a header")
        header = np.frombuffer(blob, HEADER, 1)[0]
        start = HEADER.itemsize + int(header["name"])
        end = start + int(header["picture"])
        if end > len(blob) or start == end or header["zero"] or header["instance"] < -1:
            raise DataError(f"its header does not fit its {len(blob)} bytes")
        try:
            name = blob[HEADER.itemsize : start].decode()
        except UnicodeDecodeError:
            raise DataError("its name is not UTF-8") from None
        return cls(
            int(header["id"]),
            int(header["instance"]),
            int(header["label"]),
            name,
            blob[start:end],
            blob[end:],
        )


class PictureShards(ShardFiles):
    """The pictures of one kind and split of a data folder, by random access.

    kind: "photo" or "raster" (sketches that come as pixels).
    A split without such pictures has length 0.
    Raises DataError if the folder has no manifest or a shard does not match it.
    """

    def __init__(self, folder: str | Path, kind: str, split: str):
        if kind not in KINDS:
            raise DataError(f"{kind!r} is not a kind of pictures; the kinds are {', '.join(KINDS)}")
        check_split(split)
        self.kind, self.split = kind, split
        self.manifest = Manifest.load(folder)
        self._set = self.manifest.pictures.get(kind)
        super().__init__(folder, self._set.shards[split] if self._set else [])

    @cached_property
    def index(self) -> Index:
        """Ids, labels, instances and names of all pictures, in the order of the split."""
        if not self._set or self.split not in self._set.indexes:
            none = np.zeros(0, np.int64)
            return Index(none.astype(np.uint64), none.astype(np.int32), none, [])
        return read_index(self.folder, self._set.indexes[self.split], len(self))

    @property
    def ids(self) -> np.ndarray:
        """What identifies each picture, u64[n]: a hash of its path in the source."""
        return self.index.ids

    @property
    def labels(self) -> np.ndarray:
        """Indices into the manifest's categories, i32[n]."""
        return self.index.labels

    @property
    def instances(self) -> np.ndarray:
        """The number of the photo that each picture is or draws, i64[n]; -1 where unknown."""
        return self.index.instances

    @property
    def names(self) -> list[str]:
        """The path of each picture in its source."""
        return self.index.names

    def read(
        self, records: np.ndarray, size: int, contours: bool = False, fit: bool = False
    ) -> Pictures:
        """The pictures at `records` i64[b] of the split, in that order, decoded and resized.

        Each is scaled to size × size px, whatever its shape, as Sketchy's own pictures are. Threads
        share the work: Pillow decodes and resizes without the interpreter's lock.
        records: i64[b].
        size: s, px.
        contours: whether to read the contour maps too.
        fit: whether to cut raster sketches to their ink (`cut_to_ink`).
        Returns pixels u8[b s s 3] of photos, u8[b s s 1] of raster sketches.
        Raises IndexError for an index out of range, and DataError, with the shard and the record's
        place in it, where a picture is damaged or has no contour map.
        """
        records = np.asarray(records, np.int64)
        channels = 3 if self.kind == "photo" else 1
        pixels = np.empty((len(records), size, size, channels), np.uint8)
        contour = np.empty((len(records), size, size, 1), np.uint8) if contours else None
        blobs = self.read_bytes(records)

        def fill(place: int) -> None:
            try:
                record = PictureRecord.decode(blobs[place])
                pixels[place] = decode_picture(record.picture, size, _MODES[self.kind], fit)
                if contour is not None:
                    contour[place] = decode_contour(record.contour, size)
            except DataError as error:
                where = self.place_of(int(records[place]))
                raise DataError(f"{where}: {error}; {MEND}") from error

        _for_each(fill, len(records))
        return Pictures(pixels, contour)


def decode_picture(content: bytes, size: int, mode: str, fit: bool = False) -> np.ndarray:
    """Decode a JPEG or PNG file and scale it to u8[s s c]; mode "RGB": c = 3, mode "L": c = 1.

    fit: whether to cut it to its ink first.
    A JPEG that is much larger is decoded at 1/2, 1/4 or 1/8 of its size, and resized once; one that
    is cut to its ink, at its own size.
    Raises DataError where it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if not fit:  # the ink may be a small part of the picture
                image.draft(mode, (size, size))
            return scaled(image, size, mode, fit)
    # Whatever a damaged field leads to: Pillow raises nine kinds of errors for hostile files.
    except Exception as error:
        raise DataError(f"its picture cannot be decoded ({error})") from error


def scaled(image: Image.Image, size: int, mode: str, fit: bool = False) -> np.ndarray:
    """An image in `mode`, as u8[s s c]; fit: whether to cut it to its ink first."""
    if image.mode != mode:
        image = image.convert(mode)
    if fit:
        image = cut_to_ink(image)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(size, size, -1)


def cut_to_ink(image: Image.Image) -> Image.Image:
    """The square around the ink of a sketch, with a margin, and its darkest line black.

    Ink is what is at least half as dark as the darkest pixel. The margin on the longer side is
    1/16 of the ink's extent, as far as the canvas goes and beyond. A blank picture stays as it is.
    image: mode L, dark on white.
    """
    ink = ImageOps.invert(image)
    darkest = int(np.asarray(ink).max())
    box = ink.point([255 * (2 * value >= darkest) for value in range(256)]).getbbox()
    if not darkest or box is None:
        return image
    left, upper, right, lower = box
    side = max(right - left, lower - upper)
    side += 2 * -(-side // 16)
    left, upper = (left + right - side) // 2, (upper + lower - side) // 2
    # Beyond the canvas Pillow fills with 0, which is white here.
    ink = ink.crop((left, upper, left + side, upper + side))
    return ink.point([255 - min(255, 255 * value // darkest) for value in range(256)])


def decode_contour(content: bytes, size: int) -> np.ndarray:
    """Decode a contour map and scale it to u8[s s 1].  Raises DataError where there is none."""
    if not content:
        raise DataError("it has no contour map (convert with --contours canny or files)")
    return decode_picture(content, size, "L")


def _for_each(work: Callable[[int], None], number: int) -> None:
    """Call work(0) to work(number - 1), on all cores where that is worth the threads."""
    threads = min(cores(), number // 4)
    if threads < 2:
        for place in range(number):
            work(place)
        return
    with ThreadPoolExecutor(threads) as pool:
        # Every thread takes every threads-th picture: one task each costs less than one a picture.
        list(pool.map(partial(_stride, work, number, threads), range(threads)))


def _stride(work: Callable[[int], None], number: int, step: int, first: int) -> None:
    for place in range(first, number, step):
        work(place)
