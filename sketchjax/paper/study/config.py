"""The config of a study: which tables, at which code lengths and seeds, from which base config."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from sketchjax.config import Config, as_literal, default, flat, real_data, split_list, wrong_text
from sketchjax.config.check import known_fields
from sketchjax.errors import ConfigError
from sketchjax.fields import Field, choice, is_number, one_line, text, whole
from sketchjax.paper.study.methods import METHODS, apply_changes

# As the paper numbers them; figures 4, 5 and 6 come with the tables they show.
TABLES = ("1", "2", "4", "5", "6", "zero-shot")
PAPER_BITS = (16, 24, 32, 64)


def _is_rate_of_length(pair: Any) -> bool:
    is_pair = isinstance(pair, tuple | list) and len(pair) == 2
    return is_pair and type(pair[0]) is int and is_number(pair[1]) and pair[1] > 0


_LENGTH = Field(64, lambda v: v > 0 and v % 8 == 0, "take a multiple of 8, 16 to 64 usually")

# The fields of a study: those of one value, and those of several with their default and what each
# value must be.
Single = Mapping[str, Field]
Many = Mapping[str, tuple[tuple, Field]]

SINGLE: dict[str, Field] = {
    "name": text("SketchMate, every table"),
    "zero_shot_bits": Field(32, _LENGTH.is_valid, _LENGTH.remedy),
    "unseen_count": whole(20, 1),  # how many categories each seed draws where `unseen` names none
    "query": text("dog"),  # the category whose query figure 6 shows
    "hog_size": whole(64, 16, 4096),  # side of the picture that HOG features describe, px
}

MANY: dict[str, tuple[tuple, Field]] = {
    "tables": (TABLES, choice(*TABLES)),
    "rows": ((), text()),  # the methods to run, of all tables (study/methods.py); empty: all
    "bits": (PAPER_BITS, _LENGTH),
    "seeds": ((0,), whole(0, 0, 2**32 - 1)),
    # train.head_rate of the runs of a code length; the base's for those not named.
    "head_rates": (
        (),
        Field((64, 2.0), _is_rate_of_length, "give bits and a rate above 0, as in ((64, 2.0),)"),
    ),
    "unseen": ((), text()),  # categories kept out of training for the zero-shot table
    "galleries": ((345_000, 10_000_000, 100_000_000), whole(345_000, 1)),  # of table 5
    "commands": ((), text()),  # lines that the report shows as how it was made
    "notes": ((), text()),  # sentences that a reader of the report has to know
}
_NEEDED = ("tables", "bits", "seeds")
_DIFFERENT = (*_NEEDED, "rows", "unseen")

# Settings of the recognisers of table 6; the rest is as in base.model.encoders.cnn.
RECOGNISERS = {
    "sketch_a_net": {"width": 1.0, "stem_stride": 3, "dense_features": 0},
    "resnet50": {"width": 1.0, "stem_stride": 2},
}


def with_defaults(single: Single, many: Many) -> ConfigDict:
    """A study with its own fields only, at their defaults."""
    study = ConfigDict(type_safe=False)
    for name, field in single.items():
        study[name] = field.default
    for name, (values, _) in many.items():
        study[name] = values
    return study


def default_study() -> Config:
    """All tables of the paper at all its code lengths, one seed; the base is our recipe."""
    study = with_defaults(SINGLE, MANY)
    for name, settings in RECOGNISERS.items():
        study[name] = copy.deepcopy(settings)
    # Every run is this config, as its method changes it.
    study.base = default()
    # Your own methods, as rows of table 1, by name: a `label`, and `changes` of the base.
    study.methods = ConfigDict(type_safe=False)
    return study


def paper_study(*tables: str) -> Config:
    """These tables at the paper's scale: its sizes, code lengths and splits of QuickDraw-3.8M.

    The drawings are those of $SKETCHJAX_DATA/quickdraw if `base.data.dir` names no data folder.
    """
    study = default_study()
    study.tables = tables
    study.base.data.source = real_data("quickdraw")
    study.base.model.dtype = "bfloat16"
    study.base.model.encoders.rnn.implementation = "fused"
    return study


def is_study(config: Any) -> bool:
    """Whether a config is that of a study, not of a run."""
    return isinstance(config, ConfigDict) and "base" in config


# --- the check -------------------------------------------------------------------------------


def validate_study(config: Config) -> None:
    """Check the study's own fields; its runs are checked one by one when they are planned.

    Raises ConfigError with one line per problem.
    """
    known = default_study()
    problems = [f"{name}: a study has no such field" for name in config if name not in known]
    problems += [
        f"{name} is missing; start from sketchjax.paper.study.config.default_study()"
        for name in known
        if name not in config
    ]
    problems += [
        f"{name}={one_line(config[name])}; give a section of fields"
        for name in ("base", "methods", *RECOGNISERS)
        if name in config and not isinstance(config[name], ConfigDict)
    ]
    if problems:
        raise ConfigError(problems)
    problems += wrong_fields(config, SINGLE, MANY)
    for name, method in config.methods.items():
        problems += _wrong_method(config, f"methods.{name}", method)
    if problems:
        raise ConfigError(problems)
    known_rows = sorted({*METHODS, *config.methods})
    problems += [
        f"rows has {one_line(name)}; choose from {', '.join(known_rows)}"
        for name in config.rows
        if name not in known_rows
    ]
    if problems:
        raise ConfigError(problems)


def wrong_fields(config: Config, single: Single, many: Many) -> list[str]:
    """One line for each of a study's own fields whose value is invalid."""
    problems = []
    for name, field in single.items():
        problems += _wrong_value(name, config[name], field)
    for name, (usual, each) in many.items():
        problems += _wrong_values(name, config[name], usual, each)
    return problems


