"""The first pass over pictures: each file is read, checked and normalised, and kept in a piece.

A piece is two files: `NAME.blobs`, the pictures one after the other, each followed by its contour
map, and, written last, `NAME.json`, without which it does not count.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

import sketchjax
from sketchjax.data.folder.conversion.origin import file_state
from sketchjax.data.folder.conversion.pieces import LISTED
from sketchjax.data.sources.pictures import PHOTO, Item, PictureArchive
from sketchjax.data.sources.pictures.collection import number_of
from sketchjax.data.sources.pictures.contours import canny, contour_of_file
from sketchjax.data.sources.pictures.image import (
    LARGEST,
    doubt_about,
    normal_photo,
    normal_raster,
)
from sketchjax.data.sources.records import Refused
from sketchjax.errors import DataError

_VERSION = 3
AT_ONCE = 500  # pictures of a piece, so that all processes have work
_REPORT = 50


@dataclass(frozen=True)
class Look:
    """What decides the bytes of a picture.

    most_side: a larger picture is scaled down to this longer side, in px.
    contours: "none", "canny", or "files" (the user's own maps).
    contour_sigma: of Canny's smoothing, px.
    """

    most_side: int = 512
    contours: str = "none"
    contour_sigma: float = 2.0


class PicturesFound(msgspec.Struct):
    """What the reading of a piece's pictures found.

    names: of the usable pictures, in the order of the bytes.
    sizes: the bytes of each picture and of its contour map.
    digests: of each picture, a u64; two are the same where the bytes are.
    changes: pictures that are not the source's bytes, by reason.
    doubtful: photos that may show nothing, by what they are.
    bad, bad_listed: as in `Manifest`.
    crc32: of the pictures.
    """

    names: list[str] = []
    sizes: list[tuple[int, int]] = []
    digests: list[int] = []
    changes: dict[str, int] = msgspec.field(default_factory=Counter)
    doubtful: dict[str, list[str]] = msgspec.field(default_factory=dict)
    bad: dict[str, int] = msgspec.field(default_factory=Counter)
    bad_listed: list[dict[str, Any]] = []
    crc32: int = 0


def portions(items: Sequence[Item]) -> Iterator[list[Item]]:
    """The items of one kind and category at a time, 500 at most."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        groups.setdefault((item.kind, item.category), []).append(item)
    for group in groups.values():
        for first in range(0, len(group), AT_ONCE):
            yield group[first : first + AT_ONCE]


def picture_piece_name(items: Sequence[Item], look: Look, skip: bool) -> str:
    """A name that changes with the files (size and time) and with all that decides their piece."""
    digest = hashlib.sha256()
    for item in items:
        paths = [item.path] if item.contour is None else [item.path, item.contour]
        states = [file_state(path) for path in paths]
        digest.update(orjson.dumps([item.name, item.kind, str(item.path.absolute()), states]))
    digest.update(orjson.dumps([look, skip, _VERSION, sketchjax.__version__]))
    return digest.hexdigest()[:32]


def read_pictures(
    items: Sequence[Item],
    source: str,
    base: Path,
    look: Look,
    skip: bool,
    *,
    progress: Callable[[int], None],
) -> None:
    """Read pictures of one kind into a piece.

    items: which.
    source: the name of their source, for messages.
    base: the path of the piece, without suffix.
    look: what decides their bytes.
    skip: whether to continue after one that cannot be used; otherwise the first raises DataError.
    progress: called with the number of pictures since its last call.
    """
    note, half = base.with_suffix(".json"), base.with_suffix(".half")
    note.unlink(missing_ok=True)
    found, archive = PicturesFound(), None
    if items and items[0].place >= 0:
        archive = PictureArchive(items[0].path)
    with base.with_suffix(".blobs").open("wb") as blobs:
        for number, item in enumerate(items, 1):
            try:
                picture, contour = _normal(item, archive, look, found)
            except Refused as refused:
                if not skip:
                    raise DataError(
                        f"{source}/{item.name}: {refused} ({refused.kind}); "
                        "fix or remove it, or skip bad pictures (--on-bad skip)"
                    ) from None
                found.bad[refused.kind] += 1
                place = {"file": f"{source}/{item.name}", "place": None}
                if len(found.bad_listed) < LISTED:
                    found.bad_listed.append(place | {"kind": refused.kind, "reason": str(refused)})
            else:
                found.names.append(item.name)
                found.sizes.append((len(picture), len(contour)))
                found.digests.append(number_of(picture))
                for blob in (picture, contour):
                    found.crc32 = zlib.crc32(blob, found.crc32)
                    blobs.write(blob)
            if number % _REPORT == 0 or number == len(items):
                progress((number - 1) % _REPORT + 1)
    half.write_bytes(msgspec.json.encode(found))
    half.replace(note)


def load_pictures(base: Path) -> PicturesFound | None:
    """What a finished piece holds; None where it must be made."""
    try:
        found = msgspec.json.decode(base.with_suffix(".json").read_bytes(), type=PicturesFound)
        value = 0
        with base.with_suffix(".blobs").open("rb") as file:
            while block := file.read(2**20):
                value = zlib.crc32(block, value)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
    return found if value == found.crc32 else None


def _normal(
    item: Item, archive: PictureArchive | None, look: Look, found: PicturesFound
) -> tuple[bytes, bytes]:
    """The bytes of a picture and of its contour map.  Raises Refused."""
    if archive is not None:
        content = archive.content(item.place)
    else:
        try:
            with item.path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise Refused("unreadable", f"it cannot be read: {error.strerror}") from None
    if item.kind != PHOTO:
        normal, contour = normal_raster(content, look.most_side), b""
    else:
        normal, contour = normal_photo(content, look.most_side), b""
        if doubt := doubt_about(normal.pixels):
            found.doubtful.setdefault(doubt, []).append(item.name)
        if look.contours == "canny":
            contour = canny(normal.pixels, look.contour_sigma)
        elif look.contours == "files":
            if item.contour is None:
                raise Refused("missing", "it has no contour map contour/CATEGORY/NAME.png")
            contour = contour_of_file(item.contour, look.most_side)
    for change in normal.changes:
        found.changes[change] += 1
    return normal.content, contour
