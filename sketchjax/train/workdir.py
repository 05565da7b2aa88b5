"""The folder of a run: it belongs to one config, and to one process at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from sketchjax.config import Config, flat
from sketchjax.errors import ConfigError
from sketchjax.files import write_whole

# Fields that may change between two calls on one workdir: they do not change the figures.
FREE_FIELDS = ("debug", "train.checkpoint_seconds", "train.keep_checkpoints")


def keep_config(config: Config, workdir: Path) -> None:
    """Keep the config in WORKDIR/config.json; refuse to go on with another one.

    Raises ConfigError naming the fields that differ, or when the folder cannot be used.
    """
    path = workdir / "config.json"
    now = orjson.loads(orjson.dumps(flat(config), default=list))
    try:
        if not path.exists():
            workdir.mkdir(parents=True, exist_ok=True)
            write_whole(path, orjson.dumps(now, option=orjson.OPT_INDENT_2))
        before = dict(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"--workdir {workdir} cannot be used: {error}") from error
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read as a config ({error}); use another --workdir"
        ) from error
    differing = [
        f"{name}: {before.get(name)!r} before, {now.get(name)!r} now"
        for name in sorted({*before, *now} - {*FREE_FIELDS})
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise ConfigError(
            [f"{workdir} holds a run of another config; use another --workdir", *differing]
        )


@contextmanager
def alone(workdir: Path) -> Iterator[None]:
    """Hold the workdir's lock, which ends with the process however it ends.

    Raises ConfigError when another process holds it.
    """
    with (workdir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another process is running in {workdir}; wait for its end, or use another "
                "--workdir"
            ) from error
        yield
