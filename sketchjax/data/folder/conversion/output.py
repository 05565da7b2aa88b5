"""The folder that a conversion writes: whether it may, what is finished there, what is stale."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sketchjax.data import sources as formats
from sketchjax.data.folder.conversion.origin import Origin, content_digest
from sketchjax.data.folder.manifest import (
    INDEX_PATTERN,
    NAME,
    SHARD_PATTERN,
    Manifest,
    differences,
    listed,
)
from sketchjax.data.sources.pictures import is_pictures
from sketchjax.errors import DataError, InUseError, on_disk
from sketchjax.files import take_lock

PARTIAL = ".partial"
_ALWAYS_READ = 2 << 30  # bytes: 2 s on one core
NAME_OUT = "name the folder to write after the sources: sketchjax convert SOURCE... OUT"


def check_out(out: Path) -> None:
    """Raise DataError if `out` is a file or holds drawings: then it was hardly meant as `out`."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; {NAME_OUT}")
    if not out.is_dir() or (out / NAME).exists():
        return
    if is_pictures(out):
        raise DataError(f"{out} is a folder of pictures, not a data folder; {NAME_OUT}")
    try:
        found = [path.relative_to(out) for path in formats.find([out])]
    except DataError:  # it holds none
        return
    drawings = [path for path in found if PARTIAL not in path.parts]
    if drawings:
        raise DataError(
            f"{out} holds drawings ({drawings[0]}) and no {NAME}: it is not a data folder; "
            f"{NAME_OUT}"
        )


def finished(out: Path, settings: dict[str, Any], origins: Sequence[Origin]) -> Manifest | None:
    """The manifest of a finished conversion in `out`, or None.

    Sources of up to 2 GB are read again to see whether they are the same; of more, those that were
    touched since.
    Raises DataError if it is not the conversion asked for.
    """
    if not (out / NAME).exists():
        return None
    manifest = Manifest.load(out)
    lines = differences(manifest.settings, settings)
    asked = [origin.entry() for origin in origins]
    lines += differences(_sizes(manifest.sources), _sizes(asked), "source file ")
    if not lines:
        lines = _changed(manifest.sources, origins, (out / NAME).stat().st_ctime_ns)
    if lines:
        raise DataError(
            f"{out} holds another conversion; name another folder, or delete it first. "
            f"They differ in:\n{listed(lines, 10)}"
        )
    for shard in manifest.files():
        path = out / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise DataError(f"{path} is missing or cut short; delete {out} and convert again")
    return manifest


def _sizes(entries: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """The bytes of each source; the pictures and the SVG files of a folder have one name."""
    sizes = Counter[str]()
    for entry in entries:
        sizes[entry["name"]] += entry["bytes"]
    return sizes


def _changed(
    entries: Sequence[Mapping[str, Any]], origins: Sequence[Origin], since: int
) -> list[str]:
    """A line for each source whose content is another than when it was converted.

    entries: of the manifest; those of earlier versions have no digest.
    since: when the conversion ended, in ns: of many bytes, only what was touched later is read.
    """
    few = sum(entry["bytes"] for entry in entries) <= _ALWAYS_READ
    kept = {(entry["name"], entry.get("digest")) for entry in entries}
    undated = {name for name, digest in kept if digest is None}
    return [
        f"source file {origin.name}: it has another content now"
        for origin in origins
        if origin.name not in undated
        and (few or origin.changed() >= since)
        and (origin.name, content_digest(origin)) not in kept
    ]


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """The folder of unfinished work, locked against a second conversion to the same place.

    It is removed at the end, but kept after an error or a kill. Raises InUseError, and DiskError
    also where the conversion meets an OSError.
    """
    partial = out / PARTIAL
    with on_disk(f"{out} cannot be written"):
        partial.mkdir(parents=True, exist_ok=True)
        lock = (partial / "lock").open("w")
    with lock, on_disk(f"the conversion to {out} cannot continue"):
        if not take_lock(lock.fileno()):
            raise InUseError(
                f"another conversion is writing to {out}; wait until it finishes, or stop it"
            )
        yield partial
        shutil.rmtree(partial)


def remove_stale(out: Path, manifest: Manifest) -> None:
    """Delete files that a stopped conversion with other settings left behind."""
    current = {file.name for file in manifest.files()}
    for path in out.iterdir():
        ours = SHARD_PATTERN.fullmatch(path.name) or INDEX_PATTERN.fullmatch(path.name)
        if ours and path.name not in current:
            path.unlink()
