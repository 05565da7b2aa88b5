"""Comparisons of two methods at every code length, with the size of noise in mind.

A difference counts if it reaches the noise floor. With at least three seeds on both sides the floor
is two standard errors of the difference. With fewer, the spread between seeds is not known well
enough, and the floor is 0.005 or two standard errors, whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sketchjax.paper.report.material import StudyRow
from sketchjax.paper.report.scores import Score, score, value_text

NOISE = 0.005
ENOUGH_SEEDS = 3
ANSWERS = {True: "yes", False: "no", None: "within noise"}


@dataclass(frozen=True)
class Case:
    """What one code length says about a claim.

    yes: None if the difference is within noise, or nothing is measured.
    text: such as "no at 16 bits (0.7 < 0.8)".
    """

    yes: bool | None
    text: str


@dataclass(frozen=True)
class Side:
    """A method in a comparison.

    table, paper_model: its row of the paper.
    features: in table 2, its features.
    """

    table: str
    paper_model: str
    features: str | None = None


def noise_floor(first: Score, second: Score) -> float:
    """The smallest difference of two means that counts."""
    errors = [one.std**2 / one.seeds for one in (first, second) if one.std is not None]
    spread = 2 * math.sqrt(sum(errors))
    if min(first.seeds, second.seeds) >= ENOUGH_SEEDS:
        return spread
    return max(NOISE, spread)


def lengths(rows: Sequence[StudyRow], table: str) -> list[int | None]:
    """The code lengths of a table's rows, rising; [None] if its rows have none."""
    found = {row.bits for row in rows if row.table == table}
    return sorted(found, key=lambda bits: bits or 0)


def measured(rows: Sequence[StudyRow], side: Side, metric: str, bits: int | None) -> Score | None:
    """The score of a side at a length; None if there is none yet.

    rows: of any tables.
    side: the method.
    metric: a key of METRICS.
    bits: code length.
    """
    for row in rows:
        same = (row.table, row.paper_model) == (side.table, side.paper_model)
        if same and row.bits == bits and side.features in (None, row.features):
            values = row.seed_values(metric)
            if values:
                return score(values)
    return None


def compare(
    rows: Sequence[StudyRow], metric: str, more: Side, less: Side, *, named: bool = False
) -> list[Case]:
    """Whether `more` is above `less` in a metric, at each length where both are measured.

    rows: of any tables.
    metric: a key of METRICS.
    more, less: the two methods.
    named: give the methods' names with the figures, and a case even if nothing is measured.
    """
    names = (more.paper_model, less.paper_model) if named else ("", "")
    cases = []
    for bits in lengths(rows, more.table):
        first, second = (measured(rows, side, metric, bits) for side in (more, less))
        if first is not None and second is not None:
            cases.append(difference(place_text(bits), metric, first, second, names))
    if named and not cases:
        return [Case(None, f"not measured ({names[0]} against {names[1]})")]
    return cases


def difference(
    place: str, metric: str, first: Score, second: Score, names: tuple[str, str] = ("", "")
) -> Case:
    """Whether the first score is above the second, beyond noise.

    place: such as "at 16 bits".
    metric: a key of METRICS.
    first, second: scores with a mean.
    names: of the two methods, given with the figures; empty by default.
    """
    above = (first.mean or 0.0) - (second.mean or 0.0)
    # In floating point 0.805 - 0.8 exceeds 0.005 and 0.705 - 0.7 falls short: both count.
    beyond = abs(above) >= noise_floor(first, second) - 1e-9 and above != 0
    one, other = (
        f"{name} {value_text(side.mean, metric)}".strip()
        for name, side in zip(names, (first, second), strict=True)
    )
    if not beyond:
        seeds = min(first.seeds, second.seeds)
        counted = "one seed" if seeds == 1 else f"{seeds} seeds"
        return case(place, None, f"{one} and {other}, {counted}")
    return case(place, above > 0, f"{one} {'>' if above > 0 else '<'} {other}")


def case(place: str, yes: bool | None, figures: str) -> Case:
    """A case in words.

    place: such as "at 16 bits"; empty where there are no lengths.
    yes: as in `Case`.
    figures: the numbers behind it.
    """
    return Case(yes, f"{' '.join(filter(None, (ANSWERS[yes], place)))} ({figures})")


def place_text(bits: int | None) -> str:
    return "" if bits is None else f"at {bits} bits"


def verdict(cases: Sequence[Case]) -> bool | None:
    """True if every case says yes, False if one says no, else None: undecided."""
    if any(one.yes is False for one in cases):
        return False
    return True if cases and all(one.yes for one in cases) else None


def evidence_text(cases: Sequence[Case]) -> str:
    """The cases on one line: no at 16 bits (0.7 < 0.8), yes at 64 bits (0.9 > 0.8)."""
    return ", ".join(one.text for one in cases) or "not measured"
