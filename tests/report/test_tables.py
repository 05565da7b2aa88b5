"""Tables: a run's values above published ones, in full precision and rounded."""

import csv
import io

import numpy as np
import pytest

from sketchjax.report import tables
from sketchjax.report.material import (
    Neighbour,
    PublishedRows,
    PublishedStage,
    Reference,
    Retrieval,
    StageRow,
)

RESULTS = {
    "map": 0.812345,
    "precision_at_200": 0.7,
    "accuracy": 0.9,
    "bits": 64,
    "classes": 55,
    "train": 29_662,
    "gallery": 8_477,
    "queries": 2_134,
}
PUBLISHED = PublishedRows(
    [
        {"model": "theirs", "bits": 64, "map": 0.5, "precision_at_200": 0.4, "train": 3_000_000},
        {"model": "other", "bits": 64, "accuracy": 0.8, "d1": 2.0, "d2": 8.0, "d1_over_d2": 0.25},
    ],
    caption="This run and theirs.",
)
STAGES = [
    StageRow("cnn", "CEL", validation_accuracy=0.8),
    StageRow("joint", "CEL", map=0.7, precision_at_200=0.6),
    StageRow("center", "CEL + SCL", map=0.75),
]


def test_a_run_by_itself_has_one_row():
    table = tables.result_table(RESULTS)
    assert table.ours == (0,)
    assert table.columns == (
        "model",
        "bits",
        "MAP",
        "P@200",
        "accuracy",
        "classes",
        "training",
        "gallery",
    )
    assert table.rows == (("this run", 64, 0.812345, 0.7, 0.9, 55, 29_662, 8_477),)
    assert table.caption == "Scores of this run."


def test_published_rows_follow_this_run():
    table = tables.result_table(RESULTS, PUBLISHED)
    assert table.ours == (0,)
    assert table.rows[0][:5] == ("this run", 64, 0.812345, 0.7, 0.9)
    assert table.rows[1:] == (
        ("theirs", 64, 0.5, 0.4, None, None, 3_000_000, None),
        ("other", 64, None, None, 0.8, None, None, None),
    )
    assert table.caption == "This run and theirs."


def test_a_run_without_codes_has_its_accuracy():
    table = tables.result_table(RESULTS | {"bits": None, "map": None}, PUBLISHED)
    assert table.columns == ("model", "accuracy", "classes", "training")
    assert table.rows[0] == ("this run", 0.9, 55, 29_662)
    assert table.rows[2] == ("other", 0.8, None, None)


def test_distances_that_exist_are_shown():
    assert tables.distance_table(RESULTS) is None
    assert tables.distance_table(RESULTS | dict.fromkeys(("d1", "d2", "d1_over_d2"))) is None
    table = tables.distance_table(RESULTS | {"d1": 1.0, "d2": 8.0, "d1_over_d2": 0.125}, PUBLISHED)
    assert table is not None
    assert table.columns == ("model", "d1", "d2", "d1/d2")
    assert table.rows[0] == ("this run", 1.0, 8.0, 0.125)
    assert table.rows[2] == ("other", 2.0, 8.0, 0.25)
    # A gallery of one class has distances inside it only.
    alone = tables.distance_table(RESULTS | {"d1": 1.0, "d2": None})
    assert alone is not None
    assert alone.rows == (("this run", 1.0, None, None),)


def test_stages_without_published_figures():
    table = tables.stage_table(STAGES, 16, ("query", "gallery"))
    assert table.columns == ("after stage", "objective", "validation accuracy", "MAP", "P@200")
    assert table.rows[1] == ("joint", "CEL", None, 0.7, 0.6)
    assert table.caption.endswith("query sketches against gallery sketches.")


def test_a_stage_is_next_to_the_row_with_its_objective():
    reference = Reference(
        source="A paper",
        name="theirs",
        heading="",
        size_note="",
        results=PublishedRows(),
        stages={"joint": PublishedStage("Row 1", 0.5, 0.4), "center": PublishedStage("Row 2")},
    )
    table = tables.stage_table(STAGES, 16, ("query", "gallery"), reference)
    assert table.columns[3:] == (
        "MAP",
        "MAP in theirs",
        "P@200",
        "P@200 in theirs",
        "row of theirs",
    )
    assert table.rows[0] == ("cnn", "CEL", 0.8, None, None, None, None, None)
    assert table.rows[1] == ("joint", "CEL", None, 0.7, 0.5, 0.6, 0.4, "Row 1")
    assert table.rows[2] == ("center", "CEL + SCL", None, 0.75, None, None, None, "Row 2")
    assert table.text_columns == ("after stage", "objective", "row of theirs")


