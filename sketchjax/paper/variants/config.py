"""The config of a study of variants: a base, what each variant changes, seeds and figures."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from sketchjax.config import Config, default, validate
from sketchjax.errors import ConfigError
from sketchjax.fields import Field, one_line, text, whole
from sketchjax.paper.study.config import with_defaults, wrong_changes, wrong_fields
from sketchjax.paper.study.methods import apply_changes

_NAME = re.compile(r"[a-z0-9_]{1,64}")
_FIGURE = re.compile(r"[a-z0-9_]+(:[a-z0-9_]+)?")

SINGLE: dict[str, Field] = {"name": text("Variants")}

MANY: dict[str, tuple[tuple, Field]] = {
    # The variants of the study, in order; the others are compared with the first.
    "rows": ((), text()),
    "seeds": ((0, 1, 2), whole(0, 0, 2**32 - 1)),
    # The columns, the first of which is compared: NAME of results.json, or DISTANCE:NAME of its
    # rankings by that distance, as in cosine:map or hamming:recall_at_10.
    "figures": (
        ("map",),
        Field("map", lambda v: bool(_FIGURE.fullmatch(v)), "give NAME or DISTANCE:NAME"),
    ),
}


def default_variants() -> Config:
    """A study without variants yet; see `set_variants`."""
    study = with_defaults(SINGLE, MANY)
    study.base = default()
    study.variants = ConfigDict(type_safe=False)
    return study


def variant(
    name: str, label: str, changes: dict[str, Any] | None = None, *, teacher: str = ""
) -> tuple[str, ConfigDict]:
    """A variant of a study, as `set_variants` takes it.

    name: of its folders.
    label: of its row in the table.
    changes: fields of the base, in sections. Losses are replaced as a whole, and so is an encoder
      by one of another kind.
    teacher: the variant above it whose run of the same seed it learns from; empty: none.
    """
    own = {"label": label, "changes": changes or {}, "teacher": teacher}
    return name, ConfigDict(own, type_safe=False)


def set_variants(study: Config, *variants: tuple[str, ConfigDict]) -> None:
    """Give a study its variants, each as `variant` makes it, and its rows in their order."""
    study.variants = ConfigDict(dict(variants), type_safe=False)
    study.rows = tuple(name for name, _ in variants)


def config_of(study: Config, name: str, seed: int, workdir: Path, data: str = "") -> Config:
    """The config of one run.

    workdir: of the study. data: the folder that all variants share; empty: the run has its own.
    """
    given = study.variants[name]
    config = copy.deepcopy(study.base)
    apply_changes(config, given.changes)
    config.seed = seed
    config.name = f"{given.label}, seed {seed}"
    if data:
        config.data.dir = data
    if teacher := given.teacher:
        config.train.teacher = str(run_folder(workdir, teacher, seed))
    return config


def run_folder(workdir: Path, name: str, seed: int) -> Path:
    """The workdir of one run of a study."""
    return workdir / "runs" / f"{name}-seed{seed}"


def validate_variants(study: Config) -> None:
    """Check a study and the config of every run. Raises ConfigError with one line per problem."""
    known = default_variants()
    problems = [f"{name}: a study has no such field" for name in study if name not in known]
    problems += [f"{name} is missing" for name in known if name not in study]
    problems += [
        f"{name}={one_line(study[name])}; give a section of fields"
        for name in ("base", "variants")
        if name in study and not isinstance(study[name], ConfigDict)
    ]
    if problems:
        raise ConfigError(problems)
    problems = wrong_fields(study, SINGLE, MANY)
    problems += [f"{name}=(); give at least one" for name in ("rows", "figures") if not study[name]]
    for name, given in study.variants.items():
        problems += _wrong_variant(study, name, given)
    problems += [
        f"rows names {one_line(name)}; choose from {', '.join(study.variants)}"
        for name in study.rows
        if name not in study.variants
    ]
    if problems:
        raise ConfigError(problems)
    devices = {}
    for name in study.rows:
        config = config_of(study, name, study.seeds[0], Path())
        devices[config.train.cpu_devices] = name
        try:
            validate(config)
        except ConfigError as error:
            problems += [f"variants.{name}: {problem}" for problem in error.problems]
    if len(devices) > 1:
        given = ", ".join(f"{number} of {name}" for number, name in sorted(devices.items()))
        problems.append(
            f"train.cpu_devices is {given}; give all rows the same, as they share a process"
        )
    if problems:
        raise ConfigError(problems)


def _wrong_variant(study: Config, name: str, given: Any) -> list[str]:
    path = f"variants.{name}"
    if not _NAME.fullmatch(name):
        return [f"{path}: name it as a folder, with at most 64 small letters, digits and _"]
    if not isinstance(given, ConfigDict) or {*given} != {"label", "changes", "teacher"}:
        return [f"{path}={one_line(given)}; give what `variant` makes: label, changes, teacher"]
    problems = wrong_changes(study.base, path, given.changes)
    rows = [*study.rows]
    above = rows[: rows.index(name)] if name in rows else []
    if name in rows and given.teacher and given.teacher not in above:
        known = ", ".join(above) or "there is none"
        problems.append(
            f"{path}.teacher={one_line(given.teacher)}; choose from the rows above it: {known}"
        )
    return problems
