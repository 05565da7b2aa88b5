"""The folder of a run: it belongs to one config, and to one process at a time.

It is bound to a config as soon as it holds something that another config could spoil: drawings that
were converted under it, or anything that was trained. Until then a corrected command just runs.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from sketchjax.config import Config, default, flat, is_fixed, is_resumable, stage
from sketchjax.data.folder.manifest import NAME
from sketchjax.errors import ConfigError, InUseError, on_disk
from sketchjax.files import sha256, take_lock, write_whole

LOCK = ".lock"
STUDY = "study.json"  # the config of a study, whose runs have workdirs of their own
# What only a run with training done has in its folder.
_TRAINED = (
    *("checkpoints/[0-9]*", "checkpoints/.*.replaced", "weights/*.safetensors"),
    *("model.safetensors", "results.json"),
)
_CONVERTED = f"data/{NAME}"
# The fields that decide what `train.data` converts to WORKDIR/data, and whether it is used.
CONVERSION_FIELDS = frozenset(
    {
        *("seed", "data.dir", "data.source", "data.split_file", "data.extra_train"),
        *("data.categories", "data.recognized_only", "data.max_per_category"),
        *("data.on_bad", "data.shards", "data.synthetic_per_category", "data.unseen"),
        *("photos.contours", "photos.validation", "photos.sketches_each", "photos.painted_size"),
    }
)


def check_config(config: Config, workdir: Path) -> None:
    """Refuse a config that does not fit what the workdir holds of the one in its config.json.

    config: of this call.
    workdir: of the run; it may not exist yet.

    What was trained binds every field that changes a figure; converted drawings bind the fields
    that they were converted by. A field that the project has gained since then counts as its
    default, and `data.dir` may name another folder with the same manifest: the data were moved.
    Raises ConfigError naming the fields that differ, or when the workdir is a file or that of a
    study; DiskError.
    """
    with on_disk(f"--workdir {workdir} cannot be used"):
        _check_folder(workdir)
        of_study = (workdir / STUDY).exists()
    if of_study:
        raise ConfigError(f"{workdir} is the workdir of a study; use another --workdir for a run")
    before = read_fields(workdir / "config.json")
    if before is not None:
        check_fields(before, config, workdir, [workdir])


def read_fields(path: Path) -> dict[str, Any] | None:
    """The fields of a kept config; None where there is no such file.

    Raises ConfigError when the file is damaged; DiskError.
    """
    with on_disk(f"{path} cannot be read"):
        if not path.exists():
            return None
        content = path.read_bytes()
    try:
        return dict(orjson.loads(content))
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read as a config ({error}); use another --workdir"
        ) from error


def check_fields(
    before: dict[str, Any], config: Config, workdir: Path, runs: Sequence[Path], section: str = ""
) -> None:
    """Refuse a config that does not fit what a workdir holds of an earlier one.

    before: the fields of the earlier config.
    workdir: that the drawings are converted to.
    runs: the workdirs of what was trained.
    section: begins the names of the fields in messages.
    Raises ConfigError naming the fields that differ; DiskError.
    """
    with on_disk(f"--workdir {workdir} cannot be used"):
        trained = any(map(_is_trained, runs))
        converted = (workdir / _CONVERTED).exists()
    now = _plain(config)
    if _same_data(workdir, runs, str(before.get("data.dir", "")), now["data.dir"]):
        before = before | {"data.dir": now["data.dir"]}
    if trained:
        heading = (
            f"{workdir} holds a run of another config; rerun it with that config to resume it, or "
            "use another --workdir for a new run"
        )
        differing = changes(before, now)
    else:
        heading = (
            f"{workdir / 'data'} was converted under another config; delete that folder to convert "
            "again, or use another --workdir"
        )
        differing = changes(before, now, _decides_data) if converted else []
    if differing:
        raise ConfigError([heading, *(section + line for line in differing)])


def _same_data(workdir: Path, runs: Sequence[Path], before: str, now: str) -> bool:
    """Whether two values of `data.dir` name one folder, or the second has what was trained on."""
    folders = [
        Path(os.path.expanduser(each)) if each else workdir / "data" for each in (before, now)
    ]
    manifest = folders[1] / NAME
    with on_disk(f"{manifest} cannot be read"):
        if folders[0].resolve() == folders[1].resolve():
            return True
        return manifest.is_file() and sha256(manifest) in _trained_on(runs)


def _trained_on(runs: Sequence[Path]) -> Iterator[str]:
    """The sha256 of the data's manifest, as each checkpoint has it."""
    for path in chain(*(run.glob("checkpoints/[0-9]*/progress.json") for run in runs)):
        with suppress(ValueError, TypeError, KeyError):  # a damaged one
            yield orjson.loads(path.read_bytes())["data"]


