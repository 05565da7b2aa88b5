"""What a config says about the paper: checked against the config's own fields and the paper."""

import pytest

from sketchjax.config import STAGES, default, flat
from sketchjax.paper import numbers as paper
from sketchjax.report.choices import OPEN_QUESTIONS, PAPER_ROWS, config_stages, leaves, open_choices


@pytest.mark.parametrize("name", [name for _, names in OPEN_QUESTIONS for name in names])
def test_every_open_question_names_fields_that_exist(name):
    fields = flat(default())
    asked = [field for field in fields if field == name or field.startswith(f"{name}.")]
    assert asked
    found = {choice.field: choice.value for choice in open_choices(default().to_dict())}
    assert {field: found[field] for field in asked} == {field: fields[field] for field in asked}


def test_no_field_answers_two_questions():
    found = [choice.field for choice in open_choices(default().to_dict())]
    assert len(set(found)) == len(found)


def test_leaves_of_a_config_with_rows_of_data():
    config = {
        "stages": [{"name": "cnn"}, {"name": "rnn", "epochs": 2}],
        "sizes": [1, 2],
        "no": None,
    }
    assert list(leaves(config)) == [
        ("stages.0.name", "cnn"),
        ("stages.1.name", "rnn"),
        ("stages.1.epochs", 2),
        ("sizes", [1, 2]),
    ]


def test_the_values_are_this_run_s():
    config = default()
    config.model.cnn.batch_norm = False
    config.data.points = 77
    values = {choice.field: choice.value for choice in open_choices(config.to_dict())}
    assert values["model.cnn.batch_norm"] is False
    assert values["data.points"] == 77


def test_fields_of_other_configs_are_left_out():
    assert open_choices({}) == []
    assert [c.field for c in open_choices({"seed": 3, "model": "none"})] == ["seed"]


def test_stages_come_in_training_order_with_objective_and_row():
    stages = config_stages(default().to_dict())
    assert [stage.name for stage in stages] == list(STAGES)
    assert [stage.objective for stage in stages] == [
        "CEL",
        "CEL",
        "CEL",
        "CEL + 0.01 SCL",
        "CEL + 0.01 SCL + 0.0001 QL",
    ]
    assert [stage.paper_row for stage in stages] == [
        None,
        None,
        "Our+CEL",
        "Our+CEL+SCL",
        "Our+CEL+SCL+QL (Full)",
    ]
    assert [stage.epochs for stage in stages] == [20, 20, 5, 5, 5]


def test_a_stage_left_out_is_no_row_and_an_unknown_objective_no_row_of_the_paper():
    config = default()
    config.stages.rnn.epochs = 0
    config.stages.full.losses.center = 0.0
    stages = {stage.name: stage for stage in config_stages(config.to_dict())}
    assert "rnn" not in stages
    assert stages["full"].objective == "CEL + 0.0001 QL"
    assert stages["full"].paper_row is None
    assert config_stages({}) == []


@pytest.mark.parametrize("row", PAPER_ROWS.values())
def test_rows_exist_in_the_paper_s_table_1(row):
    assert paper.rows("1", model=row)
