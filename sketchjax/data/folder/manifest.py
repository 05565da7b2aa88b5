"""The manifest of a data folder: what its shards hold, and how they came about.

`manifest.json` is written last. A folder without one is a conversion that has not ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import sketchjax
from sketchjax.data.folder.manifest_rules import shown, wrong_fields
from sketchjax.errors import DataError
from sketchjax.files import write_whole

NAME = "manifest.json"
VERSION = 1
# Bytes; 65,536 categories take 10 MB. Of hostile JSON Python makes 30 times as much.
LARGEST = 32 << 20
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Shard:
    """One ArrayRecord file: its name in the folder, records, bytes, and sha256."""

    name: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a data folder holds. The same sources and settings give the same bytes: no times, and
    of the sources only their names.

    categories: the names, sorted; a label is an index into them.
    counts: sketches by split; counts_by_category: the same by category.
    offset_scale: the standard deviation of all Δx and Δy of the training split (sketch-rnn's rule),
      in the drawings' units (0 to 255). The first point's offset is (0, 0): it counts from where
      the drawing starts. All points count, also those past a model's longest sequence.
    entropy_low, entropy_high: by category, the 5 % and the 95 % quantile of the image entropy of
      its training sketches (numpy's linear rule): between them, ends included, lies the middle
      90 %. 0 and 1 where a category has no training sketch.
    lengths: by split, the number of sketches of each length: {points: sketches}.
    shards: by split, in the order of the records.
    bad: bad records by kind; bad_listed: the first of them, each with file, place, kind, reason.
    left_out: sketches read but not used, by reason (filters, duplicates, no split).
    dropped: categories left out whole, each with the reason.
    settings: everything that decided the conversion; two folders of equal settings and equal
      sources are equal.
    """

    categories: list[str]
    counts: dict[str, int]
    counts_by_category: dict[str, dict[str, int]]
    offset_scale: float
    entropy_low: list[float]
    entropy_high: list[float]
    lengths: dict[str, dict[int, int]]
    shards: dict[str, list[Shard]]
    settings: dict[str, Any]
    sources: list[dict[str, Any]] = field(default_factory=list)
    bad: dict[str, int] = field(default_factory=dict)
    bad_listed: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    sketchjax: str = sketchjax.__version__
    version: int = VERSION

    def longer_than(self, points: int, split: str | None = None) -> int:
        """How many sketches have more than `points` points, in one split or in all."""
        chosen = self.lengths if split is None else {split: self.lengths[split]}
        return sum(
            number
            for lengths in chosen.values()
            for length, number in lengths.items()
            if length > points
        )

    def middle(self, labels: np.ndarray, entropies: np.ndarray) -> np.ndarray:
        """Which sketches lie in the middle 90 % of their category by entropy.

        labels: i[b]; entropies: f[b].  Returns bool[b].
        """
        low, high = np.asarray(self.entropy_low), np.asarray(self.entropy_high)
        return (entropies >= low[labels]) & (entropies <= high[labels])

    def save(self, folder: Path) -> None:
        """Write `manifest.json` whole or not at all."""
        content = dataclasses.asdict(self)
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        write_whole(folder / NAME, orjson.dumps(content, option=options) + b"\n")

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Read the manifest of a data folder.

        Raises DataError when there is none, it is not one, or it is of another version.
        """
        path = Path(folder) / NAME
        if not path.exists():
            raise DataError(
                f"{folder} is not a data folder: it has no {NAME}; "
                "run `sketchjax convert SOURCE... FOLDER` (again, if it was stopped)"
            )
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Manifest:
        """The manifest that the bytes of a file `path` are.  Raises DataError as `load` does."""
        if len(content) > LARGEST:
            raise DataError(f"{path} has more than {LARGEST:,} bytes: not a manifest")
        try:
            fields = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path} cannot be read as a manifest: {error}") from error
        if not isinstance(fields, dict) or "version" not in fields:
            raise DataError(f"{path} cannot be read as a manifest: it states no version")
        if fields["version"] != VERSION:
            raise DataError(
                f"{path} is of version {shown(fields['version'])}, this sketchjax reads version "
                f"{VERSION}; convert the drawings again"
            )
        problems = list(islice(wrong_fields(fields), _SHOWN + 1))
        if problems:
            raise DataError(
                f"{path} is damaged; delete the folder and convert the drawings again:\n"
                + listed(problems)
            )
        return cls._from_json(fields)

    @classmethod
    def _from_json(cls, content: dict[str, Any]) -> Manifest:
        content["shards"] = {
            split: [Shard(**shard) for shard in shards]
            for split, shards in content["shards"].items()
        }
        content["lengths"] = {
            split: {int(length): number for length, number in lengths.items()}
            for split, lengths in content["lengths"].items()
        }
        return cls(**content)


def listed(lines: Sequence[str]) -> str:
    """Findings as the lines of a message, 20 of them."""
    shown_lines = [f"  - {line}" for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown_lines.append("  - and more")
    return "\n".join(shown_lines)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """One line for each setting in which two settings differ, nested names joined by dots."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {_short(before)} there, {_short(after)} asked")
    return lines


def _short(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
