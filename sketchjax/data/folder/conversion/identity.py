"""Which sketches are the same drawing, in whatever file and form they come.

A `key_id` identifies a drawing. A form without key_ids derives one from the points, so the same
drawing has another key_id there. Two sketches are the same drawing if they share a key_id, or if
they share a category and the points, and one of the key_ids is derived. Points are compared after
moving and scaling only if one of the drawings may have been moved or scaled, as in some forms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sketchjax.data.folder.conversion.pieces import Piece, open_points
from sketchjax.data.folder.conversion.shape import fills, same
from sketchjax.data.folder.manifest import listed
from sketchjax.data.sources import key_of_points, unit_of

REPEATED = "duplicate key_id"
SAME_POINTS = "same points as another drawing"
OTHER_CATEGORY = "same points in another category"

BAD_KEY = "repeated_key_id"  # in addition to sources.KINDS: the key_id of another drawing

# A share of a file's drawings. By chance, only drawings of a line or two have the same points.
_NOTEWORTHY = 0.1


Unit = Callable[[str], str]  # from the name of a file to "line" or "record"


class Drawings:
    """The rows of a conversion and the pieces behind them, opened when they are needed.

    rows: plan.ROW[n], in the order of the pieces.
    categories: the names, by label.
    """

    def __init__(self, rows: np.ndarray, pieces: Sequence[Piece], categories: Sequence[str]):
        self.rows, self.pieces, self.categories = rows, pieces, categories
        self._points: dict[int, np.ndarray] = {}

    def points_of(self, row: int) -> np.ndarray:
        """The points u8[t 3] of a sketch."""
        piece, start, length = (int(self.rows[name][row]) for name in ("piece", "start", "length"))
        if piece not in self._points:
            self._points[piece] = open_points(self.pieces[piece].base)
        return self._points[piece][start : start + length]

    def is_derived(self, row: int) -> bool:
        """Whether the key_id of a sketch was derived from its points."""
        return int(self.rows["key_id"][row]) == key_of_points(self.points_of(row))

    def place_of(self, row: int) -> tuple[str, int]:
        """The file of a sketch, and its line or record there."""
        piece = int(self.rows["piece"][row])
        first = int(np.searchsorted(self.rows["piece"], piece))
        return self.pieces[piece].place(row - first)


@dataclass
class Repeats:
    """Sketches that occur more than once.

    left_out: bool[n], all but one of each drawing.
    reasons: their number, by reason.
    clashes: i64[c 2], pairs of rows (first, later) that share a key_id but are different drawings.
      The later ones are left out too, but not counted among the reasons.
    notes: by file, what was decided about its drawings.
    """

    left_out: np.ndarray
    reasons: Counter[str] = field(default_factory=Counter)
    clashes: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    notes: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, row: int, reason: str) -> None:
        """Leave out one sketch."""
        self.left_out[row] = True
        self.reasons[reason] += 1

    def note(self, file: str, text: str) -> None:
        """Note a decision about a file."""
        self.notes.setdefault(file, []).append(text)


def find_repeats(drawings: Drawings) -> Repeats:
    """Find sketches that are the same drawing, and key_ids that several drawings share."""
    found = Repeats(np.zeros(len(drawings.rows), bool))
    _compare_keys(drawings, found)
    _compare_points(drawings, found)
    _note_mixed_forms(drawings, found)
    return found


def _compare_keys(drawings: Drawings, found: Repeats) -> None:
    """Compare the sketches of each key_id with the first of them."""
    rows = drawings.rows
    order = np.argsort(rows["key_id"], kind="stable")
    ordered = rows["key_id"][order]
    again = np.concatenate([[False], ordered[1:] == ordered[:-1]])[: len(rows)]
    first, later = order[np.searchsorted(ordered, ordered[again])], order[again]
    same_label = rows["label"][first] == rows["label"][later]
    same_shape = rows["digest"][first] == rows["digest"][later]
    clashing = np.ones(len(later), bool)
    for place in np.flatnonzero(same_label | same_shape).tolist():
        one, other = int(first[place]), int(later[place])
        if same_label[place]:
            clashing[place] = not same(drawings.points_of(one), drawings.points_of(other))
        else:
            clashing[place] = not drawings.is_derived(other)
        if not clashing[place]:
            found.leave_out(other, REPEATED if same_label[place] else OTHER_CATEGORY)
    found.left_out[later[clashing]] = True
    found.clashes = np.stack([first, later], axis=1)[clashing]


def _compare_points(drawings: Drawings, found: Repeats) -> None:
    """Leave out sketches with derived key_ids that have the points of another of their category.

    Of forms without key_ids the first file counts. Other sketches with the same points are kept.
    """
    rows = drawings.rows
    for group in _alike(rows, ~found.left_out, "digest", "label"):
        derived = np.array([drawings.is_derived(row) for row in group.tolist()])
        first = rows["piece"][group] == rows["piece"][group[0]]
        used = first if derived.all() else ~derived
        for row in group[~used & _matching(drawings, group, used)].tolist():
            found.leave_out(row, SAME_POINTS)
    common = Counter[tuple[int, int]]()
    for group in _alike(rows, ~found.left_out, "digest"):
        one, *others = rows["piece"][group[_matching(drawings, group, [0])]].tolist()
        common.update((one, other) for other in others if other != one)
    totals = np.bincount(rows["piece"], minlength=len(drawings.pieces))
    for (one, other), number in common.items():
        if number >= _NOTEWORTHY * totals[other]:
            found.note(
                drawings.pieces[other].file,
                f"{number} of {totals[other]} drawings have the points of drawings in "
                f"{drawings.pieces[one].file} and are kept under their own key_ids; if they are "
                "the same drawings, convert only one of the files",
            )


def _matching(drawings: Drawings, group: np.ndarray, used: np.ndarray | list[int]) -> np.ndarray:
    """Which rows of a group of one shape are the same drawing as one of those used: bool[n].

    One of the two may have been scaled, or moved to the top left. Otherwise their points are equal.
    """
    points = [drawings.points_of(row) for row in group.tolist()]
    scaled = np.array([*map(fills, points)])
    keys = np.array([*map(key_of_points, points)], np.uint64)
    moved = [own - [*own[:, :2].min(axis=0), 0] for own in points]
    corner = np.array([*map(key_of_points, moved)], np.uint64)
    equal = np.isin(keys, keys[used]) | np.isin(keys, corner[used]) | np.isin(corner, keys[used])
    return scaled | scaled[used].any() | equal


def _alike(rows: np.ndarray, chosen: np.ndarray, *fields: str) -> list[np.ndarray]:
    """The groups of chosen rows, bool[n], that agree in some fields: rising rows, at least two.

    The first field is one that hardly any two rows share: only those that do are sorted by all.
    """
    order = _repeated(rows[fields[0]], chosen)
    order = order[np.lexsort([rows[field][order] for field in fields])]
    starts = np.ones(len(order), bool)
    starts[1:] = np.any([np.diff(rows[field][order]) != 0 for field in fields], axis=0)
    firsts = np.flatnonzero(starts)
    sizes = np.diff(firsts, append=len(order))
    return [
        order[first : first + size]
        for first, size in zip(firsts[sizes > 1], sizes[sizes > 1], strict=True)
    ]


def _repeated(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The chosen rows, bool[n], whose values u64[n] occur more than once among them: i64[m]."""
    ordered = values[chosen]
    ordered.sort()
    several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(several):
        return np.zeros(0, np.int64)
    places = np.minimum(np.searchsorted(several, values), len(several) - 1)
    return np.flatnonzero(chosen & (several[places] == values))


