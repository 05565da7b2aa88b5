"""Tables: our values beside those the paper prints, in full precision and rounded."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchjax.report import tables
from sketchjax.report.material import Neighbour, Retrieval, Stage

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


def by_model(table: tables.Table) -> dict:
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_this_run_stands_first_and_the_paper_s_rows_at_the_same_bits_follow():
    table = tables.result_table(RESULTS)
    assert table.ours == (0,)
    assert table.rows[0][:5] == ("this run", 64, 0.812345, 0.7, 0.9)
    models = by_model(table)
    # As printed in table 1 of the paper.
    assert list(models)[1:] == [
        "DLBHC",
        "DSH-Supervised",
        "DSH-Sketch",
        "Our+CEL",
        "Our+CEL+CL",
        "Our+CEL+SCL",
        "Our+CEL+SCL+QL (Full)",
    ]
    full = models["Our+CEL+SCL+QL (Full)"]
    assert (full["MAP"], full["P@200"], full["training"]) == (0.6791, 0.6882, 3_105_000)
    assert {row["bits"] for row in models.values()} == {64}


def test_at_bits_that_the_paper_has_not_its_full_model_stands_at_its_own():
    table = tables.result_table(RESULTS | {"bits": 48})
    assert [row[1:4] for row in table.rows[1:]] == [
        (16, 0.6064, 0.5978),
        (24, 0.6388, 0.6324),
        (32, 0.6521, 0.6603),
        (64, 0.6791, 0.6882),
    ]
    assert "no number at 48 bits" in table.caption


def test_a_stage_stands_beside_the_row_with_its_objective():
    stages = [
        Stage("cnn", "CEL", validation_accuracy=0.8),
        Stage("joint", "CEL", map=0.7, precision_at_200=0.6, paper_row="Our+CEL"),
        Stage("center", "CEL + SCL", map=0.75, paper_row="Our+CEL+SCL"),
    ]
    rows = tables.stage_table(stages, 16, "on the gallery").rows
    assert rows[0] == ("cnn", "CEL", 0.8, None, None, None, None, None)
    assert rows[1] == ("joint", "CEL", None, 0.7, 0.5969, 0.6, 0.5817, "Our+CEL")
    assert rows[2] == ("center", "CEL + SCL", None, 0.75, 0.6016, None, 0.5928, "Our+CEL+SCL")
    assert tables.stage_table(stages, 40, "").rows[1][4] is None


def test_distances_stand_beside_table_4_and_only_where_measured():
    assert tables.distance_table(RESULTS) is None
    table = tables.distance_table(RESULTS | {"d1": 1.0, "d2": 8.0, "d1_over_d2": 0.125})
    assert table is not None
    assert table.rows[0] == ("this run", 1.0, 8.0, 0.125)
    assert ("Our+CEL+SCL+QL (Full)", 2.5231, 17.6179, 0.1432) in table.rows


def test_csv_keeps_full_precision_and_quotes_what_needs_it():
    value = 0.1 + 0.2
    table = tables.Table("t", "c", ("name", "x"), (('a,"b"', value), ("none", None)))
    read = list(csv.reader(io.StringIO(tables.csv_text(table))))
    assert read == [["name", "x"], ['a,"b"', repr(value)], ["none", ""]]
    assert float(read[1][1]) == value


def test_every_shown_result_is_a_row():
    points = np.zeros((1, 3), np.uint8)
    results = [Neighbour(points, "cat", 0, True), Neighbour(points, "dog", 3, False)]
    table = tables.retrieval_table([Retrieval(points, "cat", results), Retrieval(points, "x", [])])
    assert table.rows == ((1, "cat", 1, "cat", 0, True), (1, "cat", 2, "dog", 3, False))


def test_different_data_are_told_and_equal_data_as_well():
    note = tables.size_note(RESULTS)
    for fact in ("do not compare", "3,105,000", "29,662", "8,477", "345 classes", "0.003", "0.018"):
        assert fact in note
    same = RESULTS | {"classes": 345, "train": 3_105_000, "gallery": 345_000, "queries": 34_500}
    assert "side by side" in tables.size_note(same)
    assert "do not compare" in tables.size_note(same | {"train": 3_000_000})


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.integers(1, 250))
def test_no_ranking_beats_the_bound_of_precision_at_k(sizes, k):
    # The best ranking of each class's query: all its n gallery sketches first.
    best = np.mean([min(n, k) / k for n in sizes])
    bound = tables.precision_bound({"gallery": sum(sizes), "classes": len(sizes)}, k)
    if bound is None:
        assert sum(sizes) / len(sizes) >= k
    else:
        assert best <= bound + 1e-12
        assert bound < 1


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
def test_shown(value, text):
    assert tables.shown(value) == text


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
