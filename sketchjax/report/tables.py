"""The report's tables: plain rows, written as CSV in full precision and shown rounded.

Other people's numbers come from `sketchjax.paper.numbers` and are marked as the paper's: they were
measured on far more data than most runs see, and each table says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchjax.files import write_whole
from sketchjax.paper import numbers as paper
from sketchjax.report.material import Retrieval, Stage

Cell = str | int | float | None
NO_NUMBER = "\N{EN DASH}"
# QuickDraw-3.8M (SketchMate, table 3): what the paper's numbers were measured on.
PAPER_DATA = {"classes": 345, "train": 3_105_000, "gallery": 345_000, "queries": 34_500}


@dataclass(frozen=True)
class Table:
    """Rows under named columns; None stands for a number that does not exist.

    ours: the indices of the rows that this run measured, to be set off from the paper's.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    ours: tuple[int, ...] = ()


def result_table(results: Mapping[str, Any]) -> Table:
    """This run's scores above the paper's table 1 at the same number of bits.

    At a number of bits that the paper does not have, its full model stands at each that it has.
    What recognises without codes stands beside table 6.
    """
    if results["bits"] is None:
        return _recognition_table(results)
    bits = int(results["bits"])
    rows: list[tuple[Cell, ...]] = [_scored("this run", bits, results, results)]
    if bits in paper_bits():
        wanted = paper.rows("1", bits=bits)
        caption = f"This run beside table 1 of the paper at {bits} bits."
    else:
        wanted = paper.rows("1", model=paper.FULL)
        caption = f"The paper has no number at {bits} bits: its full model at those that it has."
    for row in wanted:
        model, each = row["model"], row["bits"]
        rows.append(_scored(model, each, paper.scores(each, model), PAPER_DATA))
    columns = ("model", "bits", "MAP", "P@200", "accuracy", "classes", "training", "gallery")
    return Table("results", caption, columns, tuple(rows), ours=(0,))


def _recognition_table(results: Mapping[str, Any]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        ("this run", results["accuracy"], *(results[name] for name in ("classes", "train")))
    ]
    rows += [
        (row["model"], row["accuracy"], PAPER_DATA["classes"], PAPER_DATA["train"])
        for row in paper.rows("6")
    ]
    columns = ("model", "accuracy", "classes", "training")
    return Table("results", "This run beside table 6 of the paper.", columns, tuple(rows), (0,))


def distance_table(results: Mapping[str, Any]) -> Table | None:
    """Distances inside (d1) and between (d2) classes beside the paper's table 4, None without."""
    keys = ("d1", "d2", "d1_over_d2")
    if any(results.get(key) is None for key in keys):
        return None
    bits = int(results["bits"])
    printed = paper.rows("4", bits=bits)
    rows = [("this run", *(results[key] for key in keys))]
    rows += [(row["model"], *(row[key] for key in keys)) for row in printed]
    caption = "Mean distance inside a class (d1) and between classes (d2)"
    if printed:
        caption += (
            f", beside table 4 of the paper at {bits} bits. Ours are Hamming distances of codes, "
            "the paper's lie in its feature space: only the ratios compare"
        )
    caption += "."
    return Table("distances", caption, ("model", "d1", "d2", "d1/d2"), tuple(rows), ours=(0,))


def _scored(
    model: str, bits: int, scores: Mapping[str, Any], sizes: Mapping[str, Any]
) -> tuple[Cell, ...]:
    measured = (scores.get(key) for key in ("map", "precision_at_200", "accuracy"))
    return (model, bits, *measured, sizes["classes"], sizes["train"], sizes["gallery"])


