"""Check a data folder against its manifest, byte by byte and record by record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from sketchjax.data.manifest import Manifest, Shard
from sketchjax.data.shards import Records, decode, open_shard
from sketchjax.errors import DataError
from sketchjax.files import sha256

_AT_ONCE = 4_096
_SHOWN = 20


def verify(folder: str | Path, *, progress: Callable[[str], None] = lambda name: None) -> Manifest:
    """Check every shard's sha256 and every record of a data folder; returns its manifest.

    A record must decode, have a label among the categories, at least one point, marks of 0 or 1
    with the last point ending a stroke, an entropy within 0 to 1, and a `key_id` of its own; the
    numbers by split and category must be the manifest's. progress is called with each shard's name.
    Raises DataError that names the shard and index of what is wrong, 20 findings at most.
    """
    manifest = Manifest.load(folder)
    findings: list[str] = []
    counts = {name: Counter[str]() for name in manifest.categories}
    key_ids = []
    for split, shards in manifest.shards.items():
        for shard in shards:
            progress(shard.name)
            for records in _checked(Path(folder), shard, manifest, findings):
                key_ids.append(records.key_ids)
                found = np.bincount(records.labels, minlength=len(manifest.categories))
                for name, number in zip(manifest.categories, found.tolist(), strict=True):
                    counts[name][split] += number
    if not findings:
        findings += _wrong_totals(manifest, counts)
        findings += _repeated(np.concatenate(key_ids) if key_ids else np.zeros(0, np.uint64))
    if findings:
        lines = [f"  - {finding}" for finding in findings[:_SHOWN]]
        if len(findings) > _SHOWN:
            lines.append(f"  - and {len(findings) - _SHOWN} more")
        raise DataError(
            f"{folder} is damaged; delete it and convert the drawings again:\n" + "\n".join(lines)
        )
    return manifest


def _checked(
    folder: Path, shard: Shard, manifest: Manifest, findings: list[str]
) -> Iterator[Records]:
    """The records of a shard that pass; what does not is added to the findings."""
    path = folder / shard.name
    if not path.is_file():
        findings.append(f"{shard.name} is missing")
        return
    if sha256(path) != shard.sha256:
        findings.append(f"{shard.name}: its sha256 is not the manifest's")
    try:
        reader = open_shard(path)
        number = reader.num_records()
    except (RuntimeError, ValueError, OSError) as error:
        findings.append(f"{shard.name} cannot be opened: {_line(error)}")
        return
    if number != shard.records:
        findings.append(f"{shard.name} has {number} records, the manifest says {shard.records}")
    for first in range(0, number, _AT_ONCE):
        records = _read(reader, shard.name, first, min(first + _AT_ONCE, number), findings)
        wrong = _wrong_records(records, len(manifest.categories))
        findings += [
            f"{shard.name}, record {records.index[place]}: {reason}"
            for place, reason in sorted(wrong.items())
        ]
        if not wrong:
            yield records
    with suppress(RuntimeError):  # damage met before, told again
        reader.close()


def _read(
    reader: ArrayRecordReader, name: str, first: int, end: int, findings: list[str]
) -> Records:
    """Decode records first to end; those that cannot be read are added to the findings."""
    indices = list(range(first, end))
    try:
        blobs = reader.read(indices)
        records = decode(blobs)
    except (RuntimeError, DataError):
        # Something in here is wrong: one by one, to say which.
        blobs, sound = [], []
        for index in indices:
            try:
                blob = reader.read([index])
                decode(blob)
            except RuntimeError as error:
                findings.append(f"{name}, record {index} cannot be read: {_line(error)}")
            except DataError as error:
                reason = str(error).removeprefix("record 0 ")
                findings.append(f"{name}, record {index} {reason}")
            else:
                blobs += blob
                sound.append(index)
        records, indices = decode(blobs), sound
    records.index[:] = indices
    return records


def _wrong_records(records: Records, classes: int) -> dict[int, str]:
    """What is wrong with which of the records, by place."""
    wrong = {}
    ends = records.points[:, 2]
    for place in np.flatnonzero(records.lengths == 0).tolist():
        wrong[place] = "it has no point"
    marked = np.searchsorted(records.offsets, np.flatnonzero(ends > 1), side="right") - 1
    for place in np.unique(marked).tolist():
        wrong[place] = "a mark of a stroke's end is neither 0 nor 1"
    filled = np.flatnonzero(records.lengths)
    open_ended = filled[ends[records.offsets[1:][filled] - 1] == 0]
    for place in open_ended.tolist():
        wrong.setdefault(place, "its last point does not end a stroke")
    for place in np.flatnonzero(records.labels >= classes).tolist():
        wrong[place] = f"label {records.labels[place]}, there are {classes} categories"
    entropies = records.entropies
    for place in np.flatnonzero(~((entropies >= 0) & (entropies <= 1))).tolist():
        wrong[place] = f"image entropy {entropies[place]} is not within 0 to 1"
    return wrong


def _wrong_totals(manifest: Manifest, counts: dict[str, Counter[str]]) -> Iterator[str]:
    for name, stated in manifest.counts_by_category.items():
        for split, number in stated.items():
            found = counts[name][split]
            if found != number:
                yield f"{found} {split} sketches of {name}, the manifest says {number}"


def _repeated(key_ids: np.ndarray) -> Iterator[str]:
    ordered = np.sort(key_ids)
    for key_id in np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist():
        yield f"key_id {key_id} occurs more than once"


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else repr(error)
