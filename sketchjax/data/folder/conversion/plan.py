"""Between the two passes of a conversion: which sketch becomes which record of which shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sketchjax.data.folder.conversion.identity import (
    Drawings,
    Unit,
    bad_line,
    clash_message,
    clash_record,
    find_repeats,
    units,
)
from sketchjax.data.folder.conversion.pieces import LISTED, Piece
from sketchjax.data.folder.hashing import keyed_hash, rank_within
from sketchjax.data.folder.manifest import MOST_CATEGORIES, listed, shard_name
from sketchjax.data.folder.splits import LEFT_OUT, SPLITS, Shortage, SplitRule
from sketchjax.data.sources.categories import some, unknown_names
from sketchjax.errors import DataError

# Where a record comes from (its piece, and its first point there), its header, and its digest.
ROW = np.dtype(
    [
        ("key_id", "<u8"),
        ("digest", "<u8"),
        ("start", "<i8"),
        ("piece", "<u4"),
        ("length", "<u2"),
        ("label", "<u2"),
    ]
)

ONE_SIDE = "of a category on one side only"
_CAP_KEY = 1  # not the splits' hash: a cap must not favour the first split's band


@dataclass(frozen=True)
class Selection:
    """What decides which sketches of the pieces are used; the settings are `convert.convert`'s.

    pictured: the categories that the sources have pictures of.
    photos: those that have photos, where only these are wanted.
    """

    rule: SplitRule
    seed: int
    shards: int
    min_per_category: int
    max_per_category: int | None
    categories: tuple[str, ...]
    unseen: tuple[str, ...]
    skip: bool
    pictured: frozenset[str] = frozenset()
    photos: frozenset[str] | None = None


@dataclass(frozen=True)
class Plan:
    """The records of all shards in their order.

    rows: ROW[n]; edges: i64[4 · shards + 1], shard k of split s owns rows
    edges[s · shards + k] to edges[s · shards + k + 1].
    left_out: sketches by reason.
    dropped: categories, each with the reason.
    clashes: how many sketches had the key_id of another drawing; clashes_listed: the first of them,
      as in `Manifest.bad_listed`.
    decisions: by file, what was decided about its drawings.
    """

    categories: list[str]
    rows: np.ndarray
    edges: np.ndarray
    shards: int
    left_out: dict[str, int]
    dropped: dict[str, str]
    clashes: int = 0
    clashes_listed: list[dict[str, Any]] = field(default_factory=list)
    decisions: dict[str, list[str]] = field(default_factory=dict)

    def shard_rows(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """Split, file name and rows of every shard; a split without sketches has no shards."""
        for number, split in enumerate(SPLITS):
            first = number * self.shards
            if self.edges[first] == self.edges[first + self.shards]:
                continue
            for shard in range(self.shards):
                rows = self.rows[self.edges[first + shard] : self.edges[first + shard + 1]]
                yield split, shard_name(split, shard, self.shards), rows

    def relabelled(self, categories: list[str]) -> Plan:
        """The same records with labels among `categories`, which hold all of the plan's."""
        rows = self.rows.copy()
        new = np.array([categories.index(name) for name in self.categories], np.uint16)
        rows["label"] = new[rows["label"]] if len(rows) else rows["label"]
        return replace(self, categories=categories, rows=rows)

    def split_rows(self, split: str) -> np.ndarray:
        """The rows of one split."""
        first = SPLITS.index(split) * self.shards
        return self.rows[self.edges[first] : self.edges[first + self.shards]]


def no_sketches(shards: int) -> Plan:
    """The plan of a folder without sketches as strokes."""
    edges = np.zeros(len(SPLITS) * shards + 1, np.int64)
    return Plan([], np.zeros(0, ROW), edges, shards, {}, {})


