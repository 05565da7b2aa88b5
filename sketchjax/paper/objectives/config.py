"""The config of the study of objectives: which rows, at which code lengths, on which runs."""

from __future__ import annotations

from ml_collections import ConfigDict

from sketchjax.config import Config, default
from sketchjax.errors import ConfigError
from sketchjax.fields import Field, one_line, place, text, whole
from sketchjax.paper.study.config import with_defaults, wrong_fields

_LENGTH = Field(64, lambda v: v > 0 and v % 8 == 0, "take a multiple of 8, 16 to 64 usually")

SINGLE: dict[str, Field] = {
    "name": text("Objectives"),
    # Workdirs of finished runs, with commas; empty: the study trains one of each seed.
    "runs": place(),
    # That of a finished run with categories kept out of training; empty: the study trains one.
    "unseen_run": place(),
    "unseen_count": whole(10),  # how many categories that run keeps out; 0: no such run
    "epochs": whole(10, 1),  # of each head
    "copies": whole(0),  # augmented copies of each training sketch
    # Learning rates that an earlier study chose, its settings.json; empty: they are chosen.
    "settings": place(),
}

MANY: dict[str, tuple[tuple, Field]] = {
    "bits": ((16, 24, 32, 64), _LENGTH),
    "seeds": ((0, 1, 2), whole(0, 0, 2**32 - 1)),  # of the runs that it trains
    "objectives": ((), text()),  # the rows; empty: all
}


def default_objectives() -> Config:
    """All rows at the paper's code lengths, on three runs and one of unseen categories."""
    study = with_defaults(SINGLE, MANY)
    study.base = default()  # every run that it trains, with a seed of its own
    return study


def validate_objectives(config: Config) -> None:
    """Check the study's own fields; its runs are checked when they begin.

    Raises ConfigError with one line per problem.
    """
    known = default_objectives()
    problems = [f"{name}: a study has no such field" for name in config if name not in known]
    problems += [f"{name} is missing" for name in known if name not in config]
    if not problems and not isinstance(config.base, ConfigDict):
        problems.append(f"base={one_line(config.base)}; give a section of fields")
    if problems:
        raise ConfigError(problems)
    if problems := wrong_fields(config, SINGLE, MANY):
        raise ConfigError(problems)