def _wrong_value(name: str, value: Any, field: Field) -> list[str]:
    # A pair is checked whole by its own rule.
    is_like = isinstance(field.default, tuple) or type(value) is type(field.default)
    if is_like and field.is_valid(value):
        return []
    return [f"{name}={one_line(value)}; {field.remedy or 'give text'}"]


def _wrong_values(name: str, values: Any, usual: tuple, each: Field) -> list[str]:
    if not isinstance(values, tuple | list):
        example = usual or (each.default,)
        return [f"{name}={one_line(values)}; give a tuple, such as {one_line(example)}"]
    problems = [problem for value in values for problem in _wrong_value(name, value, each)]
    if name in _NEEDED and not values:
        problems.append(f"{name}=(); give at least one")
    if name in _DIFFERENT and not problems and len({*values}) < len(values):
        problems.append(f"{name}={one_line(values)} names one of them twice")
    return problems


def _wrong_method(config: Config, path: str, method: Any) -> list[str]:
    """What is wrong with a method of the study's own."""
    if not isinstance(method, ConfigDict) or not {"label", "changes"} <= {*method}:
        return [f"{path}={one_line(method)}; give it a label and its changes"]
    problems = wrong_changes(config.base, path, method.changes)
    begins: Any = method.get("begins", ())
    names = ", ".join(sorted({*METHODS, *config.methods}))
    return problems + [
        f"{path}.begins names {one_line(name)}; choose from {names}"
        for name in begins
        if name not in METHODS and name not in config.methods
    ]


def wrong_changes(base: Config, path: str, changes: Any) -> list[str]:
    """One line for each change of a base that names no field. path: whose `changes` they are."""
    if not isinstance(changes, ConfigDict):
        return [f"{path}.changes={one_line(changes)}; give a section of fields"]
    changed = copy.deepcopy(base)
    apply_changes(changed, changes)
    known = known_fields(changed)
    free = tuple(f"{name}." for name, field in known.items() if isinstance(field.default, dict))
    return [
        f"{path}.changes.{field} names no field that a run has"
        for field in flat(changes)
        if field not in known and not field.startswith(free)
    ]


# --- fields given as text --------------------------------------------------------------------


def wrong_study_text(path: str, text: str) -> str | None:
    """`config.wrong_text` for the fields of studies as well; None where the text is valid."""
    if path.startswith("base."):
        problem = wrong_text(path.removeprefix("base."), text)
        # The fields that it suggests are those of the base, too.
        return problem and "base." + re.sub(r"(mean |give )(?=\w+\.)", r"\1base.", problem)
    if path in default_study() or path.split(".")[0] in RECOGNISERS:
        return None
    return wrong_text(path, text)


def study_literal(path: str, text: str) -> str:
    """`config.as_literal` for the fields of studies as well.

    Values are given with commas: `--config.bits=16,64`, `--config.tables=1,2`, and with colons
    inside pairs: `--config.head_rates=32:5,64:2.5`.
    """
    if path not in MANY or text.lstrip()[:1] in ("(", "["):
        return as_literal(path, text)
    read = _READERS[type(MANY[path][1].default)]
    return repr(tuple(read(value) for value in split_list(text) if value))


def _number(text: str) -> Any:
    """A number from text; other text as it is, for `validate_study` to refuse."""
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        return text


# By the type of a value. Tables are text although most of them look like numbers.
_READERS: dict[type, Callable[[str], Any]] = {
    str: str,
    int: _number,
    tuple: lambda pair: tuple(map(_number, pair.split(":"))),
}
