"""The check of a config: names, types and bounds of its fields; `relations` has the rest."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from sketchjax.config.fields import FIELDS, FREE, ROWS
from sketchjax.config.relations import broken_relations
from sketchjax.fields import LARGEST_INT, Field, is_number, one_line
from sketchjax.models.table import ENCODERS

_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a tuple",
    dict: "a section of fields",
}


def problems_of(config: ConfigDict, devices: int) -> list[str]:
    """One line for each field, or set of fields, that is invalid.

    devices: how many a batch is divided over.
    """
    known = known_fields(config)
    found = _leaves(config, known)
    problems = [_misplaced(path, found[path], known) for path in found if path not in known]
    missing: dict[str, None] = {}
    fields: dict[str, Any] = {}
    for path, field in known.items():
        if path in found:
            remedy = _type_remedy(found[path], field) or _value_remedy(path, found[path], field)
            if remedy:
                problems.append(f"{path}={one_line(found[path])}; {remedy}")
            else:
                fields[path] = found[path]
        elif _in_row(path):
            fields[path] = field.default
        elif (gap := _first_gap(config, path)) is not None:
            missing[gap] = None
    problems += [f"{path} is missing; start from sketchjax.config.default()" for path in missing]
    fields = {path: _plain(value) for path, value in fields.items()}
    return sorted(problems) + broken_relations(fields, devices)


def known_fields(config: ConfigDict) -> dict[str, Field]:
    """All fields that this config can have, with the names of its own rows, and their rules."""
    known: dict[str, Field] = {}
    for path, field in FIELDS.items():
        section, star, name = path.partition(".*.")
        if not star:
            known[path] = field
            continue
        for row in _row_names(config, section):
            known[f"{section}.{row}.{name}"] = field
    for name in _row_names(config, "model.encoders"):
        kind = _section(config, f"model.encoders.{name}").get("kind")
        settings = ENCODERS[kind].settings if type(kind) is str and kind in ENCODERS else {}
        known |= {f"model.encoders.{name}.{key}": field for key, field in settings.items()}
    return known


def _row_names(config: ConfigDict, section: str) -> list[str]:
    """The names of a section's rows, stages in the order of the plan."""
    rows = _section(config, section)
    plan: Any = config.get("plan") if section == "stages" else ()
    first = [name for name in plan if name in rows] if type(plan) in (tuple, list) else []
    return [name for name in dict.fromkeys([*first, *rows]) if isinstance(rows[name], ConfigDict)]


def _section(config: ConfigDict, path: str) -> ConfigDict:
    """A section of the config; empty where there is none."""
    found: Any = config
    for name in path.split("."):
        found = found.get(name) if isinstance(found, ConfigDict) else None
    return found if isinstance(found, ConfigDict) else ConfigDict()


def _leaves(section: ConfigDict, known: Mapping[str, Field], prefix: str = "") -> dict[str, Any]:
    """Every value that is not a section, or that is a known field, by its dotted path."""
    found: dict[str, Any] = {}
    for name, value in section.items():
        path = f"{prefix}{name}"
        if isinstance(value, ConfigDict) and path not in known:
            found |= _leaves(value, known, f"{path}.")
        else:
            found[path] = value
    return found


def _misplaced(path: str, value: Any, known: Mapping[str, Field]) -> str:
    """What is wrong with a value that is no field."""
    if path in ROWS or _is_row(path) or any(name.startswith(f"{path}.") for name in known):
        return f"{path}={one_line(value)}; give {_KINDS[dict]}"
    near = difflib.get_close_matches(path, [*known, *_sections(known)], n=1)
    remedy = f"did you mean {near[0]}?" if near else "leave it out"
    return f"{path}={one_line(value)} is no field; {remedy}"


def _sections(known: Mapping[str, Field]) -> set[str]:
    return {path.split(".")[0] for path in known}


def _in_row(path: str) -> bool:
    return pattern(path) != path or path.startswith("model.encoders.")


def _first_gap(config: ConfigDict, path: str) -> str | None:
    """The section or field that is missing on the way to a field; None where a value blocks it."""
    found: Any = config
    names = path.split(".")
    for number, name in enumerate(names):
        if not isinstance(found, ConfigDict):
            return None
        if name not in found:
            return ".".join(names[: number + 1])
        found = found[name]
    return None


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, ConfigDict) else value


