"""The paper's tables with our scores in them: every row and length, ours next to the paper's.

A grid is what page, Markdown and terminal show. Its CSV is in long form, one line per method and
length, with mean, standard deviation and number of seeds in full precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sketchjax.paper import numbers as paper
from sketchjax.paper.reference import PAPER_DATA
from sketchjax.paper.report.layout import LAYOUTS, Block, Column, Grid, Line, file_name
from sketchjax.paper.report.material import StudyMaterial, StudyRow
from sketchjax.paper.report.paper_rows import paper_key, paper_rows
from sketchjax.paper.report.scores import METRICS, Score, score, value_text
from sketchjax.report.tables import Cell, Table

NOT_OURS = "not in this study"
REMARKS = {
    "4": "d1 is the mean distance within a class, d2 between classes.",
    "zero-shot": "The classes of this table were not in the training data.",
}


def grid(material: StudyMaterial, table: str) -> Grid:
    """One table of the paper: our rows, and the paper's rows that the study lacks.

    Raises ValueError for a table that the paper does not have.
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
    return Grid(table, caption(material, table), columns, tuple(made))


def grids(material: StudyMaterial) -> list[Grid]:
    """Every requested table, in the study's order."""
    return [grid(material, table) for table in material.tables]


def rows_with_paper(material: StudyMaterial, table: str) -> list[StudyRow]:
    """Our rows of a table, and the paper's rows at our lengths that we lack, marked and empty.

    Rows are in the paper's order; a row that the paper lacks follows the row given before it.
    Raises ValueError for a table that the paper does not have.
    """
    theirs = paper_rows(table)
    ours = [row for row in material.rows if row.table == table]
    lengths = {row.bits for row in ours or theirs}
    covered = {_key(row) for row in ours}
    labels = {paper_key(row): row.model for row in reversed(ours)}
    others = [
        replace(row, model=labels.get(paper_key(row), row.model), values={}, note=NOT_OURS)
        for row in theirs
        if row.bits in lengths and _key(row) not in covered
    ]
    keys = list(dict.fromkeys(paper_key(row) for row in theirs))
    places, last = {}, float(len(keys))
    for row in [*ours, *others]:
        if paper_key(row) in keys:
            last = float(keys.index(paper_key(row)))
        places.setdefault(row.model, last if paper_key(row) in keys else last + 0.5)
    return sorted([*ours, *others], key=lambda row: places[row.model])


def caption(material: StudyMaterial, table: str) -> str:
    """How much data ours and the paper's scores were measured on, and how else they differ."""
    if table == "5":
        device = material.facts.get("device", "an unknown machine")
        return (
            f"Ours: on {device}; paper: {PAPER_DATA['gallery']:,} codes on its own machine. The "
            "paper does not say what its memory includes."
        )
    units = {"classes": "classes", "train": "training sketches", "gallery": "in the gallery"}
    ours = [f"{fact(material, key)} {unit}" for key, unit in units.items() if key in material.facts]
    theirs = [f"{PAPER_DATA[key]:,} {unit}" for key, unit in units.items()]
    if table == "zero-shot" and table in material.facts:
        ours = [material.facts[table]]
        theirs = [f"20 of {PAPER_DATA['classes']} classes kept out"]
    parts = [
        f"Ours: {', '.join(ours) or 'sizes unknown'}; paper: {', '.join(theirs)}.",
        REMARKS.get(table, ""),
        _tie_note([row for row in material.rows if row.table == table]),
    ]
    return " ".join(part for part in parts if part)


def fact(material: StudyMaterial, key: str) -> str:
    """A fact as shown: a bare number gets its commas."""
    text = str(material.facts[key])
    return f"{int(text):,}" if text.isascii() and text.isdigit() else text


def csv_table(material: StudyMaterial, table: str) -> Table:
    """A table in long form: one line per method and length, ours in full precision."""
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
    return Table(file_name(table), caption(material, table), tuple(columns), tuple(rows))


def _score(row: StudyRow, metric: str) -> Score:
    """Our values of a metric next to the value that the paper prints."""
    theirs = [
        other.seed_values(metric)
        for other in paper_rows(row.table)
        if paper_key(row) is not None and _key(other) == _key(row)
    ]
    return score(row.seed_values(metric), theirs[0][0] if theirs and theirs[0] else None)


def _key(row: StudyRow) -> tuple[str | None, str | None, int | None]:
    """What a row of ours shares with the paper's row for the same method, features and length."""
    return paper_key(row), row.features, row.bits


def _label(row: StudyRow) -> str:
    return row.model if row.gallery is None else f"{row.model}, {row.gallery:,} codes"


def _line(label: str, rows: Sequence[StudyRow], columns: Sequence[Column]) -> Line:
    """One method's rows, one per length, as a line of scores."""
    by_length = {row.bits: row for row in rows}
    several = any(column.bits is not None for column in columns)
    scores = []
    for column in columns:
        row = by_length.get(column.bits) if several else rows[0]
        scores.append(_score(row, column.metric) if row else Score())
    full = any(row.paper_model == paper.FULL for row in rows)
    return Line(label, tuple(scores), _remark(rows, several), full)


def _remark(rows: Sequence[StudyRow], several: bool) -> str:
    """Notes, causes of failures and what is still to do, each once."""
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
    """The lines with our best score of each column marked, including ties as shown."""
    best = []
    for place, column in enumerate(columns):
        better = METRICS[column.metric].better
        means = [mean for line in lines if (mean := line.scores[place].mean) is not None]
        compared = better and len(means) > 1
        top = better * max(better * mean for mean in means) if compared else None
        best.append(value_text(top, column.metric) if compared else None)
    return tuple(
        replace(
            line,
            scores=tuple(
                replace(one, best=value_text(one.mean, column.metric) == top)
                for one, column, top in zip(line.scores, columns, best, strict=True)
            ),
        )
        for line in lines
    )


def _tie_note(rows: Sequence[StudyRow]) -> str:
    """How far the order within ties could move our MAPs, where the bounds are known."""
    widths = []
    for row in rows:
        low, high = (score(row.seed_values(metric)).mean for metric in ("map_worst", "map_best"))
        if low is not None and high is not None:
            widths.append(high - low)
    if not widths:
        return ""
    return (
        "Our MAP is the expectation over random orders within ties; between the worst order and "
        f"the best it varies by up to {max(widths):.4f} (bounds in the CSV)."
    )
