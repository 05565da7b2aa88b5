"""One sketch as the bytes of a record, and the rules a record must follow.

A record is a header of 16 bytes and 3 bytes per point, little-endian:

    bytes 0-7    key_id    u64
    bytes 8-9    label     u16, an index into the manifest's categories
    bytes 10-11  length    u16, the number of points t, at least 1
    bytes 12-15  entropy   f32, the image entropy of the drawing
    bytes 16-    points    u8[t 3]: x, y, end (1 on the last point of a stroke)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchjax.errors import DataError

RECORD_VERSION = 1
HEADER = np.dtype([("key_id", "<u8"), ("label", "<u2"), ("length", "<u2"), ("entropy", "<f4")])


class WrongRecordError(DataError):
    """Bytes that are not a record. place: its index in the list; `Shards` adds the shard."""

    def __init__(self, place: int, reason: str):
        super().__init__(f"record {place}: {reason}")
        self.place, self.reason = place, reason


@dataclass(frozen=True, slots=True)
class Records:
    """n decoded records, ragged: record i owns points[offsets[i]:offsets[i + 1]].

    points: u8[p 3], columns x, y and end of stroke.
    offsets: i64[n + 1].
    labels: i32[n], indices into the manifest's categories.
    key_ids: u64[n].
    entropies: f32[n], the image entropy of each drawing, in bits.
    index: i64[n], the place of each record in its split (from `decode`: in its list).
    """

    points: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    key_ids: np.ndarray
    entropies: np.ndarray
    index: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Number of points of each sketch, i64[n]."""
        return np.diff(self.offsets)


def encode(
    points: np.ndarray,
    offsets: np.ndarray,
    labels: np.ndarray,
    key_ids: np.ndarray,
    entropies: np.ndarray,
) -> tuple[bytes, np.ndarray]:
    """Lay n sketches out as records.

    points: u8[p 3].
    offsets: i64[n + 1], from 0; sketch i owns points[offsets[i]:offsets[i + 1]].
    labels: i[n].
    key_ids: u64[n].
    entropies: f32[n].
    Returns all records as one bytes object, and their offsets in it, i64[n + 1].
    """
    lengths = np.diff(offsets)
    header = np.empty(len(lengths), HEADER)
    header["key_id"], header["label"] = key_ids, labels
    header["length"], header["entropy"] = lengths, entropies
    starts = 3 * offsets + HEADER.itemsize * np.arange(len(offsets))
    whole = np.empty(int(starts[-1]), np.uint8)
    in_header = _header_mask(starts)
    whole[in_header] = header.view(np.uint8)
    whole[~in_header] = points.ravel()
    return whole.tobytes(), starts


def decode(blobs: Sequence[bytes]) -> Records:
    """Decode records.  Raises WrongRecordError for the first that is damaged."""
    whole = np.frombuffer(b"".join(blobs), np.uint8)
    sizes = np.fromiter(map(len, blobs), np.int64, len(blobs))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    short = np.flatnonzero(sizes < HEADER.itemsize)
    if len(short):
        reason = f"it has {sizes[short[0]]} bytes, fewer than a header"
        raise WrongRecordError(int(short[0]), reason)
    in_header = _header_mask(starts)
    header = whole[in_header].view(HEADER)
    lengths = header["length"].astype(np.int64)
    wrong = np.flatnonzero(sizes != HEADER.itemsize + 3 * lengths)
    if len(wrong):
        first = int(wrong[0])
        reason = f"it has {sizes[first]} bytes but states {lengths[first]} points"
        raise WrongRecordError(first, reason)
    return Records(
        points=whole[~in_header].reshape(-1, 3),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=header["label"].astype(np.int32),
        key_ids=header["key_id"].astype(np.uint64),
        entropies=header["entropy"].astype(np.float32),
        index=np.arange(len(blobs)),
    )


def _header_mask(starts: np.ndarray) -> np.ndarray:
    """Which bytes belong to headers, for records at starts i64[n + 1]: bool[starts[n]]."""
    mask = np.zeros(int(starts[-1]), bool)
    mask[starts[:-1, None] + np.arange(HEADER.itemsize)] = True
    return mask


def sound(records: Records, classes: int) -> bool:
    """Whether `wrong_records` would find nothing; costs 2 % of reading the records."""
    lengths, entropies = records.lengths, records.entropies
    if not len(lengths):
        return True
    if lengths.min() < 1 or records.labels.max() >= classes:
        return False
    ends = records.points[:, 2]
    last = ends[records.offsets[1:] - 1]
    # `>=` of NaN is False.
    return bool(last.min() == 1 == ends.max() and entropies.min() >= 0 and entropies.max() <= 1)


def wrong_records(records: Records, classes: int) -> dict[int, str]:
    """What is wrong with the records, by place.

    classes: the number of categories. A valid record has a label among the categories, at least
    one point, end marks of 0 or 1 with 1 on the last point, and an entropy from 0 to 1.
    """
    wrong = {}
    ends = records.points[:, 2]
    for place in np.flatnonzero(records.lengths == 0).tolist():
        wrong[place] = "it has no points"
    marked = np.searchsorted(records.offsets, np.flatnonzero(ends > 1), side="right") - 1
    for place in np.unique(marked).tolist():
        wrong[place] = "an end-of-stroke mark is neither 0 nor 1"
    filled = np.flatnonzero(records.lengths)
    open_ended = filled[ends[records.offsets[1:][filled] - 1] == 0]
    for place in open_ended.tolist():
        wrong.setdefault(place, "its last point does not end a stroke")
    for place in np.flatnonzero(records.labels >= classes).tolist():
        wrong[place] = f"label {records.labels[place]}, but there are {classes} categories"
    entropies = records.entropies
    for place in np.flatnonzero(~((entropies >= 0) & (entropies <= 1))).tolist():
        wrong[place] = f"image entropy {entropies[place]} is not within 0 to 1"
    return dict(sorted(wrong.items()))
