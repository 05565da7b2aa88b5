"""The check of a config: names, types and bounds of its fields; `relations` has the rest."""

from __future__ import annotations

import ast
import csv
import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from sketchjax.config.fields import FIELDS, FREE, ROWS
from sketchjax.config.relations import broken_relations
from sketchjax.errors import ConfigError
from sketchjax.fields import LARGEST_INT, Field, is_number, one_line
from sketchjax.losses.table import LOSSES
from sketchjax.models.table import ENCODERS

_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a tuple",
    dict: "a section of fields",
}
_DEEPEST = 5  # no field lies deeper; a section that holds itself ends here


class Section(dict[str, Any]):
    """What a section of a config holds; any other dict is a value."""


def contents(config: ConfigDict) -> Section:
    """All that a config holds, by name, in sections.

    A value that raises, such as a reference to nothing, is there as its error.
    Raises ConfigError when the names of its sections are not all text.
    """
    held = _contents(config, 0)
    if not isinstance(held, Section):
        raise ConfigError(f"not all sections have text as names ({one_line(held)}); rename them")
    return held


def _contents(section: ConfigDict, depth: int) -> Section | Exception:
    held = Section()
    try:
        names = list(section)  # sorted, which fails where only some of them are text
    except Exception as error:
        return error
    for name in names:
        try:
            value = section[name]
        except Exception as error:
            value = error
        if isinstance(value, ConfigDict) and depth < _DEEPEST:
            value = _contents(value, depth + 1)
        held[str(name)] = value
    return held


def problems_of(config: ConfigDict, devices: int) -> list[str]:
    """One line for each field, or set of fields, that is invalid.

    devices: how many a batch is divided over.
    """
    held = contents(config)
    known = _known_fields(held)
    found = _leaves(held, known)
    problems = [
        _misplaced(path, value, known)
        for path, value in found.items()
        if path not in known and not _in_unknown_encoder(held, path)
    ]
    missing: dict[str, None] = {}
    fields: dict[str, Any] = {}
    for path, field in known.items():
        if path in found:
            remedy = _type_remedy(found[path], field) or _value_remedy(found[path], field)
            if remedy:
                problems.append(f"{path}={one_line(found[path])}; {remedy}")
            else:
                fields[path] = found[path]
        elif _in_row(path):
            fields[path] = field.default
        elif (gap := _first_gap(held, path)) is not None:
            missing[gap] = None
    for section, order in ROWS.items():
        if (gap := _first_gap(held, section)) is not None:
            missing[gap] = None
        # The rules about rows would only repeat what is wrong with these.
        if not _are_rows(held, section, fields):
            fields.pop(order, None)
    problems += [f"{path} is missing; start from sketchjax.config.default()" for path in missing]
    return sorted(problems) + broken_relations(fields, devices)


def known_fields(config: ConfigDict) -> dict[str, Field]:
    """All fields that this config can have, with the names of its own rows, and their rules."""
    return _known_fields(contents(config))


def _known_fields(held: Section) -> dict[str, Field]:
    known: dict[str, Field] = {}
    for path, field in FIELDS.items():
        section, star, name = path.partition(".*.")
        if not star:
            known[path] = field
            continue
        for row in _row_names(held, section):
            known[f"{section}.{row}.{name}"] = field
    for name in _row_names(held, "model.encoders"):
        kind = _at(held, f"model.encoders.{name}.kind")
        settings = ENCODERS[kind].settings if _is_kind(kind) else {}
        known |= {f"model.encoders.{name}.{key}": field for key, field in settings.items()}
    return known


def _row_names(held: Section, section: str) -> list[str]:
    """The names of a section's rows: first those that its order names, then the others."""
    rows, order = _at(held, section), _at(held, ROWS[section])
    if not isinstance(rows, Section):
        return []
    first = [name for name in order if type(name) is str] if type(order) in (tuple, list) else []
    return [name for name in dict.fromkeys([*first, *rows]) if isinstance(rows.get(name), Section)]


def _at(held: Section, path: str) -> Any:
    """What the config holds at a path; None where there is nothing."""
    found: Any = held
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Section) else None
    return found


def _are_rows(held: Section, section: str, fields: Mapping[str, Any]) -> bool:
    """Whether it is a section, and each row that its order names has a valid field.

    fields: those that are valid.
    """
    rows = _at(held, section)
    return isinstance(rows, Section) and all(
        any(path.startswith(f"{section}.{name}.") for path in fields)
        for name in fields.get(ROWS[section], ())
        if name in rows
    )


def _is_kind(kind: Any) -> bool:
    return type(kind) is str and kind in ENCODERS


def _in_unknown_encoder(held: Section, path: str) -> bool:
    """Whether it is a setting of an encoder whose kind is wrong, which says it all."""
    if not pattern(path).startswith("model.encoders.*."):
        return False
    return not _is_kind(_at(held, ".".join([*path.split(".")[:3], "kind"])))


def _leaves(section: Section, known: Mapping[str, Field], prefix: str = "") -> dict[str, Any]:
    """Every value that is not a section, or that is a known field, by its dotted path."""
    found: dict[str, Any] = {}
    for name, value in section.items():
        path = f"{prefix}{name}"
        if isinstance(value, Section) and path not in known:
            found |= _leaves(value, known, f"{path}.")
        else:
            found[path] = value
    return found


