"""Fields of a config: a default, the values that may replace it, and the report's question.

Every setting of the project is one such line: those of a run (`config.fields`), of an encoder
(`models.table`), of a loss (`losses.table`). No jax here: a config is checked before jax loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchjax.errors import ConfigError

LARGEST_FLOAT = 3.4028234e38
_NO_HOME = "there is no such home folder; give the whole path"
LARGEST_INT = 2**31 - 1  # steps, sizes and indices are i32 on the devices


@dataclass(frozen=True)
class Field:
    """One setting.

    default: its value where a config says nothing; it also gives the type.
    item: the type of a tuple's values, which a default of none does not show.
    is_valid: whether a value of that type may be used.
    remedy: what to do about a value that may not.
    resumable: whether it may change between two calls on one workdir, as no figure depends on it.
    question: the heading a report lists it under; empty for a field that no report lists.
    """

    default: Any
    is_valid: Callable[[Any], bool] = lambda value: True
    remedy: str = ""
    resumable: bool = False
    question: str = ""
    item: type = str


# In all of these, `more` is `resumable` and `question` of the field.


def whole(default: int, least: int = 0, most: int = LARGEST_INT, **more: Any) -> Field:
    """A whole number from least to most."""
    return Field(default, lambda v: least <= v <= most, _range_text(least, most), **more)


def number(default: float, least: float = 0.0, most: float = LARGEST_FLOAT, **more: Any) -> Field:
    """A number from least to most; whole numbers are numbers too."""
    return Field(float(default), lambda v: least <= v <= most, _range_text(least, most), **more)


def above(default: float, least: float, remedy: str, **more: Any) -> Field:
    """A number greater than `least`; remedy: what to do about one that is not."""
    return Field(float(default), lambda v: v > least, remedy, **more)


def share(default: float, **more: Any) -> Field:
    """A probability of at least 0 and below 1."""
    remedy = "must be a probability of at least 0, below 1"
    return Field(float(default), lambda v: 0 <= v < 1, remedy, **more)


def choice(default: str, *others: str, **more: Any) -> Field:
    """One of a few words."""
    words = (default, *others)
    return Field(default, lambda v: v in words, f"choose one of {', '.join(words)}", **more)


def text(default: str = "", **more: Any) -> Field:
    """Any text."""
    return Field(default, **more)


def place(**more: Any) -> Field:
    """A path, or several with commas; none by default. `~` and `~user` are home folders."""
    return Field("", _has_homes, _NO_HOME, **more)


def switch(default: bool, **more: Any) -> Field:
    """True or False."""
    return Field(default, **more)


def names(**more: Any) -> Field:
    """A tuple of different, non-empty texts; none by default."""

    def is_valid(value: Any) -> bool:
        return all(type(v) is str and v for v in value) and len({*value}) == len(value)

    return Field((), is_valid, "give names as text, each once", **more)


def _range_text(least: float, most: float) -> str:
    if most in (LARGEST_INT, LARGEST_FLOAT):
        return f"must be at least {least:g}"
    return f"must be {least:g} to " + (f"{most:,}" if isinstance(most, int) else f"{most:g}")


def home_path(path: str | Path) -> Path:
    """A path in which a leading `~` or `~user` is the home folder.

    The shell expands it only at the start of a word, not after an equals sign.
    Raises ConfigError when there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: {_NO_HOME}") from None


def _has_homes(paths: str) -> bool:
    try:
        return bool([home_path(path.strip()) for path in paths.split(",")])
    except ConfigError:
        return False


def is_number(value: Any) -> bool:
    """Whether it is a whole number or a float within float32; booleans are not numbers."""
    return type(value) in (int, float) and abs(value) <= LARGEST_FLOAT


def one_line(value: Any) -> str:
    """Any value in one short line."""
    try:
        line = " ".join(repr(value).split())
    except Exception:  # whole numbers of more than 4300 digits, and any class's own repr
        line = f"a {type(value).__name__}"
    return line if len(line) <= 80 else line[:77] + "..."
