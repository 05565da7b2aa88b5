"""Check the pictures of a data folder, and the indexes of its strokes, against its manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sketchjax.data.folder.hashing import keyed_hash
from sketchjax.data.folder.index import Index, read_index
from sketchjax.data.folder.manifest import Manifest, PictureSet, Shard
from sketchjax.data.folder.pictures import PictureRecord, decode_contour, decode_picture
from sketchjax.data.folder.shards import check_size, open_shard
from sketchjax.data.folder.splits import SPLITS
from sketchjax.errors import DataError
from sketchjax.files import sha256

_AT_ONCE = 256
_SIDE = 8  # px: enough to decode every byte of a PNG, and a JPEG's coefficients


def wrong_pictures(
    folder: Path, manifest: Manifest, progress: Callable[[str], None]
) -> Iterator[tuple[str, Iterator[str]]]:
    """The name of each file of pictures, and what is wrong with it."""
    for kind, pictures in manifest.pictures.items():
        yield f"pictures.{kind}", _contradictions(kind, pictures, manifest)
        for split in SPLITS:
            found: list[PictureRecord] = []
            for number, shard in enumerate(pictures.shards[split]):
                progress(shard.name)
                yield shard.name, _wrong_shard(folder, kind, split, number, manifest, found)
            if split in pictures.indexes:
                file = pictures.indexes[split]
                yield file.name, _wrong_index(folder, split, pictures, manifest, found)
    for split, file in manifest.instances.items():
        yield file.name, _wrong_instances(folder, split, manifest)


def _contradictions(kind: str, pictures: PictureSet, manifest: Manifest) -> Iterator[str]:
    """Where the manifest contradicts itself about pictures."""
    if pictures.counts_by_category.keys() != set(manifest.categories):
        yield f"pictures.{kind}.counts_by_category has other categories than `categories`"
    for split in SPLITS:
        shards, stated = pictures.shards[split], pictures.counts[split]
        by_category = sum(counts[split] for counts in pictures.counts_by_category.values())
        for what, number in (
            ("the shards have", sum(shard.records for shard in shards)),
            ("counts_by_category", by_category),
        ):
            if number != stated:
                yield f"pictures.{kind}.counts has {stated} for {split}, {what} {number}"
        for number, shard in enumerate(shards):
            wanted = f"{kind}-{split}-{number:05d}-of-{len(shards):05d}.arrayrecord"
            if shard.name != wanted:
                yield f"{shard.name} is listed in the place of {wanted}"


def _wrong_shard(
    folder: Path,
    kind: str,
    split: str,
    number: int,
    manifest: Manifest,
    found: list[PictureRecord],
) -> Iterator[str]:
    """Yield what is wrong with a shard; its records without their bytes are added to `found`."""
    shards = manifest.pictures[kind].shards[split]  # type: ignore[index]
    shard = shards[number]
    try:
        check_size(folder, shard)
        if sha256(folder / shard.name) != shard.sha256:
            yield f"{shard.name}: its sha256 is not the manifest's"
        reader = open_shard(folder / shard.name)
    except (DataError, OSError, RuntimeError, ValueError) as error:
        yield f"{shard.name}: {str(error).splitlines()[0][:200]}"
        return
    if reader.num_records() != shard.records:
        yield f"{shard.name} has {reader.num_records()} records, the manifest says {shard.records}"
    own: list[PictureRecord] = []
    for first in range(0, reader.num_records(), _AT_ONCE):
        for place in range(first, min(first + _AT_ONCE, reader.num_records())):
            try:
                record = PictureRecord.decode(reader.read([place])[0])
                decode_picture(record.picture, _SIDE, "RGB" if kind == "photo" else "L")
                if record.contour:
                    decode_contour(record.contour, _SIDE)
                if record.label >= len(manifest.categories):
                    raise DataError(f"label {record.label}, but there are fewer categories")
            except (DataError, RuntimeError) as error:
                yield f"{shard.name}, record {place}: {str(error).splitlines()[0][:200]}"
            else:
                own.append(record.without_bytes())
    found += own
    yield from _misplaced(own, number, shards, manifest)


def _misplaced(
    records: list[PictureRecord], number: int, shards: list[Shard], manifest: Manifest
) -> Iterator[str]:
    """Records that the conversion would have put elsewhere."""
    seed = manifest.settings.get("seed")
    if type(seed) is not int or not records:
        return
    hashes = keyed_hash(np.array([record.id for record in records], np.uint64), seed)
    name = shards[number].name
    for place in np.flatnonzero(hashes % np.uint64(len(shards)) != number).tolist():
        yield f"{name}: {records[place].name} belongs in another shard"
    for place in np.flatnonzero(hashes[1:] <= hashes[:-1]).tolist():
        yield f"{name}: {records[place + 1].name} is out of order"


def _wrong_index(
    folder: Path,
    split: str,
    pictures: PictureSet,
    manifest: Manifest,
    found: list[PictureRecord],
) -> Iterator[str]:
    """Where the index of a split is not what its records say, nor their counts the manifest's."""
    file = pictures.indexes[split]
    try:
        index = read_index(folder, file, pictures.counts[split])
    except DataError as error:
        yield str(error)
        return
    if len(found) != len(index):
        return  # records that cannot be read were reported
    for place, (record, row) in enumerate(zip(found, _rows(index), strict=True)):
        if (record.id, record.label, record.instance, record.name) != row:
            yield f"{file.name} does not list {record.name} as record {place}"
    counts = Counter(manifest.categories[record.label] for record in found)
    for name, stated in pictures.counts_by_category.items():
        if counts[name] != stated[split]:
            yield f"{counts[name]} {split} pictures of {name}, the manifest says {stated[split]}"


def _wrong_instances(folder: Path, split: str, manifest: Manifest) -> Iterator[str]:
    """Where the index of a split of strokes is damaged."""
    try:
        index = read_index(folder, manifest.instances[split], manifest.counts[split])
    except (DataError, KeyError) as error:
        yield str(error)
        return
    if len(index) and not 0 <= index.labels.min() <= index.labels.max() < len(manifest.categories):
        yield f"{manifest.instances[split].name} has a label that is not a category's"


def _rows(index: Index) -> Iterator[tuple[int, int, int, str]]:
    arrays = (index.ids.tolist(), index.labels.tolist(), index.instances.tolist(), index.names)
    return zip(*arrays, strict=True)
