"""What a folder of files held when it was written, and whether it still does, byte for byte.

orbax restores a file with a flipped byte without a word, so each checkpoint has a manifest of its
files. It is written last, and carries a sha256 of itself.
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

# What a file that is gone, is no file, or lies on a bad sector answers. Anything else, such as no
# permission or too many open files, says nothing about the bytes.
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO)


def seal(folder: Path, step: int, arrays: dict[str, str]) -> None:
    """Write the manifest of all files in a folder, when they are on the disk.

    arrays: what else is to be kept, such as `describe` gives. Raises OSError.
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
    """Check that a folder holds what was sealed as `step`, no less and no more; its manifest.

    Raises CheckpointError naming the first file that is not what was written; DiskError when one
    cannot be read for another reason than damage.
    """
    try:
        manifest = _read_manifest(folder)
        if manifest["step"] != step:
            raise CheckpointError(f"{folder} is checkpoint {manifest['step']} under another name")
        for name, (size, digest) in manifest["files"].items():
            _check_file(folder / name, size, digest)
        here = {_name(path, folder) for path in _files(folder)}
        for name in sorted(here - {MANIFEST, *manifest["files"]}):
            raise CheckpointError(f"{folder / name} is not a file of it")
        return manifest
    except OSError as error:
        if error.errno in _DAMAGE:
            raise CheckpointError(f"{error.filename or folder}: {error.strerror}") from error
        raise DiskError.of(f"{folder} cannot be read", error) from error


def _check_file(path: Path, size: int, digest: str) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    if (found := path.stat().st_size) != size:
        raise CheckpointError(f"{path} has {found} bytes, and {size} were written")
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
    """The bytes of a manifest: the same content always gives the same ones."""
    digest = hashlib.sha256(orjson.dumps(content)).hexdigest()
    return orjson.dumps({**content, "sha256": digest})


def _files(folder: Path) -> list[Path]:
    """All that is no folder; a link to one is none either."""
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _name(path: Path, folder: Path) -> str:
    # A name that is no UTF-8 is never one that was written; orjson would refuse it.
    return os.fsencode(path.relative_to(folder)).decode(errors="replace")