def stage_table(stages: Sequence[Stage], bits: int | None, measured_on: str) -> Table:
    """What each stage reached, beside the paper's row that was trained with the same objective.

    bits: None where there are no codes to score.
    """
    if bits is None:
        recognised = tuple(
            (stage.name, stage.objective, stage.validation_accuracy) for stage in stages
        )
        columns = ("after stage", "objective", "validation accuracy")
        return Table("stages", "What each stage reached.", columns, recognised)
    rows = []
    for stage in stages:
        row = stage.paper_row
        rows.append(
            (
                stage.name,
                stage.objective,
                stage.validation_accuracy,
                stage.map,
                paper_value(row, "map", bits),
                stage.precision_at_200,
                paper_value(row, "precision_at_200", bits),
                row,
            )
        )
    columns = (
        "after stage",
        "objective",
        "validation accuracy",
        "MAP",
        "MAP in the paper",
        "P@200",
        "P@200 in the paper",
        "row of the paper",
    )
    caption = f"Our MAP and precision@200 after a stage: {measured_on}."
    return Table("stages", caption, columns, tuple(rows))


def speed_table(stages: Sequence[Stage]) -> Table:
    """Training time and speed by stage."""
    rows = tuple((s.name, s.epochs, s.seconds, s.sketches_per_second) for s in stages)
    columns = ("stage", "epochs", "seconds", "sketches per second")
    return Table("speed", "Training time and speed by stage.", columns, rows)


def retrieval_table(retrievals: Sequence[Retrieval]) -> Table:
    """Every shown result of every shown query, a row each."""
    rows = tuple(
        (number, retrieval.query_category, rank, result.category, result.distance, result.correct)
        for number, retrieval in enumerate(retrievals, 1)
        for rank, result in enumerate(retrieval.results, 1)
    )
    columns = ("query", "query category", "rank", "category", "distance", "correct")
    return Table("retrievals", "The nearest gallery sketches of a few queries.", columns, rows)


def paper_bits() -> list[int]:
    """The numbers of bits at which the paper's full model was measured, rising."""
    return sorted(row["bits"] for row in paper.rows("1", model=paper.FULL))


def paper_value(row: str | None, metric: str, bits: int | None) -> float | None:
    """The paper's number for a row of its table 1, or None where it has none."""
    return paper.scores(bits, row).get(metric) if row and bits else None


def size_note(results: Mapping[str, Any]) -> str:
    """How far this run's data are from the paper's, in one sentence or two."""
    keys = ("classes", "train", "gallery", "queries")
    if all(results[key] == PAPER_DATA[key] for key in keys):
        return "This run has the data sizes of the paper, so the numbers stand side by side."
    if results["bits"] is None:
        return (
            f"These numbers do not compare one to one. The paper tells {PAPER_DATA['classes']} "
            f"classes apart after {PAPER_DATA['train']:,} training sketches, this run "
            f"{results['classes']:,} after {results['train']:,}."
        )
    return (
        f"These numbers do not compare one to one. The paper tells {PAPER_DATA['classes']} classes "
        f"apart after {PAPER_DATA['train']:,} training sketches and ranks "
        f"{PAPER_DATA['gallery']:,}; this run tells {results['classes']:,} apart after "
        f"{results['train']:,} and ranks {results['gallery']:,}. A random ranking has a MAP of "
        f"about {1 / PAPER_DATA['classes']:.3f} there and {1 / results['classes']:.3f} here."
    )


def precision_bound(results: Mapping[str, Any], k: int) -> float | None:
    """The most that precision@k can be where a class has fewer than k gallery sketches, else None.

    Taken from the mean size of a class: gallery / classes.
    """
    mean_size = results["gallery"] / max(results["classes"], 1)
    return mean_size / k if mean_size < k else None


def csv_text(table: Table) -> str:
    """The table as CSV with a heading, numbers in full precision, an empty field for None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


def write_csv(folder: Path, table: Table) -> Path:
    """Write FOLDER/NAME.csv whole or not at all."""
    path = folder / f"{table.name}.csv"
    write_whole(path, csv_text(table).encode())
    return path


def shown(value: Cell) -> str:
    """A cell as a person reads it: 0.6791, 3,105,000, yes, and an en dash for None.

    Shares and scores (0 to 1) have four decimals as in the paper, larger numbers fewer.
    """
    if value is None:
        return NO_NUMBER
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value != value:
            return NO_NUMBER
        if abs(value) <= 1:
            return f"{value:.4f}"
        return f"{value:,.0f}" if abs(value) >= 100 or value.is_integer() else f"{value:,.2f}"
    return value


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.2 s, 3 min 12 s, 1 h 04 min, 2 d 3 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"
