"""The paper's figures for one run's report: as printed, and next to the right rows."""

from dataclasses import replace

import pytest

from sketchjax.paper import numbers as paper
from sketchjax.paper.reference import PAPER_ROWS, reference, size_note
from sketchjax.report import tables
from sketchjax.report.choices import config_stages
from sketchjax.report.material import Material, load_material, save_material

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
LOSSES = {"cross_entropy": 1.0, "center": 0.01, "quantization": 0.0001}
CONFIG = {
    "model": {"encoders": {"cnn": {}, "rnn": {}}},
    "stages": {
        "cnn": {"output": "cnn", "epochs": 20, "losses": {"cross_entropy": 1.0}},
        "joint": {"output": "head", "epochs": 5, "losses": {"cross_entropy": {"weight": 1.0}}},
        "full": {"output": "head", "epochs": 5, "losses": LOSSES},
        "mine": {"output": "head", "epochs": 5, "losses": {"cross_entropy": 1.0, "triplet": {}}},
    },
}


def by_model(table: tables.Table) -> dict:
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_the_paper_s_rows_at_the_same_bits_follow_this_run():
    table = tables.result_table(RESULTS, reference(CONFIG, RESULTS).results)
    models = by_model(table)
    # As printed in table 1 of the paper.
    assert list(models) == [
        "this run",
        "DLBHC",
        "DSH-Supervised",
        "DSH-Sketch",
        "Our+CEL",
        "Our+CEL+CL",
        "Our+CEL+SCL",
        "Our+CEL+SCL+QL (Full)",
    ]
    full = models["Our+CEL+SCL+QL (Full)"]
    assert (full["MAP"], full["P@200"], full["accuracy"]) == (0.6791, 0.6882, 0.8051)
    assert (full["classes"], full["training"], full["gallery"]) == (345, 3_105_000, 345_000)
    assert {row["bits"] for row in models.values()} == {64}
    assert "table 1 of the paper at 64 bits" in table.caption


def test_at_other_bits_the_full_model_is_shown_at_its_own():
    table = tables.result_table(
        RESULTS | {"bits": 48}, reference(CONFIG, RESULTS | {"bits": 48}).results
    )
    assert [row[1:4] for row in table.rows[1:]] == [
        (16, 0.6064, 0.5978),
        (24, 0.6388, 0.6324),
        (32, 0.6521, 0.6603),
        (64, 0.6791, 0.6882),
    ]
    assert "no figures at 48 bits" in table.caption


def test_recognition_is_next_to_table_6():
    results = RESULTS | {"bits": None, "map": None}
    table = tables.result_table(results, reference(CONFIG, results).results)
    models = by_model(table)
    assert models["ResNet 50"]["accuracy"] == 0.7864
    assert models["ResNet 50"]["training"] == 3_105_000
    assert len(models) == 1 + len(paper.rows("6"))
    assert "table 6" in table.caption


def test_distances_are_next_to_table_4():
    results = RESULTS | {"d1": 1.0, "d2": 8.0, "d1_over_d2": 0.125}
    table = tables.distance_table(results, reference(CONFIG, results).distances)
    assert table is not None
    assert table.rows[0] == ("this run", 1.0, 8.0, 0.125)
    assert ("Our+CEL+SCL+QL (Full)", 2.5231, 17.6179, 0.1432) in table.rows
    assert "only the ratios are comparable" in table.caption
    assert reference(CONFIG, results | {"bits": 48}).distances is None


def test_a_stage_is_next_to_the_row_with_its_objective():
    stages = reference(CONFIG, RESULTS | {"bits": 16}).stages
    assert list(stages) == ["joint", "full"], "a branch has no codes, and triplet no row"
    joint, full = stages.values()
    assert (joint.label, joint.map, joint.precision_at_200) == ("Our+CEL", 0.5969, 0.5817)
    assert full.label == "Our+CEL+SCL+QL (Full)"
    unknown = reference(CONFIG, RESULTS | {"bits": 40}).stages["joint"]
    assert (unknown.label, unknown.map) == ("Our+CEL", None)


def test_stages_of_older_configs_have_the_same_rows():
    losses = LOSSES | {"common_center": 0.0}
    old = {"stages": {"cnn": {"losses": {"cross_entropy": 1.0}}, "full": {"losses": losses}}}
    assert list(reference(old, RESULTS).stages) == ["full"]


def test_the_stage_table_has_the_paper_s_columns():
    stages = [
        replace(row, map=0.5) for row in config_stages(CONFIG, {"cross_entropy": "CEL"}, ["joint"])
    ]
    table = tables.stage_table(stages, 64, ("query", "gallery"), reference(CONFIG, RESULTS))
    assert table.columns[-4:] == (
        "MAP in the paper",
        "P@200",
        "P@200 in the paper",
        "row of the paper",
    )
    assert table.rows == (("joint", "CEL", None, 0.5, 0.6525, None, 0.673, "Our+CEL"),)


def test_the_size_note_says_whether_figures_are_comparable():
    note = size_note(RESULTS)
    for fact in (
        "not directly comparable",
        "3,105,000",
        "29,662",
        "8,477",
        "345 classes",
        "0.003",
        "0.018",
    ):
        assert fact in note
    same = RESULTS | {"classes": 345, "train": 3_105_000, "gallery": 345_000, "queries": 34_500}
    assert "compare directly" in size_note(same)
    assert "not directly comparable" in size_note(same | {"train": 3_000_000})
    assert "MAP" not in size_note(RESULTS | {"bits": None})


def test_a_reference_survives_material_json(tmp_path):
    for bits in (64, 48, None):
        material = Material(reference=reference(CONFIG, RESULTS | {"bits": bits}))
        save_material(tmp_path / "material.json", material)
        read = load_material(tmp_path / "material.json")
        assert read.reference == material.reference


@pytest.mark.parametrize("row", PAPER_ROWS.values())
def test_rows_exist_in_the_paper_s_table_1(row):
    assert paper.rows("1", model=row)
