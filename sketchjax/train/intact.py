"""Whether a folder of files still holds what was written, byte for byte.

orbax restores a file with a flipped byte without an error, so each checkpoint has a manifest of its
files. It is written last and contains a sha256 of itself.
"""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import orjson

from sketchjax.errors import CheckpointError, DiskError
from sketchjax.files import sha256, sync_folder

MANIFEST = "manifest.json"

# The errors of a file that is gone, is not a file, or lies on a bad sector. Any others, such as no
# permission or too many open files, say nothing about the bytes.
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO)


def seal(folder: Path, step: int, arrays: dict[str, str]) -> None:
    """Flush all files of a folder to disk, then write their manifest.

    folder: to seal.
    step: its number.
    arrays: kept in the manifest too, as `arrays.describe` gives them.
    Raises OSError.
    """
    files = {}
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[_name(path, folder)] = [path.stat().st_size, digest]
    with (folder / MANIFEST).open("wb") as file:
        file.write(_manifest({"step": step, "files": files, "arrays": arrays}))
        file.flush()
        os.fsync(file.fileno())
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            sync_folder(path)


def check(folder: Path, step: int) -> dict[str, Any]:
    """Check that a folder holds exactly what was sealed as `step`; returns its manifest.

    Raises CheckpointError naming the first file that is not what was written, and DiskError when a
    file cannot be read for a reason other than damage.
    """
    try:
        manifest = _read_manifest(folder)
        if manifest["step"] != step:
            raise CheckpointError(f"{folder} is checkpoint {manifest['step']} under another name")
        for name, (size, digest) in manifest["files"].items():
            _check_file(folder / name, size, digest)
        here = {_name(path, folder) for path in _files(folder)}
        for name in sorted(here - {MANIFEST, *manifest["files"]}):
            raise CheckpointError(f"{folder / name} does not belong to it")
        return manifest
    except OSError as error:
        if error.errno in _DAMAGE:
            raise CheckpointError(f"{error.filename or folder}: {error.strerror}") from error
        raise DiskError.of(f"{folder} cannot be read", error) from error


def _check_file(path: Path, size: int, digest: str) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    if (found := path.stat().st_size) != size:
        raise CheckpointError(f"{path} has {found} bytes, but {size} were written")
    if sha256(path) != digest:
        raise CheckpointError(f"{path} is not what was written (its sha256 differs)")


def _read_manifest(folder: Path) -> dict[str, Any]:
    content = (folder / MANIFEST).read_bytes()
    try:
        manifest = dict(orjson.loads(content))
        manifest.pop("sha256", None)
        as_written = _manifest(manifest)
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if content != as_written or manifest.keys() != {"step", "files", "arrays"}:
        raise CheckpointError(f"{folder / MANIFEST} is not what was written")
    return manifest


def _manifest(content: dict[str, Any]) -> bytes:
    """The bytes of a manifest; the same content always gives the same bytes."""
    digest = hashlib.sha256(orjson.dumps(content)).hexdigest()
    return orjson.dumps({**content, "sha256": digest})


def _files(folder: Path) -> list[Path]:
    """Everything that is not a folder; a link to a folder counts as a file."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _name(path: Path, folder: Path) -> str:
    # A name that is not UTF-8 was never written here, and orjson would refuse it.
    return os.fsencode(path.relative_to(folder)).decode(errors="replace")
