"""The paper's tables with our figures in them: every row and length, ours beside the paper's.

A grid is what page and Markdown show; its CSV is long, a line for each method and length, with
mean, standard deviation and number of seeds in full precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sketchjax.paper import numbers as paper
from sketchjax.paper.reference import PAPER_DATA
from sketchjax.paper.report.layout import LAYOUTS, Block, Column, Grid, Line
from sketchjax.paper.report.material import StudyMaterial, StudyRow
from sketchjax.paper.report.printed import identity, paper_rows
from sketchjax.paper.report.scores import METRICS, Score, score, shown
from sketchjax.report.tables import Cell, Table

NOT_OURS = "not in this study"
TITLES = {
    "1": "deep hashing",
    "2": "shallow hashing, on HOG and on deep features",
    "4": "distances inside and between classes",
    "5": "cost of a query",
    "6": "sketch recognition",
    "zero-shot": "hashing of classes kept out of training",
}
REMARKS = {
    "4": "d1 is the mean distance inside a class, d2 that between classes.",
    "zero-shot": "The classes of this table took no part in training.",
}


def grid(material: StudyMaterial, table: str) -> Grid:
    """One table of the paper: our rows, and those of the paper that the study has no row for.

    Raises ValueError on a table that the paper has not.
    """
    rows = rows_with_paper(material, table)
    layout = LAYOUTS[table]
    lengths = sorted({row.bits for row in rows if row.bits})
    columns = tuple(
        Column(metric, bits)
        for metric in layout.metrics
        for bits in (lengths if layout.by_length and lengths else [None])
    )
    blocks: dict[tuple[int, str], dict[str, list[StudyRow]]] = {}
    for row in rows:
        blocks.setdefault(layout.block(row), {}).setdefault(_label(row), []).append(row)
    made = []
    for place in sorted(blocks):
        lines = [_line(label, own, columns) for label, own in blocks[place].items()]
        made.append(Block(place[1], _emphasised(lines, columns)))
    return Grid(table, TITLES[table], caption(material, table), columns, tuple(made))


def grids(material: StudyMaterial) -> list[Grid]:
    """Every table that was asked for, in the study's order."""
    return [grid(material, table) for table in material.tables]


def rows_with_paper(material: StudyMaterial, table: str) -> list[StudyRow]:
    """Our rows of a table, and the paper's at our lengths that have none, marked, without values.

    In the paper's order; a row that the paper has not follows the one it was given after.
    Raises ValueError on a table that the paper has not.
    """
    printed = paper_rows(table)
    ours = [row for row in material.rows if row.table == table]
    lengths = {row.bits for row in ours or printed}
    there = {(identity(row), row.features, row.bits) for row in ours}
    labels = {identity(row): row.model for row in reversed(ours)}
    others = [
        replace(row, model=labels.get(identity(row), row.model), values={}, note=NOT_OURS)
        for row in printed
        if row.bits in lengths and (identity(row), row.features, row.bits) not in there
    ]
    names = list(dict.fromkeys(identity(row) for row in printed))
    places, last = {}, float(len(names))
    for row in [*ours, *others]:
        if identity(row) in names:
            last = float(names.index(identity(row)))
        places.setdefault(row.model, last if identity(row) in names else last + 0.5)
    return sorted([*ours, *others], key=lambda row: places[row.model])


def caption(material: StudyMaterial, table: str) -> str:
    """On how much data ours and the paper's were measured, and what else keeps them apart."""
    if table == "5":
        device = material.facts.get("device", "a machine not told")
        return (
            f"Ours: on {device}; paper: {PAPER_DATA['gallery']:,} codes on its own machine, and "
            "what its memory held is not told."
        )
    words = {"classes": "classes", "train": "training sketches", "gallery": "in the gallery"}
    sizes = [
        f"{fact(material, key)} {word}" for key, word in words.items() if key in material.facts
    ]
    printed = [f"{PAPER_DATA[key]:,} {word}" for key, word in words.items()]
    if table == "zero-shot" and table in material.facts:
        sizes = [material.facts[table]]
        printed = [f"20 of {PAPER_DATA['classes']} classes kept out"]
    parts = [
        f"Ours: {', '.join(sizes) or 'sizes not told'}; paper: {', '.join(printed)}.",
        REMARKS.get(table, ""),
        _tie_note([row for row in material.rows if row.table == table]),
    ]
    return " ".join(part for part in parts if part)


