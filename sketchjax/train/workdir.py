"""The folder of a run: it belongs to one config, and to one process at a time."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from sketchjax.config import Config, default, flat, is_fixed, is_resumable
from sketchjax.errors import ConfigError, on_disk
from sketchjax.files import write_whole

LOCK = ".lock"


def check_config(config: Config, workdir: Path) -> None:
    """Refuse another config than the one that WORKDIR/config.json keeps, if there is one.

    A field that the project has gained since then counts as its default.
    Raises ConfigError naming the fields that differ, or when the workdir is a file; DiskError.
    """
    path = workdir / "config.json"
    with on_disk(f"--workdir {workdir} cannot be used"):
        _check_folder(workdir)
        if not path.exists():
            return
        content = path.read_bytes()
    try:
        before = dict(orjson.loads(content))
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read as a config ({error}); use another --workdir"
        ) from error
    differing = changes(before, _plain(config))
    if differing:
        raise ConfigError(
            [
                f"{workdir} holds a run of another config; give it that config again to resume it, "
                "or use another --workdir for a new run",
                *differing,
            ]
        )


def keep_config(config: Config, workdir: Path) -> None:
    """Keep the config in WORKDIR/config.json; refuse another one than it has.

    Only for the process that holds the workdir's lock. Raises as `check_config` does.
    """
    check_config(config, workdir)
    path = workdir / "config.json"
    with on_disk(f"--workdir {workdir} cannot be used"):
        if not path.exists():
            write_whole(path, orjson.dumps(_plain(config), option=orjson.OPT_INDENT_2))


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for each field that may not change and did. Both: `section.field`: value."""
    usual = _plain(default())
    # In sections of rows and losses, a name that is missing is not there.
    usual = {path: value for path, value in usual.items() if is_fixed(path)}
    before, now = usual | before, usual | now
    return [
        f"{name}: before {_shown(before, name)}, now {_shown(now, name)}"
        for name in sorted({*before, *now})
        if not is_resumable(name)
        and (name not in before or name not in now or before[name] != now[name])
    ]


def _plain(config: Config) -> dict[str, Any]:
    """All fields as JSON gives them back: tuples are lists."""
    return orjson.loads(orjson.dumps(flat(config)))


def _shown(fields: dict[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else "not there"


@contextmanager
def alone(workdir: Path) -> Iterator[str]:
    """Hold the workdir's lock, which the process loses however it ends; makes the folder.

    Yields a warning where the previous process was on another machine and did not finish, as some
    network file systems do not share locks; empty otherwise.
    Raises ConfigError naming the process that holds it; DiskError.
    """
    what = f"--workdir {workdir} cannot be used"
    with on_disk(what):
        _check_folder(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(workdir / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with on_disk(what):
            left = _lock(descriptor, workdir)
        try:
            yield left
        finally:
            # A process here sees that the lock is free, one elsewhere that the file is empty.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _check_folder(workdir: Path) -> None:
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"--workdir {workdir} cannot be used: it is a file; give a folder")


def _lock(descriptor: int, workdir: Path) -> str:
    """Take the lock and write who holds it; returns a warning about the previous holder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise ConfigError(
            f"another process is running in {workdir}: {_holder(descriptor)[0]}; wait until it "
            "finishes, stop it, or use another --workdir"
        ) from None
    before, host = _holder(descriptor)
    here = socket.gethostname()
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    content = orjson.dumps({"pid": os.getpid(), "host": here, "since": since})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)
    if host in ("", here):
        return ""
    return (
        f"the previous run in {workdir} did not finish: {before}; if it is still running, its "
        "machine's locks do not reach this one: stop one of the two"
    )


def _holder(descriptor: int) -> tuple[str, str]:
    """Who wrote the lock file: a phrase for people, and the host; both may be unknown."""
    try:
        content = orjson.loads(os.pread(descriptor, 4096, 0))
        host = str(content["host"])
        return f"process {content['pid']} on {host}, since {content['since']}", host
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return "an unknown process", ""