def _note_mixed_forms(drawings: Drawings, found: Repeats) -> None:
    """Note the files without key_ids of categories that have key_ids in another file."""
    inside = Counter(name for piece in drawings.pieces for name in piece.found.categories)
    if not inside or max(inside.values()) == 1:
        return
    rows = drawings.rows
    part_of = rows["label"].astype(np.int64) << 32 | rows["piece"]
    parts, firsts, totals = np.unique(part_of, return_index=True, return_counts=True)
    repeated = dict(zip(*np.unique(part_of[found.left_out], return_counts=True), strict=True))
    labels, pieces = parts >> 32, parts & 0xFFFFFFFF
    several = np.bincount(labels, minlength=len(drawings.categories))[labels] > 1
    derived = np.array(
        [many and drawings.is_derived(int(row)) for many, row in zip(several, firsts, strict=True)],
        bool,
    )
    for part in np.flatnonzero(derived).tolist():
        keyed = pieces[(labels == labels[part]) & ~derived]
        if not len(keyed):
            continue
        left_out = repeated.get(parts[part], 0)
        others = ", ".join(drawings.pieces[piece].file for piece in keyed[:3].tolist())
        text = (
            f"{drawings.categories[labels[part]]} has key_ids in {others} but not here: {left_out} "
            f"of {totals[part]} drawings have the points of another one and are left out"
        )
        if left_out < totals[part]:
            text += "; if the others are the same drawings too, convert only one of the forms"
        found.note(drawings.pieces[pieces[part]].file, text)


def clash_record(drawings: Drawings, unit: Unit, first: int, later: int) -> dict[str, Any]:
    """The bad record of a sketch with the key_id of another drawing."""
    (file, place), (other, there) = drawings.place_of(later), drawings.place_of(first)
    key_id = drawings.rows["key_id"][later]
    reason = f"key_id {key_id} is that of another drawing: {other}, {unit(other)} {there}"
    return {"file": file, "place": place, "kind": BAD_KEY, "reason": reason}


def clash_message(clashes: Sequence[dict[str, Any]], number: int, unit: Unit) -> str:
    """The message about `number` clashes, of which the first are given as records."""
    lines = [bad_line(record, unit) for record in clashes]
    return (
        f"{number:,} sketches have the key_id of another drawing:\n{listed(lines, 5, number)}\n"
        "Give each drawing its own key_id, or remove the field: then it is derived from the "
        "points. `--on-bad skip` keeps only the first drawing of each key_id."
    )


def bad_line(record: dict[str, Any], unit: Unit) -> str:
    """A bad record of the manifest's list in a line."""
    place = "" if record["place"] is None else f", {unit(record['file'])} {record['place']}"
    return f"{record['file']}{place}: {record['reason']}"


def units(paths: Mapping[str, Path]) -> Unit:
    """What the places in the files of these names and paths count; in any others, lines."""
    return cache(lambda file: unit_of(paths[file]) if file in paths else "line")
