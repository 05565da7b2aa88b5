"""The rows of a config: how stages and encoders are written and read."""

import pytest
from config_fields import problems_of

from sketchjax.config import (
    default,
    encoder,
    set_encoders,
    set_stages,
    stage,
    stage_rows,
    validate,
)
from sketchjax.config.rows import encoder_rows, loss_terms, trained_parts
from sketchjax.models.table import ENCODERS


def test_set_stages_replaces_all_stages_in_order():
    config = default()
    set_stages(
        config,
        stage("b", trains=("encoders", "head"), losses={"cross_entropy": 1, "center": 0.0}),
        stage("a", trains=("cnn",), output="cnn", epochs=0.5, schedule="steps"),
        stage("c", trains=("head",), sampler={"classes": 16}, losses={"supervised_hashing": 0.1}),
    )
    assert config.plan == ("b", "a", "c")
    assert set(config.stages) == {"a", "b", "c"}
    assert config.evaluation.after_stages == ()
    validate(config)
    b, a, c = stage_rows(config)
    assert [row.name for row in (b, a, c)] == ["b", "a", "c"]
    assert [row.number for row in (b, a, c)] == [0, 1, 2]
    assert b.trains == ("encoders", "head")
    assert (b.output, a.output) == ("head", "cnn")
    assert b.losses == {"cross_entropy": {"weight": 1.0, "smoothing": 0.0}}
    assert c.losses["supervised_hashing"]["weight"] == 0.1
    assert c.losses["supervised_hashing"]["margin"] == 0.0
    assert (a.epochs, a.schedule, a.learning_rate, a.warmup_epochs) == (0.5, "steps", 1e-3, 0.5)
    assert (c.classes, c.each, a.classes) == (16, 0, 0)


def test_stages_that_do_not_run_keep_their_numbers():
    """A number seeds a stage's noise: leaving one out changes no other."""
    config = default()
    config.stages.rnn.epochs = 0
    assert [(row.name, row.number) for row in stage_rows(config)] == [
        ("cnn", 0), ("joint", 2), ("center", 3), ("full", 4)
    ]  # fmt: skip
    config.train.pretrained = "runs/other"
    assert [row.name for row in stage_rows(config)] == ["joint", "center", "full"]
    config.train.pretrained, config.model.branches = "", ("rnn",)
    assert [row.name for row in stage_rows(config)] == ["joint", "center", "full"]


def test_a_row_may_leave_fields_out():
    config = default()
    row = config.stages.joint
    for name in (
        "schedule",
        "warmup_epochs",
        "augmentation",
        "epochs",
        "learning_rate",
        "losses",
        "sampler",
    ):
        del row[name]
    del row.output
    validate(config)
    joint = next(row for row in stage_rows(config) if row.name == "joint")
    assert (joint.epochs, joint.schedule, joint.output) == (1.0, "cosine", "head")
    assert joint.losses == {"cross_entropy": {"weight": 1.0, "smoothing": 0.0}}
    assert (joint.classes, joint.each) == (0, 0)


def test_rows_are_independent():
    config = default()
    config.stages.cnn.losses.cross_entropy = 0.5
    assert config.stages.rnn.losses.cross_entropy == 1.0
    assert default().stages.cnn.losses.cross_entropy == 1.0
    losses = {"cross_entropy": 1.0}
    _, first = stage("a", trains=("head",), losses=losses)
    _, second = stage("b", trains=("head",), losses=losses)
    first.losses.cross_entropy = first.sampler.classes = 7
    assert second.losses.cross_entropy == losses["cross_entropy"] == 1
    assert second.sampler.classes == 0


def test_unknown_settings_are_left_to_the_check():
    config = default()
    set_encoders(config, net=encoder("moon", hidden=3), rnn=encoder("bigru", hiden=3))
    set_stages(config, stage("all", trains=("encoders", "head"), epoch=3))
    assert problems_of(config) == [
        "model.encoders.rnn.hiden=3 is no field; did you mean model.encoders.rnn.hidden?",
        "stages.all.epoch=3 is no field; did you mean stages.all.epochs?",
        f"model.encoders.net.kind='moon'; choose one of {', '.join(ENCODERS)}",
    ]


def test_encoders_come_in_the_order_of_the_branches():
    config = default()
    set_encoders(config, z=encoder("bigru", hidden=8), a=encoder("resnet50"))
    del config.model.encoders.z.layers
    rows = encoder_rows(config, config.model.branches)
    assert list(rows) == ["z", "a"]
    assert rows["z"] == {
        "kind": "bigru", "hidden": 8, "layers": 2, "dropout": 0.0, "implementation": "linen"
    }  # fmt: skip
    config.model.branches = ("a",)
    assert list(encoder_rows(config, config.model.branches)) == ["a"]


@pytest.mark.parametrize(
    "losses, terms",
    [
        ({"cross_entropy": 2}, {"cross_entropy": {"weight": 2.0, "smoothing": 0.0}}),
        ({"cross_entropy": 0, "center": 0.0}, {}),
        ({"common_center": {}}, {"common_center": {"weight": 1.0, "rate": 0.5}}),
        ({"common_center": {"rate": 1}}, {"common_center": {"weight": 1.0, "rate": 1.0}}),
        ({"common_center": {"weight": 0}}, {}),
    ],
    ids=str,
)
def test_terms_of_losses(losses, terms):
    found = loss_terms(losses)
    assert found == terms
    assert all(type(value) is float for own in found.values() for value in own.values())


def test_terms_are_sorted_by_name():
    """A sum of floats depends on its order."""
    names = ("quantization", "center", "cross_entropy")
    assert list(loss_terms(dict.fromkeys(names, 1.0))) == sorted(names)


def test_encoders_stand_for_all_of_them():
    assert trained_parts(("encoders", "head"), ("a", "b")) == ("a", "b", "head")
    assert trained_parts(("b", "encoders"), ("a", "b")) == ("b", "a")
    assert trained_parts(("head",), ("a", "b")) == ("head",)
