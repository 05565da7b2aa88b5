"""What each field of a manifest must be to be used at all."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sources.records import MOST_POINTS, wrong_name

SHARD_PATTERN = re.compile(rf"({'|'.join(SPLITS)})-(\d{{5}})-of-(\d{{5}})\.arrayrecord")
MOST_CATEGORIES = 2**16  # what the 16 bits of a record's label can name
_MOST = 2**53  # above it JSON's readers no longer agree on a number
_SHARD_FIELDS = {"name", "records", "bytes", "sha256"}
_OPTIONAL = {"sources", "bad", "bad_listed", "left_out", "dropped", "sketchjax"}


def wrong_fields(content: Mapping[str, Any]) -> Iterator[str]:
    """What is missing, unknown or not of its type and range in the JSON of a manifest."""
    for name, rule in _RULES.items():
        if name in content:
            yield from (f"{name}{problem}" for problem in rule(content[name]))
        elif name not in _OPTIONAL:
            yield f"{name} is missing"
    for name in content.keys() - _RULES.keys():
        yield f"{shown(name)} is no field of a manifest"
    if not all(type(content.get(name)) is list for name in ("categories", *_BY_CATEGORY)):
        return
    number = len(content["categories"])
    for name in _BY_CATEGORY:
        if len(content[name]) != number:
            yield f"{name} has {len(content[name])} values for {number} categories"


def shown(value: Any) -> str:
    """A value of a file as a message shows it, never long."""
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _count(value: Any, least: int = 0, most: int = _MOST) -> Iterator[str]:
    if type(value) is not int or not least <= value <= most:
        yield f" is {shown(value)}, not a whole number from {least} to {most}"


def _version(value: Any) -> Iterator[str]:
    return _count(value, 1)


def _scale(value: Any) -> Iterator[str]:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        yield f" is {shown(value)}, not a number above 0"


def _quantiles(values: Any) -> Iterator[str]:
    if type(values) is not list:
        yield f" is {shown(values)}, not a list"
        return
    for place, value in enumerate(values):
        if type(value) not in (int, float) or not 0 <= value <= 1:
            yield f"[{place}] is {shown(value)}, not a number from 0 to 1"


def _names(values: Any) -> Iterator[str]:
    if type(values) is not list or not 1 <= len(values) <= MOST_CATEGORIES:
        yield f" is not a list of 1 to {MOST_CATEGORIES:,} names"
        return
    for place, name in enumerate(values):
        wrong = wrong_name(name) if type(name) is str else "is not text"
        if wrong:
            yield f"[{place}] {wrong}"


def _object(values: Any) -> Iterator[str]:
    if type(values) is not dict:
        yield f" is {shown(values)}, not an object"


def _text(value: Any) -> Iterator[str]:
    if type(value) is not str:
        yield f" is {shown(value)}, not text"


def _each(rule: Callable[[Any], Iterator[str]]) -> Callable[[Any], Iterator[str]]:
    """The rule of an object all of whose values follow one."""

    def rule_of_all(values: Any) -> Iterator[str]:
        if type(values) is not dict:
            yield from _object(values)
            return
        for name, value in values.items():
            yield from (f"[{shown(name)}]{problem}" for problem in rule(value))

    return rule_of_all


def _by_split(rule: Callable[[Any], Iterator[str]]) -> Callable[[Any], Iterator[str]]:
    """The rule of an object with a value for each split."""

    def rule_of_splits(values: Any) -> Iterator[str]:
        if type(values) is not dict or values.keys() != set(SPLITS):
            yield f" is not an object with the fields {', '.join(SPLITS)}"
            return
        yield from _each(rule)(values)

    return rule_of_splits


def _lengths(values: Any) -> Iterator[str]:
    yield from _each(lambda number: _count(number, 1))(values)
    for length in values if type(values) is dict else ():
        if not re.fullmatch(r"[1-9]\d{0,4}", length) or int(length) > MOST_POINTS:
            yield f" counts sketches of {shown(length)} points, not of 1 to {MOST_POINTS:,}"


def _shards(values: Any) -> Iterator[str]:
    if type(values) is not list:
        yield f" is {shown(values)}, not a list"
        return
    for place, shard in enumerate(values):
        if type(shard) is not dict or shard.keys() != _SHARD_FIELDS:
            yield f"[{place}] is not an object with the fields name, records, bytes, sha256"
            continue
        # The name becomes a path: nothing but a shard's own name is let through.
        if type(shard["name"]) is not str or not SHARD_PATTERN.fullmatch(shard["name"]):
            yield f"[{place}] has the name {shown(shard['name'])}, not a shard's"
        if type(shard["sha256"]) is not str or not re.fullmatch("[0-9a-f]{64}", shard["sha256"]):
            yield f"[{place}] has the sha256 {shown(shard['sha256'])}"
        for field in ("records", "bytes"):
            yield from (f"[{place}].{field}{problem}" for problem in _count(shard[field]))


def _listed(values: Any) -> Iterator[str]:
    if type(values) is not list or not all(type(value) is dict for value in values):
        yield " is not a list of objects"


_BY_CATEGORY = ("entropy_low", "entropy_high")
_RULES: dict[str, Callable[[Any], Iterator[str]]] = {
    "version": _version,
    "categories": _names,
    "counts": _by_split(_count),
    "counts_by_category": _each(_by_split(_count)),
    "offset_scale": _scale,
    "entropy_low": _quantiles,
    "entropy_high": _quantiles,
    "lengths": _by_split(_lengths),
    "shards": _by_split(_shards),
    "settings": _object,
    "sources": _listed,
    "bad": _each(_count),
    "bad_listed": _listed,
    "left_out": _each(_count),
    "dropped": _each(_text),
    "sketchjax": _text,
}
