"""The workdir of a study: it belongs to one kind of study, and to one base config.

WORKDIR/study.json has the study's config. What was trained binds the base as a run binds its
config, and so do the drawings in WORKDIR/data. Rows, seeds, code lengths and other fields of the
study may change between two calls: each run is bound by the config in its own workdir.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from sketchjax.config import Config, flat
from sketchjax.errors import ConfigError, on_disk
from sketchjax.files import write_whole
from sketchjax.train.workdir import STUDY, check_config, check_fields, locked, read_fields

_BASE = "base."
_KINDS = ("objectives", "variants")  # each named as a field that only its configs have
TABLES = "tables"


def kind_of(fields: Iterable[str]) -> str:
    """The kind of a study, by the names of its fields or sections."""
    names = {name.split(".")[0] for name in fields}
    return next((kind for kind in _KINDS if kind in names), TABLES)


def kind_in(workdir: Path) -> str | None:
    """The kind of the study in a workdir; None where there is none.

    Raises ConfigError when its config is damaged; DiskError.
    """
    fields = read_fields(workdir / STUDY)
    return None if fields is None else kind_of(fields)


@contextmanager
def bound(study: Config, workdir: Path) -> Iterator[str]:
    """Hold the workdir of a study, and keep the study's config in it. Creates the folder.

    Yields a warning as `locked` does.
    Raises ConfigError when the workdir is that of a run or of another kind of study, or holds
    drawings or runs of another base; as `locked` does; DiskError.
    """
    with locked(workdir) as warning:
        _check(study, workdir)
        content = orjson.dumps(flat(study), option=orjson.OPT_INDENT_2)
        with on_disk(f"--workdir {workdir} cannot be used"):
            write_whole(workdir / STUDY, content)
        yield warning


def _check(study: Config, workdir: Path) -> None:
    if (workdir / "config.json").exists():
        raise ConfigError(f"{workdir} is the workdir of a run; use another --workdir for a study")
    before = read_fields(workdir / STUDY)
    if before is None:
        return
    kinds = kind_of(before), kind_of(study)
    if kinds[0] != kinds[1]:
        raise ConfigError(
            f"{workdir} is the workdir of a study of {kinds[0]}; use another --workdir for one of "
            f"{kinds[1]}"
        )
    base = {
        name.removeprefix(_BASE): value for name, value in before.items() if name.startswith(_BASE)
    }
    runs = [path.parent for path in workdir.glob("runs/**/config.json")]
    check_fields(base, study.base, workdir, runs, _BASE)


def of_another_config(config: Config, folder: Path) -> list[str]:
    """One line for each reason why a run's folder cannot take a config."""
    try:
        check_config(config, folder)
    except ConfigError as error:
        return error.problems
    return []


def by_run(problems: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each different problem, with the first run that has it.

    problems: the name of a run, and what is wrong with it.
    """
    runs: dict[str, list[str]] = {}
    for name, problem in problems:
        runs.setdefault(problem, []).append(name)
    return [f"{_some(names)}: {problem}" for problem, names in runs.items()]


def _some(names: list[str]) -> str:
    """The first name of some, and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