def fact(material: StudyMaterial, key: str) -> str:
    """A fact as it is read: a bare number gets its commas."""
    text = str(material.facts[key])
    return f"{int(text):,}" if text.isascii() and text.isdigit() else text


def csv_table(material: StudyMaterial, table: str) -> Table:
    """A table as long rows: a line for each method and length, ours in full and the paper's."""
    metrics = LAYOUTS[table].metrics
    rows: list[tuple[Cell, ...]] = []
    for row in rows_with_paper(material, table):
        cells: list[Cell] = [row.model, row.bits, row.features, row.gallery]
        for metric in metrics:
            got = _score(row, metric)
            cells += [got.mean, got.std, got.seeds, got.paper]
        bounds = [_score(row, metric).mean for metric in ("map_worst", "map_best")]
        state = NOT_OURS if row.note == NOT_OURS else row.state
        rows.append((*cells, *bounds, state, row.failed or row.note.replace(NOT_OURS, "")))
    columns = ["model", "bits", "features", "gallery"]
    for metric in metrics:
        columns += [metric, f"{metric}_std", f"{metric}_seeds", f"{metric}_paper"]
    columns += ["map_worst", "map_best", "state", "note"]
    name = table if table == "zero-shot" else f"table-{table}"
    return Table(name, caption(material, table), tuple(columns), tuple(rows))


def _score(row: StudyRow, metric: str) -> Score:
    """Our values of a metric beside the figure that the paper prints for the same."""
    printed = [
        other.figures(metric)
        for other in paper_rows(row.table)
        if identity(row) is not None
        and (identity(other), other.features, other.bits)
        == (identity(row), row.features, row.bits)
    ]  # fmt: skip
    return score(row.figures(metric), printed[0][0] if printed and printed[0] else None)


def _label(row: StudyRow) -> str:
    return row.model if row.gallery is None else f"{row.model}, {row.gallery:,} codes"


def _line(label: str, rows: Sequence[StudyRow], columns: Sequence[Column]) -> Line:
    """One method's rows (one a length) as a line of scores."""
    by_length = {row.bits: row for row in rows}
    several = any(column.bits is not None for column in columns)
    scores = []
    for column in columns:
        row = by_length.get(column.bits) if several else rows[0]
        scores.append(_score(row, column.metric) if row else Score())
    full = any(row.paper_model == paper.FULL for row in rows)
    return Line(label, tuple(scores), _remark(rows, several), full)


def _remark(rows: Sequence[StudyRow], several: bool) -> str:
    """Notes, reasons of failures and what is still to do, each once."""
    at = " at {} bits" if several else ""
    if all(row.note == NOT_OURS for row in rows):
        return NOT_OURS
    parts = list(dict.fromkeys(row.note for row in rows if row.note not in ("", NOT_OURS)))
    parts += [f"failed{at.format(row.bits)}: {row.failed}" for row in rows if row.failed]
    waiting = [row for row in rows if row.state == "to do" and row.note != NOT_OURS]
    if waiting:
        lengths = ", ".join(str(row.bits) for row in waiting)
        all_of_them = len(waiting) == len(rows)
        parts.append("to do" if all_of_them else f"to do{at.format(lengths)}")
    return "; ".join(parts)


def _emphasised(lines: Sequence[Line], columns: Sequence[Column]) -> tuple[Line, ...]:
    """The lines with our best score of each column marked, ties as they are shown included."""
    best = []
    for place, column in enumerate(columns):
        better = METRICS[column.metric].better
        means = [mean for line in lines if (mean := line.scores[place].mean) is not None]
        alone = len(means) < 2 or not better
        best.append(
            None if alone else shown(better * max(better * m for m in means), column.metric)
        )
    return tuple(
        replace(
            line,
            scores=tuple(
                replace(one, best=one.mean is not None and shown(one.mean, column.metric) == top)
                for one, column, top in zip(line.scores, columns, best, strict=True)
            ),
        )
        for line in lines
    )


def _tie_note(rows: Sequence[StudyRow]) -> str:
    """How far the order inside ties could move a MAP of ours, where the bounds are known."""
    widths = []
    for row in rows:
        low, high = (score(row.figures(metric)).mean for metric in ("map_worst", "map_best"))
        if low is not None and high is not None:
            widths.append(high - low)
    if not widths:
        return ""
    return (
        "Our MAP is the expectation over the orders inside ties; from the worst order to the best "
        f"it spans up to {max(widths):.4f} (bounds in the CSV)."
    )
