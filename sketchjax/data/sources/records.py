"""Records on their way from a file into ragged chunks, and the records that cannot be used."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.categories import canonical
from sketchjax.errors import DataError

KINDS = {
    "unreadable": "not JSON, a missing field, a wrong type, a damaged archive",
    "empty": "a drawing without a point",
    "unequal": "a stroke with unequal numbers of x and y",
    "range": "a coordinate outside 0 to 255, or one in a unit that the file's others do not have",
    "not_finite": "a coordinate that is NaN or infinite",
    "too_large": "a drawing or line beyond the limits",
    "truncated": "a file that ends in the middle of a record or of its compressed stream",
}
MOST_POINTS = 65_535  # in one sketch; the longest simplified drawing of QuickDraw has some hundreds
LONGEST_NAME = 100  # characters of a category's name
LOST = "\ufffd"  # what decoders put where they cannot read: different names become one
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control, half of a pair, line and paragraph separators
_FLOAT = re.compile(r"[+-]?\d+(\.\d*(e[+-]?\d+)?|e\+\d+)", re.IGNORECASE)
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be used.

    place: the line in a text file (from 1), or the record in another (from 0).
    kind: a key of `KINDS`.
    reason: what is wrong, in words.
    unit: what `place` counts, "line" or "record".
    """

    path: Path
    place: int
    kind: str
    reason: str
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.path}, {self.unit} {self.place}: {self.reason} ({self.kind})"


def stop_at(record: BadRecord) -> None:
    """An `on_bad` for callers that cannot skip a record.  Raises DataError."""
    raise DataError(f"{record}; fix or remove it")


class Refused(Exception):
    """A record is bad: raised where that is found, caught where its place is known.

    It never reaches a user: `BadRecords` turns it into a DataError or a BadRecord.
    """

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Notes(list[str]):
    """What was decided about one file where it could be read in several ways; a sentence each.

    A file that is read exactly as its format is documented has none. Nothing is printed.
    """

    MOST = 20

    def add(self, note: str) -> None:
        """Add a sentence, once; beyond 20 of them the rest are dropped, and a last one says so."""
        if note not in self and len(self) <= self.MOST:
            self.append(note if len(self) < self.MOST else "and more of the kind")


class BadRecords:
    """Passes the bad records of one file to `on_bad`, or raises DataError where there is none."""

    def __init__(self, path: Path, unit: str, on_bad: Callable[[BadRecord], None] | None):
        self.path = path
        self.unit = unit
        self.on_bad = on_bad

    def __call__(self, place: int, kind: str, reason: str) -> None:
        record = BadRecord(self.path, place, kind, reason, self.unit)
        if self.on_bad is None:
            raise DataError(
                f"{record}; fix or remove it, or skip bad records (--on-bad skip; in Python on_bad)"
            )
        self.on_bad(record)


@dataclass(frozen=True, slots=True)
class Source:
    """One file being read.

    bad: called with each bad record.  notes: takes the decisions about the file.
    category: given to every sketch where it is not None.  name: given to those that have no word.
    chunk: most sketches at once.
    """

    bad: BadRecords
    notes: Notes
    category: str | None
    name: str
    chunk: int

    @property
    def path(self) -> Path:
        return self.bad.path

    def category_of_file(self) -> str:
        """The category of every sketch of a file that has no words."""
        if self.category is None and not self.path.name.startswith(f"{self.name}."):
            self.notes.add(f"the file's name gives the category {self.name!r}")
        return self.category or self.name

    def category_of(self, word: str | None) -> str:
        """The category of a record that has this word."""
        if self.category is not None:
            return self.category
        if word is None:
            self.notes.add(f"records have no word: the file's name makes them {self.name!r}")
            return self.name
        name = canonical(word)
        if name != word:
            self.notes.add(f"the word {word!r} is read as {name!r}")
        return name


def wrong_name(name: str) -> str | None:
    """Why a text cannot be the name of a category; None where it can.

    Names appear on terminals, in tables and in a page; none becomes a file's name.
    """
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} characters; at most {LONGEST_NAME} are allowed"
    if not name.isprintable() and any(
        unicodedata.category(mark) in _UNPRINTABLE or mark in _TURNING for mark in name
    ):
        return "has a control character in it"
    if LOST in name:
        return f"has {LOST} in place of a letter that was lost; write the file as UTF-8 again"
    return None


def key_of_points(points: np.ndarray) -> int:
    """A stable u64 for a drawing u8[t 3] that has no key_id: the same in every file and format."""
    digest = hashlib.blake2b(np.ascontiguousarray(points, np.uint8).tobytes(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def key_of_text(text: str) -> int | None:
    """A key_id from text: a number of 64 bits as it is, other text (such as a UUID) hashed.

    None where it is empty, or a number with a point or an exponent, which has lost digits.
    """
    if text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 1 << 64:
        return int(text)
    if not text or _FLOAT.fullmatch(text):
        return None
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


class Gather:
    """Collects sketches stroke by stroke as bytes, and joins them into one `Sketches` at the end.

    Coordinates stay bytes objects until then: an array costs 1 µs, and a sketch has five strokes of
    two coordinates each. One join per chunk costs next to nothing.
    """

    def __init__(self):
        self.xs: list[bytes] = []
        self.ys: list[bytes] = []
        self.stroke_lengths: list[int] = []
        self.stroke_counts: list[int] = []
        self.categories: list[str] = []
        self.key_ids: list[int] = []
        self.recognized: list[int] = []
        self.places: list[int] = []

    def __len__(self) -> int:
        return len(self.places)

    def add(
        self,
        xs: list[bytes],
        ys: list[bytes],
        lengths: list[int],
        *,
        category: str,
        key_id: int,
        recognized: int,
        place: int,
    ) -> None:
        """Add one sketch.

        xs, ys: the coordinates of each stroke, as bytes.
        lengths: the number of points of each stroke.
        category, key_id, recognized, place: as in `Sketches`.
        """
        self.xs += xs
        self.ys += ys
        self.stroke_lengths += lengths
        self.stroke_counts.append(len(lengths))
        self.categories.append(category)
        self.key_ids.append(key_id)
        self.recognized.append(recognized)
        self.places.append(place)

    def add_points(
        self, points: np.ndarray, *, category: str, key_id: int, recognized: int, place: int
    ) -> None:
        """Add one sketch from its points u8[t 3]."""
        ends = np.flatnonzero(points[:, 2]) + 1
        self.add(
            [points[:, 0].tobytes()],
            [points[:, 1].tobytes()],
            np.diff(ends, prepend=0).tolist(),
            category=category,
            key_id=key_id,
            recognized=recognized,
            place=place,
        )

    def sketches(self) -> Sketches:
        """Everything gathered so far as one ragged batch; the gathering starts over."""
        ends = np.cumsum(np.array(self.stroke_lengths, np.int64))
        points = np.zeros((int(ends[-1]) if len(ends) else 0, 3), np.uint8)
        points[:, 0] = np.frombuffer(b"".join(self.xs), np.uint8)
        points[:, 1] = np.frombuffer(b"".join(self.ys), np.uint8)
        points[ends - 1, 2] = 1
        last_strokes = np.cumsum(np.array(self.stroke_counts, np.int64)) - 1
        result = Sketches(
            points=points,
            offsets=np.concatenate([np.zeros(1, np.int64), ends[last_strokes]]),
            categories=self.categories,
            key_ids=np.array(self.key_ids, np.uint64),
            recognized=np.array(self.recognized, np.int8),
            places=np.array(self.places, np.int64),
        )
        self.__init__()
        return result