def _misplaced(path: str, value: Any, known: Mapping[str, Field]) -> str:
    """What is wrong with a value that is no field."""
    if _is_section(path) or any(name.startswith(f"{path}.") for name in known):
        return f"{path}={one_line(value)}; give {_KINDS[dict]}"
    sections = {name.split(".")[0] for name in known}
    near = difflib.get_close_matches(path, [*known, *sections], n=1)
    remedy = f"did you mean {near[0]}?" if near else "leave it out"
    return f"{path}={one_line(value)} is no field; {remedy}"


def _in_row(path: str) -> bool:
    return pattern(path) != path


def _first_gap(held: Section, path: str) -> str | None:
    """The section or field that is missing on the way to a field; None where a value blocks it."""
    found: Any = held
    names = path.split(".")
    for number, name in enumerate(names):
        if not isinstance(found, Section):
            return None
        if name not in found:
            return ".".join(names[: number + 1])
        found = found[name]
    return None


def _type_remedy(value: Any, field: Field) -> str:
    """What to do about a value of the wrong type; whole numbers are numbers too."""
    usual = field.default
    if isinstance(usual, dict):
        is_like = isinstance(value, Section)
    elif isinstance(usual, tuple):
        is_like = type(value) in (tuple, list)
    else:
        is_like = is_number(value) if type(usual) is float else type(value) is type(usual)
    return "" if is_like else _give(usual)


def _give(usual: Any) -> str:
    """What to give in place of a value of the wrong type."""
    example = "" if isinstance(usual, dict) or usual in ("", ()) else f", such as {usual!r}"
    return f"give {_KINDS[type(usual)]}{example}"


def _value_remedy(value: Any, field: Field) -> str:
    """What to do about a value of the right type; empty where it is valid."""
    texts: Any = value if isinstance(value, tuple | list) else (value,)
    for text in texts:
        if type(text) is str and not _is_text(text):
            return "give text that can be part of a file's name: no zero bytes, no half characters"
    if field.is_valid(value):
        return ""
    # The bound that nearly all whole numbers share is not part of their remedies.
    if type(value) is int and value > LARGEST_INT and _is_largest(field):
        return f"must be at most {LARGEST_INT:,}"
    return field.remedy


def _is_largest(field: Field) -> bool:
    return field.is_valid(LARGEST_INT) and not field.is_valid(LARGEST_INT + 1)


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


def _is_section(path: str) -> bool:
    """Whether it is a section of rows or of free names, or a row."""
    parent = path.rpartition(".")[0]
    return path in ROWS or parent in ROWS or pattern(path) in FREE


# --- fields given as text --------------------------------------------------------------------


def wrong_text(path: str, text: str) -> str | None:
    """Why a field cannot be given as this text on the command line; None where it can.

    Only its name and type are looked at; whether the value is valid is for `validate`. Rows may
    have any name.
    """
    usual = _usual(path)
    if usual is None:
        if _is_section(path) or any(name.startswith(f"{path}.") for name in FIELDS):
            return f"{path}={one_line(text)}; it is a section: give {path}.FIELD"
        return _misplaced(path, text, _fields_like(path))
    try:
        _READERS.get(type(usual), str)(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        remedy = "give values with commas" if isinstance(usual, tuple) else _give(usual)
        return f"{path}={one_line(text)}; {remedy}"
    return None


def as_literal(path: str, text: str) -> str:
    """The text of a field that holds several values as a Python literal; other text as it is.

    Values are given with commas, `cat,clock`, as on all command lines of the project. A name that
    has a comma itself is quoted as in CSV: `"salt, pepper",cat`.
    """
    path = path.removeprefix("base.")
    field = _fields_like(path).get(path)
    if field is None or not isinstance(field.default, tuple) or _is_literal(text):
        return text
    values: list[Any] = [value for value in split_list(text) if value]
    if field.item is int:
        values = [int(v) if re.fullmatch(r"-?\d{1,4300}", v, re.ASCII) else v for v in values]
    return repr(tuple(values))


def split_list(text: str) -> list[str]:
    """Names from a text with commas between them, each without outer spaces, quoted as in CSV."""
    rows = csv.reader(text.splitlines(), skipinitialspace=True)
    return [name.strip() for row in rows for name in row]


def _usual(path: str) -> Any:
    """The default of a field by its path, whatever its row is called; None for no field."""
    name = pattern(path)
    if any(name.startswith(f"{section}.") for section in FREE):
        loss, _, setting = name.removeprefix("stages.*.losses.").partition(".")
        settings = LOSSES[loss].settings if loss in LOSSES else {}
        return settings[setting].default if setting in settings else 0.5
    field = None if name in FREE else _fields_like(path).get(path)
    return None if field is None else field.default


def _fields_like(path: str) -> dict[str, Field]:
    """All fields, those of rows with the name that the path has in the row's place."""
    known = dict(FIELDS)
    for row in ENCODERS.values():
        known |= {f"model.encoders.*.{name}": field for name, field in row.settings.items()}
    names, like = path.split("."), {}
    for name, field in known.items():
        parts = name.split(".")
        if "*" in parts:
            place = parts.index("*")
            parts[place] = names[place] if place < len(names) - 1 else "ROW"
        like[".".join(parts)] = field
    return like


def _is_literal(text: str) -> bool:
    return text.lstrip()[:1] in ("(", "[")


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError
    return text.lower() in ("true", "t", "1")


def _read_several(text: str) -> Any:
    return ast.literal_eval(text.strip()) if _is_literal(text) else split_list(text)


_READERS: dict[type, Callable[[str], Any]] = {
    bool: _read_bool,
    int: int,
    float: float,
    tuple: _read_several,
}


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """All fields as `section.field`: value."""
    fields: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            fields.update(flat(value, f"{prefix}{key}."))
        else:
            fields[f"{prefix}{key}"] = value
    return fields
