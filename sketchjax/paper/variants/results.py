"""What a study of variants found: WORKDIR/variants.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sketchjax.files import read_json, write_whole
from sketchjax.retrieval.photo_scores import HAMMING

FILE = "variants.json"
_RANKINGS = ("photo_rankings", "feature_rankings", "rankings")  # the last are of codes only
_PARTS = ("category", "instance")


class Row(msgspec.Struct, frozen=True):
    """A variant. figures: by name, the value of each seed; None where there is none."""

    label: str
    figures: dict[str, tuple[float | None, ...]]


class Results(msgspec.Struct, frozen=True):
    """All variants, in the order of the config; the others are compared with the first."""

    name: str
    seeds: list[int]
    rows: list[Row]
    versions: dict[str, str]
    device: str


def value_of(results: Mapping[str, Any], figure: str) -> float | None:
    """A figure of a run's results.

    results: as in results.json.
    figure: NAME of these, or DISTANCE:NAME of the first ranking by that distance; of photos, NAME
      is looked for by category and then by instance. Codes are ranked by `hamming` distance.
    """
    distance, _, name = figure.rpartition(":")
    if not distance:
        return _number(results.get(name))
    for row in (row for key in _RANKINGS for row in results.get(key, ())):
        if row.get("distance", HAMMING) == distance:
            parts = [row, *(row.get(part) or {} for part in _PARTS)]
            return next((_number(part[name]) for part in parts if name in part), None)
    return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def write(workdir: Path, results: Results) -> None:
    """Write what is known."""
    write_whole(workdir / FILE, msgspec.json.format(msgspec.json.encode(results)))


def read(workdir: Path) -> Results:
    """What is known of a study. Raises DataError when there is nothing."""
    remedy = "a study of variants writes it after every run"
    return read_json(workdir / FILE, Results, remedy=remedy)
