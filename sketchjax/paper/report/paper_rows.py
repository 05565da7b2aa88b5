"""The paper's tables as rows of a study, so that the same code reads both."""

from __future__ import annotations

from sketchjax.paper import numbers as paper
from sketchjax.paper.reference import PAPER_DATA
from sketchjax.paper.report.material import StudyRow
from sketchjax.paper.report.scores import METRICS


def paper_rows(table: str) -> list[StudyRow]:
    """The paper's rows of a table, in its order, each with one value per metric.

    Raises ValueError for a table that the paper does not have.
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


def paper_key(row: StudyRow) -> str | None:
    """Which method of the paper a row corresponds to, whatever its length; None if there is none.

    In table 5 it is the number of codes: the paper times 345,000.
    """
    return f"{row.gallery} codes" if row.table == "5" else row.paper_model
