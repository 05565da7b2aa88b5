"""The report's tables: plain rows, written as CSV in full precision and shown rounded.

Rows of a `Reference` follow the run's own; the run's rows are marked as such.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sketchjax.data.inputs import part_words
from sketchjax.files import write_whole
from sketchjax.report.material import (
    Cell,
    PublishedRows,
    PublishedStage,
    Reference,
    Retrieval,
    StageRow,
)

NO_NUMBER = "\N{EN DASH}"
PRECISION = "precision_at_"
RECALL = "recall_at_"
# Columns of the tables by the names of results.json.
HEADINGS = {
    "model": "model",
    "bits": "bits",
    "map": "MAP",
    "precision_at_200": "P@200",
    "accuracy": "accuracy",
    "classes": "classes",
    "train": "training",
    "gallery": "gallery",
    "d1": "d1",
    "d2": "d2",
    "d1_over_d2": "d1/d2",
}
RESULTS = ("model", "bits", "map", "precision_at_200", "accuracy", "classes", "train", "gallery")
RECOGNITION = ("model", "accuracy", "classes", "train")
DISTANCES = ("model", "d1", "d2", "d1_over_d2")


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    name: of its CSV file, without the ending.
    caption: shown above it.
    columns: their headings.
    rows: one cell per column; None for a number that does not exist.
    ours: indices of the rows that this run measured, set off from published ones.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    ours: tuple[int, ...] = ()

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that hold text, to be aligned on the left."""
        return tuple(
            name
            for place, name in enumerate(self.columns)
            if any(isinstance(row[place], str) for row in self.rows)
        )


def result_table(results: Mapping[str, Any], published: PublishedRows | None = None) -> Table:
    """This run's scores above the published ones.

    results: as in results.json; a run without codes (bits None) has its accuracy only.
    published: rows to add, and the caption; None for none.
    """
    keys = RESULTS if results["bits"] is not None else RECOGNITION
    return _compared("results", keys, results, published or PublishedRows(), "Scores of this run.")


def distance_table(
    results: Mapping[str, Any], published: PublishedRows | None = None
) -> Table | None:
    """Distances inside (d1) and between (d2) classes above the published ones.

    results: as in results.json; where it has none of the distances, there is no table.
    published: rows to add, and the caption; None for none.
    """
    if all(results.get(key) is None for key in DISTANCES[1:]):
        return None
    caption = "Mean distance inside a class (d1) and between classes (d2)."
    return _compared("distances", DISTANCES, results, published or PublishedRows(), caption)


def _compared(
    name: str,
    keys: Sequence[str],
    results: Mapping[str, Any],
    published: PublishedRows,
    caption: str,
) -> Table:
    """A table of these keys: this run's row, then the published ones."""
    trained = results.get("train") or results.get("train_photos")
    rows = [{**results, "model": "this run", "train": trained}, *published.rows]
    return Table(
        name,
        published.caption or caption,
        tuple(HEADINGS[key] for key in keys),
        tuple(tuple(row.get(key) for key in keys) for row in rows),
        ours=(0,),
    )


def ranking_table(results: Mapping[str, Any]) -> Table | None:
    """The scores of every ranking, where a run has more than one.

    results: as in results.json; `rankings` is missing in runs of older versions.
    """
    rankings = results.get("rankings") or []
    if len(rankings) < 2:
        return None
    columns = {
        "queries": "queries",
        "gallery": "gallery",
        "map": "MAP",
        "map_worst": "worst order",
        "map_best": "best order",
        "map_stable": "stable sort",
        **{f"{PRECISION}{k}": f"P@{k}" for k in sorted({k for r in rankings for k in ranks(r)})},
        "queries_count": "query count",
        "gallery_count": "gallery size",
    }
    rows = tuple(tuple(ranking.get(key) for key in columns) for ranking in rankings)
    caption = (
        "Every ranking of this run; the scores above are those of the first. MAP is the expected "
        "value over all orders within ties; the worst and the best order are its bounds."
    )
    return Table("rankings", caption, tuple(columns.values()), rows)


def feature_table(results: Mapping[str, Any]) -> Table | None:
    """The scores of every ranking by features, where a run has an embedding.

    results: as in results.json; other runs have no `feature_rankings`.
    """
    rankings = results.get("feature_rankings")
    if not rankings:
        return None
    found = {key for ranking in rankings for key in ranking}
    columns = {
        "queries": "queries",
        "gallery": "gallery",
        "distance": "distance",
        "map": "MAP",
        **{f"{PRECISION}{k}": f"P@{k}" for k in _numbers(found, PRECISION)},
        **{f"{RECALL}{k}": f"R@{k}" for k in _numbers(found, RECALL)},
        "r_precision": "R-precision",
        "map_at_r": "MAP@R",
        "nmi": "NMI",
    }
    rows = tuple(tuple(ranking.get(key) for key in columns) for ranking in rankings)
    caption = (
        "Rankings by the features themselves; all other scores are those of codes. R@K is the "
        "share of queries with a right answer among the first K. By SNR distance the query is the "
        "anchor. NMI: of the gallery's classes and of as many clusters."
    )
    return Table("feature_rankings", caption, tuple(columns.values()), rows)


