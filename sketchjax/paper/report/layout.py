"""How the tables of a study lie: which measures, what are columns, what are blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from sketchjax.paper.report.material import StudyRow
from sketchjax.paper.report.scores import METRICS, Score


@dataclass(frozen=True)
class Layout:
    """How a table lies: its metrics; whether lengths are columns; the block of a row.

    block: (place, heading); the rows of one block compare with each other.
    """

    metrics: tuple[str, ...]
    by_length: bool = True
    block: Callable[[StudyRow], tuple[int, str]] = lambda row: (0, "")


LAYOUTS = {
    "1": Layout(("map", "precision_at_200")),
    "2": Layout(("map",), block=lambda row: (row.features != "HOG", row.features or "")),
    "4": Layout(
        ("d1", "d2", "d1_over_d2", "map"), False, lambda row: (row.bits or 0, f"{row.bits} bits")
    ),
    "5": Layout(("seconds_per_query", "memory_mb")),
    "6": Layout(("accuracy",), by_length=False),
    "zero-shot": Layout(("map", "precision_at_200")),
}


@dataclass(frozen=True)
class Line:
    """A method with a score a column. remark: note, reason of a failure, what is to do.

    full: the paper's full model, to be set off.
    """

    label: str
    scores: tuple[Score, ...]
    remark: str = ""
    full: bool = False


@dataclass(frozen=True)
class Column:
    """A metric (a key of METRICS), at a length where lengths are columns."""

    metric: str
    bits: int | None = None

    @property
    def heading(self) -> str:
        return METRICS[self.metric].label if self.bits is None else f"{self.bits} bits"


@dataclass(frozen=True)
class Block:
    """Lines that compare with each other, under a heading that may be empty."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Grid:
    """One table of the paper with our figures in it."""

    table: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        """The name of its files: table-1, zero-shot."""
        return f"table-{self.table}" if self.table.isdigit() else self.table

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The metrics over the columns with their numbers of columns; empty without lengths."""
        if all(column.bits is None for column in self.columns):
            return []
        runs = groupby(self.columns, key=lambda column: column.metric)
        return [(METRICS[metric].label, len(list(columns))) for metric, columns in runs]
