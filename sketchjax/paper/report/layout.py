"""The layout of a study's tables: metrics, columns and blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from sketchjax.paper import numbers as paper
from sketchjax.paper.report.material import StudyRow
from sketchjax.paper.report.scores import METRICS, Score


@dataclass(frozen=True)
class Layout:
    """How a table is laid out.

    metrics: keys of METRICS.
    by_length: whether each code length is a column.
    block: a row's (place, heading); rows of one block compare with each other.
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
    """A method with one score per column.

    remark: a note, why it failed, or what is still to do.
    full: whether it is the paper's full model, which is highlighted.
    """

    label: str
    scores: tuple[Score, ...]
    remark: str = ""
    full: bool = False


@dataclass(frozen=True)
class Column:
    """A metric (a key of METRICS), at one code length if lengths are columns."""

    metric: str
    bits: int | None = None

    @property
    def heading(self) -> str:
        return METRICS[self.metric].label if self.bits is None else f"{self.bits} bits"


@dataclass(frozen=True)
class Block:
    """Lines that compare with each other, under a heading, which may be empty."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Grid:
    """One table of the paper with our scores in it, as page, Markdown and terminal show it."""

    table: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]

    @property
    def title(self) -> str:
        """Table 1: deep hashing."""
        name = f"Table {self.table}" if self.table.isdigit() else self.table.capitalize()
        return f"{name}: {paper.title(self.table)}"

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Metrics above the columns, each with its number of columns; empty without lengths."""
        if all(column.bits is None for column in self.columns):
            return []
        runs = groupby(self.columns, key=lambda column: column.metric)
        return [(METRICS[metric].label, len(list(columns))) for metric, columns in runs]


def file_name(table: str) -> str:
    """The name of a table's files, without suffix: table-1, zero-shot."""
    return f"table-{table}" if table.isdigit() else table
