"""What a config says to a reader: answers to open questions, stages and their objectives."""

import pytest

from sketchjax.report.choices import config_stages, leaves, loss_weights, objective, open_choices

SYMBOLS = {"first": "F", "second": "S", "third": "T"}
CONFIG = {
    "seed": 3,
    "model": {"bits": 64, "encoders": {"a": {"width": 1.5, "norm": False}}},
    "stages": {
        "warm": {"epochs": 20, "output": "a", "losses": {"first": 1.0}},
        "skipped": {"epochs": 0, "losses": {"first": 1.0}},
        "long": {
            "epochs": 5,
            "output": "head",
            "losses": {
                "third": {"weight": 1e-4, "margin": 2.0},
                "second": 0.01,
                "off": 0.0,
                "first": 1,
            },
        },
    },
}


def test_a_section_answers_with_all_its_fields():
    questions = [("the encoder", "model.encoders"), ("chance", "seed"), ("size", "model.bits")]
    found = [(c.question, c.field, c.value) for c in open_choices(CONFIG, iter(questions))]
    assert found == [
        ("the encoder", "model.encoders.a.width", 1.5),
        ("the encoder", "model.encoders.a.norm", False),
        ("chance", "seed", 3),
        ("size", "model.bits", 64),
    ]


def test_questions_about_unknown_fields_are_skipped():
    questions = [("x", "seed"), ("y", "model.none"), ("z", "seed.more"), ("w", "none.at.all")]
    assert open_choices({}, questions) == []
    assert [c.field for c in open_choices({"seed": 3, "model": "none"}, questions)] == ["seed"]


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


def test_stages_that_ran_in_order_with_objectives():
    stages = config_stages(CONFIG, SYMBOLS, {"warm": {}, "long": {"map": 0.5}})
    assert [(stage.name, stage.objective, stage.epochs) for stage in stages] == [
        ("warm", "F", 20.0),
        ("long", "F + 0.01 S + 0.0001 T", 5.0),
    ]


def test_a_stage_that_did_not_run_has_no_row():
    assert [stage.name for stage in config_stages(CONFIG, {}, ["long"])] == ["long"]
    assert config_stages(CONFIG, {}, []) == []


def test_stages_with_epochs_where_no_results_say_what_ran():
    assert [stage.name for stage in config_stages(CONFIG, {})] == ["warm", "long"]
    assert config_stages({}, {}) == []


def test_a_stage_that_the_config_lacks_has_a_bare_row():
    (stage,) = config_stages({}, SYMBOLS, ["old"])
    assert (stage.name, stage.objective, stage.epochs) == ("old", "", None)


@pytest.mark.parametrize(
    "weights, text",
    [
        ({"first": 1}, "F"),
        ({"second": 0.01, "first": 1.0}, "F + 0.01 S"),
        ({"unknown": 2.0, "third": 1e-4}, "0.0001 T + 2 unknown"),
        ({}, ""),
    ],
)
def test_an_objective_in_symbols(weights, text):
    assert objective(weights, SYMBOLS) == text


def test_a_loss_without_a_symbol_has_its_name():
    assert objective({"first": 1.0}, {"first": ""}) == "first"


def test_weights_are_numbers_or_in_a_mapping():
    losses = {"a": 2, "b": {"weight": 0.5}, "c": {"margin": 0.3}, "d": 0.0, "e": {"weight": 0}}
    assert loss_weights({"losses": losses}) == {"a": 2.0, "b": 0.5, "c": 1.0}
    assert loss_weights({}) == {}