def photo_table(results: Mapping[str, Any]) -> Table | None:
    """The scores of every ranking of photos for sketches, by distance.

    results: as in results.json; other runs have no `photo_rankings`.
    """
    rankings = results.get("photo_rankings")
    if not rankings:
        return None
    instances = [ranking["instance"] or {} for ranking in rankings]
    recalls = sorted({k for own in instances for k in _numbers(own, RECALL)})
    columns = {
        "queries": "queries",
        "gallery": "gallery",
        "distance": "distance",
        "map": "MAP",
        **{f"{PRECISION}{k}": f"P@{k}" for k in _numbers(rankings[0]["category"], PRECISION)},
        **{f"{RECALL}{k}": f"R@{k}" for k in recalls},
        **{f"{RECALL}{k}_worst": f"R@{k}, ties against" for k in recalls[:1]},
        **{f"{RECALL}{k}_chance": f"R@{k} at random" for k in recalls[:1]},
        **{f"{RECALL}{k}_within": f"R@{k} in category" for k in recalls},
        "queries_count": "sketches",
        "gallery_count": "photos",
    }
    rows = []
    for ranking, own in zip(rankings, instances, strict=True):
        found = {**ranking["category"], **own, **ranking}
        rows.append(tuple(found.get(key) for key in columns))
    caption = (
        "Photos found by sketches. MAP and P@K count every photo of the sketch's category as "
        "right; R@K is the share of sketches whose own photo is among the first K of all photos, "
        "or of those of its category, in expectation over the orders of ties. By Hamming distance: "
        "of codes; the others are of features."
    )
    return Table("photo_rankings", caption, tuple(columns.values()), tuple(rows))


def _numbers(keys: Iterable[str], prefix: str) -> list[int]:
    """The k of keys such as precision_at_k, rising."""
    found = (key.removeprefix(prefix) for key in keys if key.startswith(prefix))
    return sorted(int(k) for k in found if k.isdigit())


def ranks(scores: Mapping[str, Any]) -> list[int]:
    """The k of each precision@k that scores have a value for, rising."""
    return _numbers((key for key in scores if scores[key] is not None), PRECISION)


def stage_table(
    stages: Sequence[StageRow],
    bits: int | None,
    ranking: tuple[str, str],
    reference: Reference | None = None,
) -> Table:
    """What each stage reached, next to the published row with the same objective.

    stages: one row each.
    bits: length of the codes; None where there are no codes to score.
    ranking: the parts of queries and gallery that map and precision are of.
    reference: the published figures; None for none.
    """
    columns = ["after stage", "objective", "validation accuracy"]
    rows: list[tuple[Cell, ...]] = [(s.name, s.objective, s.validation_accuracy) for s in stages]
    if bits is None:
        return Table("stages", "What each stage reached.", tuple(columns), tuple(rows))
    queries, gallery = map(part_words, ranking)
    caption = f"MAP and precision@200 of this run after a stage: {queries} against {gallery}."
    if reference is None:
        columns += ["MAP", "P@200"]
        rows = [
            (*row, stage.map, stage.precision_at_200)
            for row, stage in zip(rows, stages, strict=True)
        ]
        return Table("stages", caption, tuple(columns), tuple(rows))
    name = reference.name
    columns += ["MAP", f"MAP in {name}", "P@200", f"P@200 in {name}", f"row of {name}"]
    printed = [reference.stages.get(stage.name, PublishedStage("")) for stage in stages]
    rows = [
        (
            *row,
            stage.map,
            other.map,
            stage.precision_at_200,
            other.precision_at_200,
            other.label or None,
        )
        for row, stage, other in zip(rows, stages, printed, strict=True)
    ]
    return Table("stages", caption, tuple(columns), tuple(rows))


def speed_table(stages: Sequence[StageRow], items: str) -> Table:
    """Training time and speed by stage. items: what was trained on, such as `sketches`."""
    rows = tuple((s.name, s.epochs, s.seconds, s.sketches_per_second) for s in stages)
    columns = ("stage", "epochs", "seconds", f"{items} per second")
    return Table("speed", "Training time and speed by stage.", columns, rows)


def retrieval_table(retrievals: Sequence[Retrieval], gallery: str) -> Table:
    """One row for each result shown of each query shown. gallery: the part that was ranked."""
    rows = tuple(
        (number, retrieval.query_category, rank, result.category, result.distance, result.correct)
        for number, retrieval in enumerate(retrievals, 1)
        for rank, result in enumerate(retrieval.results, 1)
    )
    columns = ("query", "query category", "rank", "category", "distance", "correct")
    caption = f"The nearest {part_words(gallery)} of a few queries."
    return Table("retrievals", caption, columns, rows)


def precision_bound(results: Mapping[str, Any], k: int) -> float | None:
    """The most that precision@k can be; None where that is 1, or not known.

    results: as in results.json; earlier versions did not write it.
    """
    most = results.get(f"most_precision_at_{k}")
    return most if most is not None and most < 1 else None


def csv_text(table: Table) -> str:
    """The table as CSV with a header line, numbers in full precision, empty fields for None."""
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


def cell_text(value: Cell) -> str:
    """A cell as the page shows it: 0.6791, 3,105,000, yes, and an en dash for None.

    Shares and scores (0 to 1) have four decimals, larger numbers fewer.
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
    """Seconds in two units at most: 8.2 s, 3 min 12 s, 1 h 04 min, 2 d 3 h."""
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
