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

from sketchjax.config import FREE_SECTIONS, Config, default, flat
from sketchjax.errors import ConfigError, on_disk
from sketchjax.files import write_whole

LOCK = ".lock"

# Fields that may change between two calls on one workdir, as they do not change the figures. The
# feed's position is a number of blocks, so that feeds and their processes may take turns.
FREE_FIELDS = (
    "name",
    "debug",
    "data.feed",
    "train.checkpoint_seconds",
    "train.keep_checkpoints",
    "train.max_skipped",
    "train.workers",
    "profile.steps",
    "evaluation.queries_shown",
    "evaluation.retrieved",
)


def check_config(config: Config, workdir: Path) -> None:
    """Refuse to go on with another config than the one that WORKDIR/config.json keeps, if any.

    A field that the project has gained since counts as its default.
    Raises ConfigError naming the fields that differ, or when the workdir is no folder; DiskError.
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
                f"{workdir} holds a run of another config; give it its own again to go on with "
                "it, or use another --workdir for a new run",
                *differing,
            ]
        )


def keep_config(config: Config, workdir: Path) -> None:
    """Keep the config in WORKDIR/config.json; refuse to go on with another one.

    Two processes at once must not do this: it is for the one that has the workdir alone.
    Raises as `check_config` does.
    """
    check_config(config, workdir)
    path = workdir / "config.json"
    with on_disk(f"--workdir {workdir} cannot be used"):
        if not path.exists():
            write_whole(path, orjson.dumps(_plain(config), option=orjson.OPT_INDENT_2))


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for each field that may not change and did. Both: `section.field`: value."""
    usual = {
        name: value
        for name, value in _plain(default()).items()
        # In these, a name that is missing is not there.
        if not name.startswith(tuple(f"{section}." for section in FREE_SECTIONS))
    }
    before, now = usual | before, usual | now
    return [
        f"{name}: before {_shown(before, name)}, now {_shown(now, name)}"
        for name in sorted({*before, *now} - {*FREE_FIELDS})
        if name not in before or name not in now or before[name] != now[name]
    ]


def _plain(config: Config) -> dict[str, Any]:
    """All fields as JSON gives them back: tuples are lists."""
    return orjson.loads(orjson.dumps(flat(config)))


def _shown(fields: dict[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else "not there"


@contextmanager
def alone(workdir: Path) -> Iterator[str]:
    """Hold the workdir's lock, which ends with the process however it ends; makes the folder.

    Yields what is to be told: where the process before was on another machine and did not come to
    its end, as some network file systems do not share locks; empty otherwise.
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
            # The lock's own end says so to a process here, an empty file to one elsewhere.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _check_folder(workdir: Path) -> None:
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"--workdir {workdir} cannot be used: it is a file; give a folder")


def _lock(descriptor: int, workdir: Path) -> str:
    """Take the lock and write who holds it; what is to be told of the holder before."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise ConfigError(
            f"another process is running in {workdir}: {_holder(descriptor)[0]}; wait for its "
            "end, stop it, or use another --workdir"
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
        f"the run before in {workdir} did not come to its end: {before}; if it still goes on, "
        "its machine's locks do not reach this one: stop one of the two"
    )


def _holder(descriptor: int) -> tuple[str, str]:
    """Who wrote the lock file: a phrase for people, and the host; both may be unknown."""
    try:
        content = orjson.loads(os.pread(descriptor, 4096, 0))
        host = str(content["host"])
        return f"process {content['pid']} on {host}, since {content['since']}", host
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return "which one is not known", ""
