"""Tables: means and deviations against the statistics module, next to the paper's scores."""

import csv
import statistics
from dataclasses import replace

import pytest

from sketchjax.paper import numbers as paper
from sketchjax.paper.report.layout import LAYOUTS
from sketchjax.paper.report.material import StudyMaterial, StudyRow
from sketchjax.paper.report.scores import significant
from sketchjax.paper.report.tables import csv_table, grid
from sketchjax.report.tables import write_csv

SEEDS = (0.81, 0.83, 0.85)


def scores(made, block, label):
    lines = {line.label: line for one in made.blocks if one.heading == block for line in one.lines}
    names = [(column.metric, column.bits) for column in made.columns]
    return dict(zip(names, lines[label].scores, strict=True))


def test_ours_is_mean_and_sample_deviation(material):
    full = scores(grid(material, "1"), "", "full")
    score = full["map", 64]
    assert score.mean == pytest.approx(statistics.mean(SEEDS))
    assert score.std == pytest.approx(statistics.stdev(SEEDS))
    assert (score.seeds, score.paper) == (3, 0.6791)
    # The same row has no value at 16 bits yet; a single seed has no deviation.
    assert (full["map", 16].mean, full["map", 16].paper) == (None, 0.6064)
    assert full["precision_at_200", 64].std is None
    # A seed that is not a number is left out.
    assert scores(grid(material, "1"), "", "DLBHC")["map", 64].seeds == 1


@pytest.mark.parametrize("table", ["1", "2", "4", "6", "zero-shot"])
def test_an_empty_study_has_every_paper_score(table):
    made = grid(StudyMaterial("nothing yet"), table)
    got = [s.paper for block in made.blocks for line in block.lines for s in line.scores]
    printed = [
        row[metric]
        for row in paper.rows(table)
        for metric in LAYOUTS[table].metrics
        if metric in row
    ]
    assert sorted(value for value in got if value is not None) == sorted(printed)
    assert all(s.mean is None for block in made.blocks for line in block.lines for s in line.scores)


def test_lines_keep_order_and_ours_follow_neighbours(material):
    labels = [line.label for line in grid(material, "1").blocks[0].lines]
    assert labels == [
        "DLBHC", "DSH-Supervised", "DSH-Supervised, balanced batches", "DSH-Sketch",
        "Our+CEL", "Our+CEL+CL", "Our+CEL+SCL", "full",
    ]  # fmt: skip


def test_remarks_say_what_is_missing_and_why(material):
    remarks = {line.label: line.remark for line in grid(material, "1").blocks[0].lines}
    assert remarks["full"] == "to do at 16 bits"
    assert remarks["Our+CEL"] == "failed at 64 bits: disk <full> & gone"
    assert remarks["DSH-Supervised, balanced batches"] == "8 by 16"
    assert remarks["DSH-Sketch"] == "not in this study"
    assert remarks["DLBHC"] == ""


@pytest.mark.parametrize(("values", "best"), [
    ({"a": 0.5, "b": 0.6}, {"b"}),
    ({"a": 0.60001, "b": 0.60004, "c": 0.1}, {"a", "b"}),  # equal as shown
    ({"a": 0.5}, set()),
])  # fmt: skip
def test_the_best_of_a_column_is_marked(values, best):
    rows = [StudyRow("6", name, {"accuracy": [value]}) for name, value in values.items()]
    lines = grid(StudyMaterial("x", rows=rows), "6").blocks[0].lines
    assert {line.label for line in lines if line.scores[0].best} == best


def test_only_the_lowest_ratio_of_distances_is_best():
    rows = [
        StudyRow("4", n, {"d1": [d], "d2": [2 * d], "d1_over_d2": [d], "map": [d]}, 16)
        for n, d in (("low", 0.1), ("high", 0.2))
    ]
    made = grid(StudyMaterial("x", rows=rows), "4")
    marks = {
        (line.label, column.metric)
        for line in made.blocks[0].lines
        for column, score in zip(made.columns, line.scores, strict=True)
        if score.best
    }
    assert marks == {("low", "d1_over_d2"), ("high", "map")}
    assert [block.heading for block in made.blocks] == ["16 bits"]


def test_shallow_methods_have_two_blocks_hog_first(material):
    made = grid(material, "2")
    assert [block.heading for block in made.blocks] == ["HOG", "deep feature"]
    assert scores(made, "HOG", "SDH")["map", 16].paper == 0.0160
    assert scores(made, "deep feature", "SDH")["map", 16].paper == 0.5781


def test_paper_cost_needs_as_many_codes(material):
    made = grid(material, "5")
    assert scores(made, "", "search, 345,000 codes")["seconds_per_query", 64].paper == 0.286
    assert scores(made, "", "search, 10,000,000 codes")["seconds_per_query", 64].paper is None
    without = replace(material, rows=[row for row in material.rows if row.gallery != 345_000])
    labels = [line.label for line in grid(without, "5").blocks[0].lines]
    assert "the paper's search, 345,000 codes" in labels


def test_captions_have_both_sizes(material):
    for table in ("1", "2", "4", "6", "zero-shot"):
        caption = grid(material, table).caption
        assert "Ours: 55 classes, 29,662 training sketches, 8,477 in the gallery" in caption
        assert "paper: 345 classes, 3,105,000 training sketches" in caption
    assert "varies by up to 0.1000" in grid(material, "1").caption


def test_csv_has_full_precision_and_states(material, tmp_path):
    with write_csv(tmp_path, csv_table(material, "1")).open() as file:
        rows = {(row["model"], row["bits"]): row for row in csv.DictReader(file)}
    full = rows["full", "64"]
    assert float(full["map"]) == pytest.approx(statistics.mean(SEEDS), abs=1e-15)
    assert float(full["map_std"]) == pytest.approx(statistics.stdev(SEEDS), abs=1e-15)
    assert (full["map_seeds"], full["map_paper"], full["state"]) == ("3", "0.6791", "done")
    assert (full["map_worst"], full["map_best"]) == ("0.8", "0.9")
    assert (rows["full", "16"]["map"], rows["full", "16"]["state"]) == ("", "to do")
    assert rows["Our+CEL", "64"]["state"] == "failed"
    assert rows["Our+CEL", "64"]["note"] == "disk <full> & gone"
    assert rows["DSH-Sketch", "16"]["state"] == "not in this study"


def test_a_missing_or_failed_row_has_no_values():
    for row in (
        StudyRow("6", "a", {"accuracy": [0.5]}, missing=True),
        StudyRow("6", "a", {"accuracy": [0.5]}, failed="killed"),
    ):
        assert row.seed_values("accuracy") == []
        assert row.state != "done"


@pytest.mark.parametrize(("value", "text"), [
    (0.0412, "0.0412"), (0.00999, "0.00999"), (0.0009996, "0.00100"), (41.23, "41.2"),
    (1, "1.00"), (999.6, "1,000"), (1_234_567, "1,230,000"), (0, "0"), (286.0, "286"),
])  # fmt: skip
def test_three_digits_have_no_exponent(value, text):
    assert significant(value) == text


def test_an_unknown_table_is_rejected():
    with pytest.raises(ValueError, match="no table '3'"):
        grid(StudyMaterial("x"), "3")