def keep_config(config: Config, workdir: Path) -> None:
    """Keep the config in WORKDIR/config.json, in place of one of which nothing is trained yet.

    One that was trained with is kept, except for the new place of its data.
    Only for the process that holds the workdir's lock. Raises as `check_config` does.
    """
    check_config(config, workdir)
    path = workdir / "config.json"
    with on_disk(f"--workdir {workdir} cannot be used"):
        fields = _plain(config)
        if path.exists() and _is_trained(workdir):
            fields = dict(orjson.loads(path.read_bytes())) | {"data.dir": config.data.dir}
        write_whole(path, orjson.dumps(fields, option=orjson.OPT_INDENT_2))


def changes(
    before: dict[str, Any],
    now: dict[str, Any],
    binds: Callable[[str], bool] = lambda name: not is_resumable(name),
) -> list[str]:
    """One line for each field that may not change and did.

    before, now: configs as `section.field`: value.
    binds: whether a field may not change; by default those that change a figure.
    """
    before, now = _filled(before), _filled(now)
    return [
        f"{name}: before {_shown(before, name)}, now {_shown(now, name)}"
        for name in sorted({*before, *now})
        if binds(name) and (name not in before or name not in now or before[name] != now[name])
    ]


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, with the defaults of those that were added since their config was written.

    In the sections of encoders, splits and losses, a name that is missing is not there.
    """
    usual = {path: value for path, value in _plain(default()).items() if is_fixed(path)}
    for name in {path.split(".")[1] for path in fields if path.startswith("stages.")}:
        _, row = stage(name, trains=(), losses={})
        usual |= {f"stages.{name}.{leaf}": value for leaf, value in _plain(row).items()}
    return usual | fields


def _is_trained(workdir: Path) -> bool:
    return any(next(workdir.glob(pattern), None) is not None for pattern in _TRAINED)


def _decides_data(name: str) -> bool:
    return name in CONVERSION_FIELDS or name.startswith("data.splits.")


def _plain(config: Config) -> dict[str, Any]:
    """All fields as they come back from JSON: tuples are lists."""
    return orjson.loads(orjson.dumps(flat(config)))


def _shown(fields: dict[str, Any], name: str) -> str:
    return repr(fields[name]) if name in fields else "not there"


@contextmanager
def locked(workdir: Path, name: str = "--workdir") -> Iterator[str]:
    """Hold a folder's lock, which a process loses however it ends. Creates the folder.

    workdir: of a run, or another folder that one process at a time writes to.
    name: of the folder on the command line, for messages.

    Yields a warning when the previous process ran on another machine and did not finish, as some
    network file systems do not share locks; otherwise empty text.
    Raises InUseError naming the process that holds the lock; ConfigError for a file; DiskError.
    """
    what = f"{name} {workdir} cannot be used"
    with on_disk(what):
        _check_folder(workdir, name)
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(workdir / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with on_disk(what):
            left = _lock(descriptor, workdir, name)
        try:
            yield left
        finally:
            # For a process on a machine that does not see the lock: an empty file is a clean end.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(workdir: Path) -> str | None:
    """Who holds the folder's lock, as JSON; None where nobody has locked this folder.

    Two folders with one path, on disks of different machines, have different holders.
    """
    try:
        return (workdir / LOCK).read_text(errors="replace") or None
    except OSError:
        return None


def _check_folder(workdir: Path, name: str = "--workdir") -> None:
    if workdir.exists() and not workdir.is_dir():
        raise ConfigError(f"{name} {workdir} cannot be used: it is a file; give a folder")


def _lock(descriptor: int, workdir: Path, name: str) -> str:
    """Take the lock and write who holds it; returns a warning about the previous holder, if any."""
    if not take_lock(descriptor):
        raise InUseError(
            f"another process is running in {workdir}: {_holder(descriptor)[0]}; wait until it "
            f"finishes, stop it, or use another {name}"
        )
    before, host = _holder(descriptor)
    here = socket.gethostname()
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    content = orjson.dumps({"pid": os.getpid(), "host": here, "since": since})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)
    os.fsync(descriptor)  # for the other processes of the run, on other machines
    if host in ("", here):
        return ""
    return (
        f"the previous run in {workdir} did not finish: {before}; if it is still running, its "
        "machine's locks do not reach this one: stop one of the two"
    )


def _holder(descriptor: int) -> tuple[str, str]:
    """Who wrote the lock file: a phrase for people, and the host, empty if unknown."""
    try:
        content = orjson.loads(os.pread(descriptor, 4096, 0))
        host = str(content["host"])
        return f"process {content['pid']} on {host}, since {content['since']}", host
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return "an unknown process", ""