def make_plan(pieces: Sequence[Piece], selection: Selection, paths: Mapping[str, Path]) -> Plan:
    """Choose the sketches and put them in order: by split, shard, and keyed hash.

    The order does not depend on files or categories: it is a shuffle, and the same for any order of
    the files. Raises DataError if a category has too few sketches (with `skip` it is dropped
    instead) or no sketch remains.
    paths: of the files that the pieces name.
    """
    names = sorted({name for piece in pieces for name in piece.found.categories})
    rows = _gather(pieces, names)
    left_out = Counter[str]()
    for piece in pieces:
        left_out.update(piece.found.left_out)
    drawings, unit = Drawings(rows, pieces, names), units(paths)
    repeats = find_repeats(drawings)
    clashes = [clash_record(drawings, unit, *pair) for pair in repeats.clashes[:LISTED]]
    if clashes and not selection.skip:
        raise DataError(clash_message(clashes, len(repeats.clashes), unit))
    del drawings  # it would keep the rows that are left out now
    left_out.update(repeats.reasons)
    if not selection.skip:
        _check_asked(pieces, names, selection)
    found = _present(rows["label"], names)
    rows = rows[~repeats.left_out] if repeats.left_out.any() else rows
    lost = sorted(found - _present(rows["label"], names))
    short = dict.fromkeys(lost, "all of its sketches have the key_ids or the points of others")
    missing = _missing(pieces, names, selection)
    short |= {name: reason for name, reason in missing.items() if name in selection.categories}
    rows, small = _filter_categories(rows, names, selection, left_out)
    hashes = keyed_hash(rows["key_id"], selection.seed)
    split, shortages = selection.rule.assign(rows["key_id"], hashes, rows["label"], len(names))
    left_out["named in the split file but not found"] += selection.rule.absent(rows["key_id"])
    if selection.photos is not None:
        wanted = np.array([name in selection.photos for name in names], bool)[rows["label"]]
        left_out[ONE_SIDE] += len(wanted) - int(wanted.sum())
        rows, hashes, split = rows[wanted], hashes[wanted], split[wanted]
    short |= _short(shortages, rows, names, selection)
    split[np.array([name in short for name in names], bool)[rows["label"]]] = LEFT_OUT
    short = _unsplit(split, rows, names, selection) | short
    if short and not selection.skip:
        raise DataError(_too_few(short, names, selection.rule.advice))
    left_out["in no split"] += int((split == LEFT_OUT).sum())
    dropped = {**missing, **small, **short}
    if not (split != LEFT_OUT).any() and not selection.pictured:
        raise DataError(_nothing_left(pieces, left_out, dropped, unit))
    order, sizes = _order(hashes, split, selection.shards)
    del hashes, split
    # Field by field and in place: a second copy of all rows would be the most that a plan needs.
    for name in ROW.names or ():
        rows[name][: len(order)] = rows[name][order]
    rows = rows[: len(order)]
    used = np.bincount(rows["label"], minlength=len(names)) > 0
    rows["label"] = (np.cumsum(used) - 1)[rows["label"]]
    return Plan(
        categories=[name for name, present in zip(names, used, strict=True) if present],
        rows=rows,
        edges=np.concatenate([[0], np.cumsum(sizes)]),
        shards=selection.shards,
        left_out={reason: n for reason, n in sorted(left_out.items()) if n},
        dropped=dict(sorted(dropped.items())),
        clashes=len(repeats.clashes),
        clashes_listed=clashes,
        decisions=repeats.notes,
    )


def _present(labels: np.ndarray, names: list[str]) -> set[str]:
    """The categories that have sketches. labels: of the sketches, u16[n]."""
    return {names[label] for label in np.unique(labels).tolist()}


def _check_asked(pieces: Sequence[Piece], names: list[str], selection: Selection) -> None:
    """Raise DataError when a category was named that the sources do not have."""
    known = {*names, *_unrecognized(pieces), *selection.pictured}.union(
        *(piece.found.others for piece in pieces)
    )
    if lines := unknown_names({*selection.categories, *selection.unseen} - known, known):
        raise DataError(
            f"the sources have no category of these names:\n{listed(lines, 10)}\n"
            f"They have {some(sorted(known))}; `sketchjax categories SOURCE...` lists all."
        )


def _missing(pieces: Sequence[Piece], names: list[str], selection: Selection) -> dict[str, str]:
    """Categories without a sketch that were asked for, or that the filters emptied."""
    asked = [name for name in selection.categories if name not in selection.pictured]
    missing = dict.fromkeys(asked, "no sketch of it in the sources")
    missing |= dict.fromkeys(
        _unrecognized(pieces), "none of its sketches is known to be recognized"
    )
    return {name: reason for name, reason in sorted(missing.items()) if name not in names}


def _unrecognized(pieces: Sequence[Piece]) -> set[str]:
    return {name for piece in pieces for name in piece.found.unrecognized}


def _short(
    shortages: Sequence[Shortage], rows: np.ndarray, names: list[str], selection: Selection
) -> dict[str, str]:
    """Categories with too few sketches for a split; the unseen ones need none for training."""
    present, short = _present(rows["label"], names), dict[str, str]()
    for shortage in sorted(shortages, key=lambda shortage: shortage.label):
        name = names[shortage.label]
        if name in present and not (shortage.split == "train" and name in selection.unseen):
            short[name] = f"{short[name]}, {shortage.reason}" if name in short else shortage.reason
    return short