def _type_remedy(value: Any, field: Field) -> str:
    """What to do about a value of the wrong type; whole numbers are numbers too."""
    usual = field.default
    if isinstance(usual, dict):
        is_like = isinstance(value, ConfigDict)
    elif isinstance(usual, tuple):
        is_like = type(value) in (tuple, list)
    else:
        is_like = is_number(value) if type(usual) is float else type(value) is type(usual)
    example = "" if isinstance(usual, dict) else f", such as {usual!r}"
    return "" if is_like else f"give {_KINDS[type(usual)]}{example}"


def _value_remedy(path: str, value: Any, field: Field) -> str:
    """What to do about a value of the right type; empty where it is valid."""
    if type(value) is int and path != "seed" and abs(value) > LARGEST_INT:
        return f"must be at most {LARGEST_INT}"
    for text in value if isinstance(value, tuple | list) else (value,):
        if type(text) is str and not _is_text(text):
            return "give text that can be part of a file's name: no zero bytes, no half characters"
    return "" if field.is_valid(value) else field.remedy


def _is_text(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def pattern(path: str) -> str:
    """The name of a field in FIELDS: with `*` in place of the name of its row."""
    for section in ROWS:
        rest = path.removeprefix(f"{section}.")
        if rest != path and "." in rest:
            return f"{section}.*.{rest.split('.', 1)[1]}"
    return path


# --- fields given as text --------------------------------------------------------------------


def wrong_text(path: str, text: str) -> str | None:
    """Why a field cannot be given as this text on the command line; None where it can.

    Only its name and type are looked at; whether the value is valid is for `validate`. Rows may
    have any name.
    """
    usual = _usual(path)
    if usual is None:
        if _is_row(path) or any(name.startswith(f"{path}.") for name in FIELDS):
            return f"{path}={one_line(text)}; it is a section: give {path}.FIELD"
        return _misplaced(path, text, FIELDS)
    try:
        _READERS.get(type(usual), str)(text)
    except ValueError:
        return f"{path}={one_line(text)}; give {_KINDS[type(usual)]}, such as {usual!r}"
    return None


def as_literal(path: str, text: str) -> str:
    """The text of a field that holds several values as a Python literal; other text as it is.

    Names are given with commas, `cat,clock`, as on all command lines of the project, numbers too. A
    name that has a comma itself is quoted as in CSV: `"salt, pepper",cat`.
    """
    usual = _usual(path.removeprefix("base."))
    if not isinstance(usual, tuple) or text.lstrip()[:1] in ("(", "["):
        return text
    values = [value for value in split_list(text) if value]
    return repr(tuple(int(v) if re.fullmatch(r"\d+", v) else v for v in values))


def split_list(text: str) -> list[str]:
    """Names from a text with commas between them, each without outer spaces, quoted as in CSV."""
    rows = list(csv.reader([text], skipinitialspace=True))
    return [name.strip() for name in rows[0]] if rows else []


def _usual(path: str) -> Any:
    """The default of a field by its path, whatever its row is called; None for no field."""
    name = pattern(path)
    if any(name.startswith(f"{section}.") for section in FREE):
        return 0.5
    if name in FIELDS:
        value = FIELDS[name].default
        return None if isinstance(value, dict) else value
    if name.startswith("model.encoders.*."):
        setting = name.removeprefix("model.encoders.*.")
        for row in ENCODERS.values():
            if setting in row.settings:
                return row.settings[setting].default
    return None


def _is_row(path: str) -> bool:
    """Whether it is a section of rows, or one of its rows."""
    return path in (*ROWS, *FREE) or any(
        path.startswith(f"{section}.") and path.count(".") == section.count(".") + 1
        for section in ROWS
    )


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError
    return text.lower() in ("true", "t", "1")


_READERS: dict[type, Callable[[str], Any]] = {bool: _read_bool, int: int, float: float}


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """All fields as `section.field`: value."""
    fields: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            fields.update(flat(value, f"{prefix}{key}."))
        else:
            fields[f"{prefix}{key}"] = value
    return fields
