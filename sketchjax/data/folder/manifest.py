"""The manifest of a data folder: what its shards hold, and where that came from.

`manifest.json` is written last: a folder without one holds an unfinished conversion.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import orjson
from msgspec import Meta

import sketchjax
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sources import find, read
from sketchjax.data.sources.pictures import collect, is_pictures
from sketchjax.data.sources.records import MOST_POINTS, wrong_name
from sketchjax.errors import DataError
from sketchjax.files import write_whole

NAME = "manifest.json"
VERSION = 1
LARGEST = 32 << 20  # bytes; 65,536 categories take 10 MB
MOST_CATEGORIES = 2**16  # what the 16 bits of a record's label can count
KINDS = ("photo", "raster")  # of pictures: photos, and sketches that come as pixels
_OWNER = rf"((?:{'|'.join(KINDS)})-)?({'|'.join(SPLITS)})"
SHARD_PATTERN = re.compile(rf"{_OWNER}-(\d{{5}})-of-(\d{{5}})\.arrayrecord")
INDEX_PATTERN = re.compile(rf"{_OWNER}-index\.json")
_LISTED = 20

Count = Annotated[int, Meta(ge=0, le=2**53)]  # above 2^53 JSON's readers disagree on a number
Entropy = Annotated[float, Meta(ge=0, le=1)]
Length = Annotated[int, Meta(ge=1, le=MOST_POINTS)]
# The name becomes a path, so only a shard's own name is let through.
ShardName = Annotated[str, Meta(pattern=rf"\A{SHARD_PATTERN.pattern}\Z", max_length=100)]
IndexName = Annotated[str, Meta(pattern=rf"\A{INDEX_PATTERN.pattern}\Z", max_length=100)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ArrayRecord file: its name in the folder, records, bytes, and sha256."""

    name: ShardName
    records: Count
    bytes: Count
    sha256: Sha256


def shard_name(owner: str, number: int, count: int) -> str:
    """The file of one of a split's shards. owner: the split, for pictures KIND-SPLIT."""
    return f"{owner}-{number:05d}-of-{count:05d}.arrayrecord"


def misplaced(owner: str, shards: Sequence[Shard]) -> Iterator[str]:
    """Where a split's shards are not in order. owner: as in `shard_name`."""
    for number, shard in enumerate(shards):
        wanted = shard_name(owner, number, len(shards))
        if shard.name != wanted:
            yield f"{shard.name} is listed in the place of {wanted}"


class IndexFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that lists the records of a split (`index.Index`): its name, bytes, and sha256."""

    name: IndexName
    bytes: Count
    sha256: Sha256


class PictureSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The pictures of one kind that a data folder holds.

    counts: pictures by split.
    counts_by_category: the same for each category.
    shards: by split, in the order of the records.
    indexes: by split, its list of records. A split without pictures has neither.
    """

    counts: dict[str, Count]
    counts_by_category: dict[str, dict[str, Count]]
    shards: dict[str, list[Shard]]
    indexes: dict[str, IndexFile]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a data folder holds.

    The same sources and settings give the same bytes: no times, and only the names of the sources.

    categories: the names, sorted; a label is an index into them.
    counts: sketches by split.
    counts_by_category: the same for each category.
    offset_scale: standard deviation of all Δx and Δy of the training split (sketch-rnn's rule), in
      the drawings' units (0 to 255). The first point of a drawing has the offset (0, 0). All points
      count, also those beyond a model's longest sequence.
    entropy_low, entropy_high: by category, the 5 % and 95 % quantiles of the image entropy of its
      training sketches (linear interpolation). The middle 90 % lies between them, both included.
      0 and 1 for a category without training sketches.
    lengths: by split, how many sketches have each number of points: {points: sketches}.
    shards: by split, in the order of the records.
    settings: everything that decided the conversion.
    sources: the files read, each with its name and bytes.
    bad: bad records by kind.
    bad_listed: the first of them, each with file, place, kind and reason.
    left_out: sketches that were read but not used, by reason.
    dropped: categories that were left out, each with the reason.
    sketchjax: the version that wrote the folder.
    version: of this file's layout.
    decisions: by source file, what the reader decided about it, for people. Not written when empty.
    passed_over: by extension, files in the source folders that no reader takes. Not written when
      empty.
    pictures: by kind ("photo", "raster"), the pictures of the folder, whose categories are the same
      list. Not written when empty.
    instances: by split, the list that says which sketch draws which photo. Not written when empty.
    """

    categories: Annotated[list[str], Meta(min_length=1, max_length=MOST_CATEGORIES)]
    counts: dict[str, Count]
    counts_by_category: dict[str, dict[str, Count]]
    offset_scale: Annotated[float, Meta(gt=0)]
    entropy_low: list[Entropy]
    entropy_high: list[Entropy]
    lengths: dict[str, dict[Length, Annotated[int, Meta(ge=1, le=2**53)]]]
    shards: dict[str, list[Shard]]
    settings: dict[str, Any]
    sources: list[dict[str, Any]] = []
    bad: dict[str, Count] = {}
    bad_listed: list[dict[str, Any]] = []
    left_out: dict[str, Count] = {}
    dropped: dict[str, str] = {}
    sketchjax: str = sketchjax.__version__
    version: int = VERSION
    decisions: dict[str, list[str]] = {}
    passed_over: dict[str, Count] = {}
    pictures: dict[Literal["photo", "raster"], PictureSet] = {}
    instances: dict[str, IndexFile] = {}

    def files(self) -> Iterator[Shard | IndexFile]:
        """All files of the folder, except the manifest."""
        for part in (self.shards, *(pictures.shards for pictures in self.pictures.values())):
            for shards in part.values():
                yield from shards
        for pictures in self.pictures.values():
            yield from pictures.indexes.values()
        yield from self.instances.values()

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
        content = msgspec.to_builtins(self, str_keys=True)
        for name in (
            "decisions",
            "passed_over",
            "pictures",
            "instances",
        ):  # younger than version 1, which stays as it was
            if not content[name]:
                del content[name]
        write_whole(folder / NAME, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, folder: str | Path) -> Manifest:
        """Read the manifest of a data folder.

        Raises DataError if it is missing, damaged, or of another version.
        """
        path = Path(folder) / NAME
        if not path.exists():
            own = Path(folder) / "data"  # of a run that converted its drawings itself
            remedy = (
                f"that of the run is {own}"
                if (own / NAME).exists()
                else "run `sketchjax convert SOURCE... FOLDER` (again, if it was stopped)"
            )
            raise DataError(f"{folder} is not a data folder: it has no {NAME}; {remedy}")
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST + 1)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, path: Path) -> Manifest:
        """Decode the bytes of the manifest file `path`.  Raises DataError as `load` does."""
        if len(content) > LARGEST:
            raise DataError(f"{path} has more than {LARGEST:,} bytes: not a manifest")
        try:
            version = msgspec.json.decode(content, type=_Version).version
            if version != VERSION:
                raise DataError(
                    f"{path} has version {str(version)[:20]}; this sketchjax reads version "
                    f"{VERSION}. Convert the drawings again."
                )
            manifest = msgspec.json.decode(content, type=cls)
            _check(manifest)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            raise DataError(
                f"{path} is not a valid manifest: {str(error)[:300]}. "
                "Delete the folder and convert the drawings again."
            ) from error
        return manifest


class _Version(msgspec.Struct):
    version: int


def _check(manifest: Manifest) -> None:
    """Raise ValueError for what the types cannot say: all splits and categories are there."""
    by_split = {"counts": manifest.counts, "lengths": manifest.lengths, "shards": manifest.shards}
    for name, counts in manifest.counts_by_category.items():
        by_split[f"counts_by_category[{name[:60]!r}]"] = counts
    for kind, pictures in manifest.pictures.items():
        by_split[f"pictures.{kind}.counts"] = pictures.counts
        by_split[f"pictures.{kind}.shards"] = pictures.shards
        for name, counts in pictures.counts_by_category.items():
            by_split[f"pictures.{kind}.counts_by_category[{name[:60]!r}]"] = counts
        for split, shards in pictures.shards.items():
            if bool(shards) != (split in pictures.indexes):
                raise ValueError(f"pictures.{kind}: {split} needs both shards and an index")
    for name, values in by_split.items():
        if values.keys() != set(SPLITS):
            raise ValueError(f"{name} must have the fields {', '.join(SPLITS)}")
    for place, name in enumerate(manifest.categories):
        if wrong := wrong_name(name):
            raise ValueError(f"categories[{place}] {wrong}")
    for name in ("entropy_low", "entropy_high"):
        found, wanted = len(getattr(manifest, name)), len(manifest.categories)
        if found != wanted:
            raise ValueError(f"{name} has {found} values for {wanted} categories")


def count_categories(sources: Iterable[Path]) -> Counter[str]:
    """The sketches and pictures of each category in data folders and in their sources.

    Bad records are passed over.  Raises DataError where a source cannot be read.
    """
    counts, others = Counter[str](), []
    for source in sources:
        if (source / NAME).exists():
            manifest = Manifest.load(source)
            sets = [manifest, *manifest.pictures.values()]
            for name, splits in (pair for one in sets for pair in one.counts_by_category.items()):
                counts[name] += sum(splits.values())
        elif is_pictures(source):
            counts.update(item.category for item in collect(source, SPLITS, {}).items.values())
        else:
            others.append(source)
    for path in find(others) if others else ():
        for sketches in read(path, on_bad=lambda _: None):
            counts.update(sketches.categories)
    return counts


def listed(lines: Sequence[str], most: int = _LISTED, number: int | None = None) -> str:
    """Findings as the lines of a message, the first `most` of them.

    number: how many there are, where the lines are not all.
    """
    shown = [f"  - {line}" for line in lines[:most]]
    more = (len(lines) if number is None else number) - len(shown)
    return "\n".join([*shown, f"  - and {more:,} more"] if more else shown)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """One line for each setting in which two settings differ, nested names joined by dots."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {_short(before)} there, {_short(after)} asked for")
    return lines


def _short(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
