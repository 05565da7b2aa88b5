"""Two methods compared at every length at hand, with the size of noise in mind.

A difference counts where it is at least the noise floor. With three seeds or more on both sides
that is two standard errors of the difference; with fewer, the spread between seeds is not known
well enough, and the floor is 0.005, or two standard errors where those are more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sketchjax.paper.report.material import StudyRow
from sketchjax.paper.report.scores import Score, score, shown

NOISE = 0.005
ENOUGH_SEEDS = 3


@dataclass(frozen=True)
class Case:
    """What one length says: yes, no, or None where the difference drowns in noise."""

    place: str
    yes: bool | None
    words: str


@dataclass(frozen=True)
class Side:
    """A method in a comparison: its row of the paper, by table, and its features in table 2."""

    table: str
    paper_model: str
    features: str | None = None


def noise_floor(first: Score, second: Score) -> float:
    """The least difference of two means that counts."""
    errors = [one.std**2 / one.seeds for one in (first, second) if one.std is not None]
    spread = 2 * math.sqrt(sum(errors))
    if min(first.seeds, second.seeds) >= ENOUGH_SEEDS:
        return spread
    return max(NOISE, spread)


def lengths(rows: Sequence[StudyRow], table: str) -> list[int | None]:
    """The code lengths of a table's rows, rising; [None] where its rows have none."""
    found = {row.bits for row in rows if row.table == table}
    return sorted(found, key=lambda bits: bits or 0)


def measured(rows: Sequence[StudyRow], side: Side, metric: str, bits: int | None) -> Score | None:
    """The score of a side at a length, None where there is none yet."""
    for row in rows:
        same = (row.table, row.paper_model) == (side.table, side.paper_model)
        if same and row.bits == bits and side.features in (None, row.features):
            values = row.figures(metric)
            if values:
                return score(values)
    return None


def compare(
    rows: Sequence[StudyRow], metric: str, more: Side, less: Side, *, named: bool = False
) -> list[Case]:
    """Whether `more` is above `less` in a metric, at each length where both are measured.

    named: the methods' names stand in the words, also where there is no such length.
    """
    names = (more.paper_model, less.paper_model) if named else ("", "")
    cases = []
    for bits in lengths(rows, more.table):
        first, second = (measured(rows, side, metric, bits) for side in (more, less))
        if first is not None and second is not None:
            cases.append(case(at(bits), metric, first, second, names))
    if named and not cases:
        return [Case("", None, f"not measured: {names[0]} against {names[1]}")]
    return cases


def at(bits: int | None) -> str:
    return "" if bits is None else f"at {bits} bits"


def case(
    place: str, metric: str, first: Score, second: Score, names: tuple[str, str] = ("", "")
) -> Case:
    """Whether the first is above the second, beyond noise, in words with both figures."""
    difference = (first.mean or 0.0) - (second.mean or 0.0)
    # 0.805 - 0.8 is a little more than 0.005, 0.705 - 0.7 a little less: both are to count.
    beyond = abs(difference) >= noise_floor(first, second) - 1e-9 and difference != 0
    figures = [
        f"{name} {shown(one.mean, metric)}".strip()
        for name, one in zip(names, (first, second), strict=True)
    ]
    if not beyond:
        seeds = min(first.seeds, second.seeds)
        counted = "one seed" if seeds == 1 else f"{seeds} seeds"
        return Case(place, None, f"no difference beyond noise ({', '.join(figures)}; {counted})")
    sign = ">" if difference > 0 else "<"
    verdict = "yes" if difference > 0 else "no"
    return Case(place, difference > 0, f"{verdict} ({figures[0]} {sign} {figures[1]})")


def verdict(cases: Sequence[Case]) -> bool | None:
    """True where every case says yes, False where one says no, else None: not decided."""
    if any(one.yes is False for one in cases):
        return False
    return True if cases and all(one.yes for one in cases) else None


def told(cases: Sequence[Case]) -> str:
    """The cases as one line: at 16 bits no (0.7 < 0.8), at 64 bits yes (0.9 > 0.8)."""
    return ", ".join(f"{one.place} {one.words}".strip() for one in cases) or "not measured"