def test_stages_without_codes_have_accuracies_only():
    table = tables.stage_table(STAGES, None, ("query", "gallery"))
    assert table.rows[0] == ("cnn", "CEL", 0.8)


def test_several_rankings_are_one_table():
    first = {"queries": "query", "gallery": "gallery", "map": 0.5, "queries_count": 30}
    second = {
        "queries": "validation",
        "gallery": "train",
        "map": None,
        "precision_at_50": 0.25,
        "precision_at_200": None,
        "gallery_count": 900,
    }
    for rankings in ([], [first]):
        assert tables.ranking_table(RESULTS | {"rankings": rankings}) is None
    assert tables.ranking_table(RESULTS) is None
    table = tables.ranking_table(RESULTS | {"rankings": [first, second]})
    assert table is not None
    found = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["queries"], row["gallery"], row["MAP"]) for row in found] == [
        ("query", "gallery", 0.5),
        ("validation", "train", None),
    ]
    assert [row["P@50"] for row in found] == [None, 0.25]
    assert "P@200" not in table.columns, "no ranking has it"
    assert (found[0]["query count"], found[1]["gallery size"]) == (30, 900)


def test_csv_keeps_full_precision_and_quotes_what_needs_it():
    value = 0.1 + 0.2
    table = tables.Table("t", "c", ("name", "x"), (('a,"b"', value), ("none", None)))
    read = list(csv.reader(io.StringIO(tables.csv_text(table))))
    assert read == [["name", "x"], ['a,"b"', repr(value)], ["none", ""]]
    assert float(read[1][1]) == value


def test_every_result_shown_is_a_row():
    points = np.zeros((1, 3), np.uint8)
    results = [Neighbour(points, "cat", 0, True), Neighbour(points, "dog", 3, False)]
    table = tables.retrieval_table(
        [Retrieval(points, "cat", results), Retrieval(points, "x", [])], "photo/gallery"
    )
    assert table.caption == "The nearest gallery photos of a few queries."
    assert table.rows == ((1, "cat", 1, "cat", 0, True), (1, "cat", 2, "dog", 3, False))


@pytest.mark.parametrize("most, bound", [(0.29, 0.29), (1.0, None), (None, None)])
def test_the_bound_of_precision_at_k_is_shown_where_it_is_below_1(most, bound):
    results = {"most_precision_at_100": most} if most else {"gallery": 9, "classes": 3}
    assert tables.precision_bound(results, 100) == bound


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "–"),  # noqa: RUF001
        (float("nan"), "–"),  # noqa: RUF001
        (0.67914, "0.6791"),
        (1.0, "1.0000"),
        (3_105_000, "3,105,000"),
        (4.704, "4.70"),
        (20.0, "20"),
        (861.7, "862"),
        (True, "yes"),
        ("Our+CEL", "Our+CEL"),
    ],
)
def test_the_text_of_a_cell(value, text):
    assert tables.cell_text(value) == text


@pytest.mark.parametrize(
    "seconds, text",
    [
        (8.21, "8.2 s"),
        (59.4, "59 s"),
        (59.7, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.9, "1 h 00 min"),
        (3840, "1 h 04 min"),
        (144_000, "40 h 00 min"),
        (183_600, "2 d 3 h"),
    ],
)
def test_duration(seconds, text):
    assert tables.duration(seconds) == text


def test_rankings_by_features_have_a_table():
    assert tables.feature_table(RESULTS) is None
    sides = {"queries": "query", "gallery": "gallery"}
    scores = {"precision_at_5": 0.5, "recall_at_1": 0.25, "recall_at_8": 0.75}
    rankings = [
        {**sides, "distance": "snr", "map": 0.5, "map_at_r": 0.4, "r_precision": 0.3, "nmi": 0.2}
        | scores,
        {**sides, "distance": "cosine", "map": None},
    ]
    table = tables.feature_table(RESULTS | {"feature_rankings": rankings})
    assert table is not None
    assert table.columns == (
        *("queries", "gallery", "distance", "MAP", "P@5", "R@1", "R@8"),
        *("R-precision", "MAP@R", "NMI"),
    )
    assert table.rows == (
        ("query", "gallery", "snr", 0.5, 0.5, 0.25, 0.75, 0.3, 0.4, 0.2),
        ("query", "gallery", "cosine", *[None] * 7),
    )
    assert table.text_columns == ("queries", "gallery", "distance")
