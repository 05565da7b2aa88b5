"""Which sources an index holds already, whatever their command line called them."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from sketchjax.errors import DataError
from sketchjax.files import sha256
from sketchjax.index.records import Progress
from sketchjax.index.sources import Source

_NAMED = 3  # sources that have changed


def begun(source: Source) -> Progress:
    """The record of a source of which nothing is in an index yet; reads all of it."""
    size, changed, _ = _state(source)
    return Progress(source.key, size, changed, source.count(), digest=_digest(source))


def records_of(sources: Sequence[Source], files: Sequence[Progress]) -> list[Progress | None]:
    """For each source its record in an index, None where it is new.

    files: all records of the index.
    Raises DataError where a source is there with other content.
    """
    known: dict[str, list[Progress]] = defaultdict(list)
    for file in files:
        known[file.path].append(file)
        # Earlier versions kept the name of a file after its path.
        for end in (place for place, letter in enumerate(file.path) if letter == ":"):
            known[file.path[:end]].append(file)
    found, changed = [], []
    for source in sources:
        same = [file for file in known[source.key] if _is_same(source, file)]
        found.append(max(same, key=lambda file: file.done == file.count, default=None))
        if known[source.key] and not same:
            changed.append(source.name)
    if changed:
        more = f" and {len(changed) - _NAMED:,} more" if len(changed) > _NAMED else ""
        raise DataError(
            f"in the index already, and changed since: {', '.join(changed[:_NAMED])}{more}; put "
            "what is new into another file or folder and add that, or build the index again"
        )
    return found


def _is_same(source: Source, file: Progress) -> bool:
    """Whether a source is what it was when it was indexed. Read only where it was touched."""
    size, changed, modified = _state(source)
    if size != file.bytes:
        return False
    if not file.digest:  # of an earlier version
        return modified == file.modified
    return changed == file.modified or _digest(source) == file.digest


def _state(source: Source) -> tuple[int, int, int]:
    """Bytes, and the last change of inodes and of contents, in ns: a copy can keep the latter."""
    states = [os.stat(path) for path in source.paths]
    return (
        sum(state.st_size for state in states),
        max(state.st_ctime_ns for state in states),
        max(state.st_mtime_ns for state in states),
    )


def _digest(source: Source) -> str:
    digest = hashlib.sha256()
    for path in source.paths:
        with suppress(OSError):  # of photos, those that cannot be read may be left out
            digest.update(sha256(path).encode())
    return digest.hexdigest()