def _unsplit(
    split: np.ndarray, rows: np.ndarray, names: list[str], selection: Selection
) -> dict[str, str]:
    """Categories of which no sketch is in a split.

    A split file may leave out any category, except those that were asked for.
    """
    labels = rows["label"]
    lost = sorted(_present(labels, names) - _present(labels[split != LEFT_OUT], names))
    if selection.rule.names_all:
        reason = "the split file names none of its sketches"
        return {name: reason for name in lost if name in selection.categories}
    return dict.fromkeys(lost, "none of its sketches fall into a split")


def _gather(pieces: Sequence[Piece], names: list[str]) -> np.ndarray:
    """All sketches of the pieces as rows, in the order of the files."""
    labels = {name: label for label, name in enumerate(names)}
    if len(names) > MOST_CATEGORIES:
        raise DataError(f"found {len(names):,} categories; the most are {MOST_CATEGORIES:,}")
    rows = np.empty(sum(map(len, pieces)), ROW)
    end = 0
    for number, piece in enumerate(pieces):
        index = piece.index()
        part = rows[end : end + len(index)]
        end += len(index)
        part["piece"] = number
        for name in ("key_id", "digest", "length"):
            part[name] = index[name]
        part["start"] = np.cumsum(index["length"], dtype=np.int64) - index["length"]
        if len(index):
            own = np.array([labels[name] for name in piece.found.categories], np.uint16)
            part["label"] = own[index["category"]]
    return rows


def _take(rows: np.ndarray, keep: np.ndarray, reason: str, left_out: Counter[str]) -> np.ndarray:
    left_out[reason] += len(keep) - int(keep.sum())
    return rows if keep.all() else rows[keep]


def _filter_categories(
    rows: np.ndarray, names: list[str], selection: Selection, left_out: Counter[str]
) -> tuple[np.ndarray, dict[str, str]]:
    """Drop categories below the minimum, cap the others; returns rows and dropped categories."""
    minimum, cap = selection.min_per_category, selection.max_per_category
    counts = np.bincount(rows["label"], minlength=len(names))
    small = (counts < minimum) & (counts > 0)
    rows = _take(rows, ~small[rows["label"]], "category below the minimum", left_out)
    if cap is not None:
        hashes = keyed_hash(rows["key_id"], (selection.seed, _CAP_KEY))
        rows = _take(rows, rank_within(rows["label"], hashes) < cap, "above the cap", left_out)
    return rows, {
        names[label]: f"{counts[label]} sketches, the minimum asked is {minimum}"
        for label in np.flatnonzero(small).tolist()
    }


def _too_few(short: dict[str, str], names: list[str], advice: str) -> str:
    """The message about categories with too few sketches; it names at most ten."""
    lines = [f"{name}: {reason}" for name, reason in short.items()]
    heading = (
        f"{len(short)} of {len({*names, *short})} categories have too few sketches "
        "(`--on-bad skip` or `--min-per-category` leaves them out):"
    )
    return "\n".join([heading, listed(lines, 10), advice])


def _nothing_left(
    pieces: Sequence[Piece], left_out: Counter[str], dropped: dict[str, str], unit: Unit
) -> str:
    """The message where no sketch is in a split: what happened to those that were read."""
    counts = left_out + sum((Counter(piece.found.bad) for piece in pieces), Counter[str]())
    reasons = [f"{number:,} {reason}" for reason, number in counts.items()]
    # One of each kind: the others are hardly different.
    bad = {one["kind"]: one for piece in reversed(pieces) for one in piece.found.bad_listed[::-1]}
    lines = [f"{name}: {reason}" for name, reason in dropped.items()]
    lines += [bad_line(record, unit) for record in bad.values()]
    heading = f"no sketch is left to convert: {', '.join(reasons) or 'the files hold none'}"
    return "\n".join([heading, listed(lines, 10)]).rstrip()


def _order(hashes: np.ndarray, split: np.ndarray, shards: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows in the order of the shards, and how many rows each shard has: i64[k], i64[4 shards].

    hashes: u64[n]; split: i8[n], `LEFT_OUT` for those that are in none of the k rows.
    """
    group = split.astype(np.int32) * shards
    group += (hashes % np.uint64(shards)).astype(np.int32)
    order = np.lexsort((hashes, group))
    # Those left out come first: their groups are below 0.
    order = order[np.count_nonzero(split == LEFT_OUT) :]
    return order, np.bincount(group[split != LEFT_OUT], minlength=len(SPLITS) * shards)
