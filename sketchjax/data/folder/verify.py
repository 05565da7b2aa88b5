"""Check a data folder against its manifest, byte by byte and record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from sketchjax.data.folder.manifest import Manifest, Shard
from sketchjax.data.folder.manifest_rules import shown
from sketchjax.data.folder.record import Records, WrongRecordError, decode, wrong_records
from sketchjax.data.folder.shards import open_shard
from sketchjax.data.folder.splits import SPLITS, keyed_hash
from sketchjax.data.folder.verify_totals import Totals
from sketchjax.errors import DataError
from sketchjax.files import sha256

_AT_ONCE = 4_096
_LISTED = 100
_LISTED_OF_A_SHARD = 10


def verify(folder: str | Path, *, progress: Callable[[str], None] = lambda name: None) -> Manifest:
    """Check every shard's sha256 and every record of a data folder; returns its manifest.

    A record must be what `record.wrong_records` says, and stand in the order of its shard. All
    `key_id`s differ. What the records add up to (sketches by split, category and length, scale of
    offsets, quantiles of entropy) must be the manifest's, and the manifest must not contradict
    itself. progress is called with each shard's name.
    Raises DataError with all findings, a record by its shard and index there; 10 of a shard and 100
    in all are listed, the rest counted.
    """
    manifest = Manifest.load(folder)
    findings = Findings()
    findings.add(contradictions(manifest))
    totals, whole = Totals(manifest), True
    for split, shards in manifest.shards.items():
        for number, shard in enumerate(shards):
            progress(shard.name)
            own = Findings(_LISTED_OF_A_SHARD, f" in {shard.name}")
            order = _Order(manifest, number, len(shards))
            for records in _checked(Path(folder), shard, len(manifest.categories), own):
                own.add(f"{shard.name}, record {place}: {r}" for place, r in order.wrong(records))
                totals.add(split, records)
            findings.join(own)
            whole &= not own.number
    if whole:  # else what is missing would be told again as sums that are short
        findings.add(totals.wrong())
    if findings.number:
        raise DataError(
            f"{folder} is damaged, {findings.number} findings; delete it and convert the drawings "
            f"again:\n{findings}"
        )
    return manifest


def contradictions(manifest: Manifest) -> Iterator[str]:
    """Where a manifest of right fields says two things of one."""
    names = manifest.categories
    if names != sorted(names):
        yield "the categories are not in order"
    yield from (f"category {shown(n)} stands twice" for n, k in Counter(names).items() if k > 1)
    if manifest.counts_by_category.keys() != set(names):
        yield "counts_by_category has other categories than `categories`"
    for name, low, high in zip(names, manifest.entropy_low, manifest.entropy_high, strict=True):
        if low > high:
            yield f"entropy_low of {shown(name)} is above its entropy_high"
    for split in SPLITS:
        stated = manifest.counts[split]
        for what, number in (
            ("the shards", sum(shard.records for shard in manifest.shards[split])),
            ("counts_by_category", sum(n[split] for n in manifest.counts_by_category.values())),
            ("lengths", sum(manifest.lengths[split].values())),
        ):
            if number != stated:
                yield f"counts has {stated} {split} sketches, {what} {number}"
        yield from _misplaced(split, [shard.name for shard in manifest.shards[split]])


def _misplaced(split: str, found: list[str]) -> Iterator[str]:
    """Shards that are not where their names say."""
    for number, name in enumerate(found):
        wanted = f"{split}-{number:05d}-of-{len(found):05d}.arrayrecord"
        if name != wanted:
            yield f"{name} stands in the place of {wanted}"


class Findings:
    """What is wrong, one line each: the first `most` listed, all counted."""

    def __init__(self, most: int = _LISTED, where: str = ""):
        self.lines: list[str] = []
        self.number = 0
        self._most, self._where = most, where

    def add(self, lines: Iterable[str]) -> None:
        """Note findings."""
        for line in lines:
            self.number += 1
            if self.number <= self._most:
                self.lines.append(line)

    def join(self, other: Findings) -> None:
        """Note the findings of a part, with the number of those that it does not list."""
        self.add(other.lines)
        if other.number > len(other.lines):
            self.add([f"and {other.number - len(other.lines)} more{other._where}"])
            self.number += other.number - len(other.lines) - 1

    def __str__(self) -> str:
        more = self.number - len(self.lines)
        rest = [f"and {more} more"] if more and len(self.lines) == self._most else []
        return "\n".join(f"  - {line}" for line in (*self.lines, *rest))


class _Order:
    """The order of a shard: its records' keyed hashes rise, and all fall to this shard."""

    def __init__(self, manifest: Manifest, shard: int, shards: int):
        seed = manifest.settings.get("seed")
        self._seed = seed if type(seed) is int else None
        self._shard, self._shards = shard, shards
        self._last = np.uint64(0)

    def wrong(self, records: Records) -> Iterator[tuple[int, str]]:
        """Index and reason of the records that stand elsewhere than the conversion put them."""
        if self._seed is None or not len(records.key_ids):
            return
        hashes = keyed_hash(records.key_ids, self._seed)
        strangers = hashes % np.uint64(self._shards) != self._shard
        for place in np.flatnonzero(strangers).tolist():
            yield int(records.index[place]), "it belongs to another shard"
        for place in np.flatnonzero(np.concatenate([[self._last], hashes[:-1]]) > hashes).tolist():
            yield int(records.index[place]), "it does not stand in the conversion's order"
        self._last = hashes[-1]


def _checked(folder: Path, shard: Shard, classes: int, findings: Findings) -> Iterator[Records]:
    """The records of a shard that pass; what does not is added to the findings."""
    path = folder / shard.name
    try:
        if path.stat().st_size != shard.bytes:
            size = path.stat().st_size
            findings.add([f"{shard.name} has {size} bytes, the manifest says {shard.bytes}"])
        elif sha256(path) != shard.sha256:
            findings.add([f"{shard.name}: its sha256 is not the manifest's"])
        reader = open_shard(path)
        number = reader.num_records()
    except FileNotFoundError:
        findings.add([f"{shard.name} is missing"])
        return
    except (RuntimeError, ValueError, OSError) as error:
        findings.add([f"{shard.name} cannot be opened: {_line(error)}"])
        return
    if number != shard.records:
        findings.add([f"{shard.name} has {number} records, the manifest says {shard.records}"])
    for first in range(0, number, _AT_ONCE):
        records = _read(reader, shard.name, first, min(first + _AT_ONCE, number), findings)
        wrong = wrong_records(records, classes)
        findings.add(f"{shard.name}, record {records.index[p]}: {r}" for p, r in wrong.items())
        if not wrong:
            yield records
    with suppress(RuntimeError):  # damage met before, told again
        reader.close()


def _read(
    reader: ArrayRecordReader, name: str, first: int, end: int, findings: Findings
) -> Records:
    """Decode records first to end; those that cannot be read are added to the findings."""
    indices = list(range(first, end))
    try:
        blobs = reader.read(indices)
        records = decode(blobs)
    except (RuntimeError, WrongRecordError):
        # Something in here is wrong: one by one, to say which.
        blobs, indices = [], []
        for index in range(first, end):
            try:
                blob = reader.read([index])
                decode(blob)
            except RuntimeError as error:
                findings.add([f"{name}, record {index} cannot be read: {_line(error)}"])
            except WrongRecordError as error:
                findings.add([f"{name}, record {index}: {error.reason}"])
            else:
                blobs += blob
                indices.append(index)
        records = decode(blobs)
    records.index[:] = indices
    return records


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else repr(error)
