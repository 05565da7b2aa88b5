"""Check a data folder against its manifest, byte by byte and record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from sketchjax.data.folder.hashing import keyed_hash
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.record import Records, WrongRecordError, decode, wrong_records
from sketchjax.data.folder.shards import open_shard
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.folder.verify_pictures import wrong_pictures
from sketchjax.data.folder.verify_totals import Totals
from sketchjax.errors import DataError
from sketchjax.files import sha256

_AT_ONCE = 4_096
_LISTED = 100
_LISTED_PER_SHARD = 10


def verify(folder: str | Path, *, progress: Callable[[str], None] = lambda name: None) -> Manifest:
    """Check every shard's sha256 and every record of a data folder; returns its manifest.

    Each picture must decode and be where its split's index lists it (`verify_pictures`). Each
    record of strokes must pass `record.wrong_records` and follow the order of its shard, and all
    `key_id`s must differ. The totals over the records (sketches by split, category and length,
    scale of offsets, quantiles of entropy) must be the manifest's, and the manifest must be
    consistent.
    progress: called with the name of each shard.
    Raises DataError with the findings, each record by its shard and index there. Up to 10 per shard
    and 100 in all are listed; the rest are counted.
    """
    manifest = Manifest.load(folder)
    findings = [(line, 1) for line in contradictions(manifest)]
    totals, sound = Totals(manifest), True
    for split, shards in manifest.shards.items():
        for number, shard in enumerate(shards):
            progress(shard.name)
            found = _first(_check_shard(Path(folder), split, number, manifest, totals), shard.name)
            findings += found
            sound &= not found
    for name, wrong in wrong_pictures(Path(folder), manifest, progress):
        findings += _first(wrong, name)
    if sound:  # otherwise the missing records would be reported a second time, as wrong totals
        findings += [(line, 1) for line in totals.wrong()]
    if findings:
        lines = [line for line, _ in findings[:_LISTED]]
        if more := sum(number for _, number in findings[_LISTED:]):
            lines.append(f"and {more} more")
        raise DataError(
            f"{folder} is damaged, {sum(number for _, number in findings)} findings; delete it and "
            "convert the drawings again:\n" + "\n".join(f"  - {line}" for line in lines)
        )
    return manifest


def _first(lines: Iterable[str], where: str) -> list[tuple[str, int]]:
    """The first findings of a shard, then the number of the others: (line, findings it is for)."""
    lines = iter(lines)
    found = [(line, 1) for line in islice(lines, _LISTED_PER_SHARD)]
    more = sum(1 for _ in lines)
    return [*found, (f"and {more} more in {where}", more)] if more else found


def contradictions(manifest: Manifest) -> Iterator[str]:
    """Where a manifest contradicts itself."""
    names = manifest.categories
    if names != sorted(names):
        yield "the categories are not in order"
    yield from (f"category {n!r} occurs {k} times" for n, k in Counter(names).items() if k > 1)
    if manifest.counts_by_category.keys() != set(names):
        yield "counts_by_category has other categories than `categories`"
    for name, low, high in zip(names, manifest.entropy_low, manifest.entropy_high, strict=True):
        if low > high:
            yield f"entropy_low of {name!r} is above its entropy_high"
    for split in SPLITS:
        shards, stated = manifest.shards[split], manifest.counts[split]
        for what, number in (
            ("the shards have", sum(shard.records for shard in shards)),
            ("counts_by_category", sum(n[split] for n in manifest.counts_by_category.values())),
            ("lengths", sum(manifest.lengths[split].values())),
        ):
            if number != stated:
                yield f"counts has {stated} {split} sketches, {what} {number}"
        for number, shard in enumerate(shards):
            wanted = f"{split}-{number:05d}-of-{len(shards):05d}.arrayrecord"
            if shard.name != wanted:
                yield f"{shard.name} is listed in the place of {wanted}"


def _check_shard(
    folder: Path, split: str, number: int, manifest: Manifest, totals: Totals
) -> Iterator[str]:
    """Yield what is wrong with a shard; its sound records are added to the totals."""
    shards = manifest.shards[split]
    shard = shards[number]
    try:
        size = (folder / shard.name).stat().st_size
        if size != shard.bytes:
            yield f"{shard.name} has {size} bytes, the manifest says {shard.bytes}"
        elif sha256(folder / shard.name) != shard.sha256:
            yield f"{shard.name}: its sha256 is not the manifest's"
        reader = open_shard(folder / shard.name)
        records = reader.num_records()
    except FileNotFoundError:
        yield f"{shard.name} is missing"
        return
    except (RuntimeError, ValueError, OSError) as error:
        yield f"{shard.name} cannot be opened: {_line(error)}"
        return
    if records != shard.records:
        yield f"{shard.name} has {records} records, the manifest says {shard.records}"
    seed, last = manifest.settings.get("seed"), np.uint64(0)
    for first in range(0, records, _AT_ONCE):
        found = yield from _read(reader, shard.name, first, min(first + _AT_ONCE, records))
        wrong = wrong_records(found, len(manifest.categories))
        yield from (f"{shard.name}, record {found.index[p]}: {r}" for p, r in wrong.items())
        if wrong:
            continue
        totals.add(split, found)
        if type(seed) is int and len(found.index):
            hashes = keyed_hash(found.key_ids, seed)
            for place, reason in _misplaced(hashes, last, number, len(shards)):
                yield f"{shard.name}, record {found.index[place]}: {reason}"
            last = hashes[-1]
    with suppress(RuntimeError):  # damage that was reported above
        reader.close()


def _misplaced(
    hashes: np.ndarray, last: np.uint64, shard: int, shards: int
) -> Iterator[tuple[int, str]]:
    """Records that the conversion would have put elsewhere: their place and the reason.

    hashes: u64[n], of consecutive records of a shard; they choose the shard and rise within it.
    last: the hash before them.
    """
    for place in np.flatnonzero(hashes % np.uint64(shards) != shard).tolist():
        yield place, "it belongs in another shard"
    for place in np.flatnonzero(np.concatenate([[last], hashes[:-1]]) > hashes).tolist():
        yield place, "it is out of order"


def _read(
    reader: ArrayRecordReader, name: str, first: int, end: int
) -> Generator[str, None, Records]:
    """Decode records first to end; yields what cannot be read, returns the others."""
    indices = list(range(first, end))
    try:
        records = decode(reader.read(indices))
    except (RuntimeError, WrongRecordError):
        # At least one is damaged: read them one by one to find out which.
        blobs, indices = [], []
        for index in range(first, end):
            try:
                (blob,) = reader.read([index])
                decode([blob])
            except RuntimeError as error:
                yield f"{name}, record {index} cannot be read: {_line(error)}"
            except WrongRecordError as error:
                yield f"{name}, record {index}: {error.reason}"
            else:
                blobs.append(blob)
                indices.append(index)
        records = decode(blobs)
    records.index[:] = indices
    return records


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else repr(error)
