"""The paper's tables as rows of a study, so that both are read by the same code."""

from __future__ import annotations

from sketchjax.paper import numbers as paper
from sketchjax.paper.reference import PAPER_DATA
from sketchjax.paper.report.material import StudyRow
from sketchjax.paper.report.scores import METRICS


def paper_rows(table: str) -> list[StudyRow]:
    """The paper's rows of a table, in its order, each with one value a metric.

    Raises ValueError on a table that the paper has not.
    """
    return [
        StudyRow(
            table,
            model=row.get("model") or row.get("method") or "the paper's search",
            values={metric: [row[metric]] for metric in METRICS if metric in row},
            bits=row.get("bits"),
            features=row.get("features"),
            paper_model=row.get("model") or row.get("method"),
            gallery=PAPER_DATA["gallery"] if table == "5" else None,
        )
        for row in paper.rows(table)
    ]


def identity(row: StudyRow) -> str | None:
    """Which row of the paper a row stands beside, whatever its length; None where there is none.

    In table 5 the number of codes decides: the paper times 345,000.
    """
    return f"{row.gallery} codes" if row.table == "5" else row.paper_model
