"""What a conversion reads, as its manifest names it, and whether it is still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from sketchjax.data.progress import Bar
from sketchjax.data.workers import Pool
from sketchjax.errors import DataError
from sketchjax.files import sha256

_REPORT = 100  # files


@dataclass(frozen=True)
class Origin:
    """A file, or the files of a folder, which may be 200,000.

    name: in messages and in the manifest.
    paths: the files.
    folder: whether they are the files of a folder.
    """

    name: str
    paths: tuple[Path, ...]
    folder: bool = False

    def entry(self) -> dict[str, Any]:
        """What the manifest says of it before its content is known."""
        number = {"files": len(self.paths)} if self.folder else {}
        return {
            "name": self.name,
            "bytes": sum(path.stat().st_size for path in self.paths),
            **number,
        }

    def states(self) -> list[tuple[int, int]]:
        """The `file_state` of each file."""
        return [file_state(path) for path in self.paths]

    def changed(self) -> int:
        """When a file or its folder was last written, renamed or copied, in ns."""
        folders = {path.absolute().parent for path in self.paths}
        return max(path.stat().st_ctime_ns for path in (*self.paths, *folders))


def file_state(path: Path) -> tuple[int, int]:
    """The bytes of a file, and when it was last written, renamed or copied, in ns.

    Unlike the time of a change that a file keeps when it is copied, nobody can set this one.
    """
    state = path.stat()
    return state.st_size, state.st_ctime_ns


def check_unchanged(origins: Sequence[Origin], before: Sequence[list[tuple[int, int]]]) -> None:
    """Raise DataError where a file's state is another one than `before`, the `states` of each."""
    for origin, states in zip(origins, before, strict=True):
        for path, then, now in zip(origin.paths, states, origin.states(), strict=True):
            if now != then:
                raise DataError(
                    f"{path} changed while it was read; rerun the same command when it is complete"
                )


def content_digest(origin: Origin, *, progress: Callable[[int], None] = lambda number: None) -> str:
    """A hash of the names and contents of an origin's files, hex.

    progress: called with the number of files since its last call.
    """
    whole = hashlib.sha256()
    for number, path in enumerate(sorted(origin.paths), 1):
        # The entry has the name of a single file: relative, where this is the file's own.
        name = path.name if origin.folder else ""
        whole.update(f"{name}\0{sha256(path)}\n".encode())
        if number % _REPORT == 0 or number == len(origin.paths):
            progress((number - 1) % _REPORT + 1)
    return whole.hexdigest()


def entries(origins: Sequence[Origin], pool: Pool, bars: Progress) -> list[dict[str, Any]]:
    """What the manifest says of all origins, their content too."""
    bar = Bar(bars, "checking", "sources", len(origins), 0, "files")
    found = [""] * len(origins)
    for index, digest in pool.run(((content_digest, (each,)) for each in origins), bar.sketches):
        found[index] = digest
        bar.finished()
    return [
        origin.entry() | {"digest": digest} for origin, digest in zip(origins, found, strict=True)
    ]
