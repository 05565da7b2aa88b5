"""The default config, the project's config files, and what other rooms read from a config."""

import importlib.util
from pathlib import Path

import pytest

from sketchjax.config import (
    architecture,
    default,
    encoder,
    flat,
    is_fixed,
    is_resumable,
    questions,
    rankings,
    real_data,
    set_encoders,
    set_stages,
    stage,
    stage_rows,
    validate,
)
from sketchjax.errors import DataError
from sketchjax.models.network import build
from sketchjax.train.data import prepare_data

CONFIGS = Path(__file__).parents[2] / "configs"
ARGUMENTS = {
    "quickstart": [()],
    "quickdraw55": [(), ("16",), ("64",)],
    "sketchmate": [(), ("64",), ("64,paper",)],
    "metric": [("embedding",), ("hash",)],
    "photos": [("embedding",), ("hash",)],
    "photo_quickstart": [(), ("24",)],
    "sketch_photo": [(), ("shoes",)],
}


@pytest.mark.parametrize(
    "file, arguments",
    [
        pytest.param(file, arguments, id=":".join((file.name, *arguments)))
        for file in sorted(CONFIGS.glob("*.py"))
        for arguments in ARGUMENTS.get(file.stem, [()])
    ],
)
def test_every_config_of_the_project_can_run(file, arguments, monkeypatch):
    monkeypatch.delenv("SKETCHJAX_DATA", raising=False)
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for devices in (1, 2, 4):
        validate(module.get_config(*arguments), devices=devices)
    monkeypatch.setenv("SKETCHJAX_DATA", "drawings")
    validate(module.get_config(*arguments))
    built = architecture(module.get_config(*arguments), ["cat", "clock", "sun"], 20.0)
    shapes = build(built, axis_name="devices").shapes()
    if file.stem in ("quickdraw55", "sketchmate") and arguments:
        bits = int(arguments[0].split(",")[0])
        own = shapes["params"][built.head]
        assert own["kernel" if built.head == "hash" else "codebook"].shape[1] == bits


def test_real_data_is_in_the_folder_of_the_variable(tmp_path, monkeypatch):
    config = default()
    for folder, named in ((None, True), ("", True), ("/drawings", False)):
        if folder is None:
            monkeypatch.delenv("SKETCHJAX_DATA", raising=False)
        else:
            monkeypatch.setenv("SKETCHJAX_DATA", folder)
        assert real_data("splits", "a.csv") == ("/drawings/splits/a.csv" if folder else "")
        with pytest.raises(DataError, match="is not a data folder") as raised:
            prepare_data(config, tmp_path)
        assert ("SKETCHJAX_DATA" in str(raised.value)) == named


def test_the_default_can_run():
    validate(default())


def test_the_default_is_algorithm_1():
    """SketchMate, Algorithm 1: each branch by itself, then three stages of the whole network."""
    rows = stage_rows(default())
    weights = [{name: own["weight"] for name, own in row.losses.items()} for row in rows]
    plain = {"cross_entropy": 1.0}
    assert weights == [
        plain, plain, plain, plain | {"center": 0.01},
        plain | {"center": 0.01, "quantization": 0.0001},
    ]  # fmt: skip
    assert [(row.name, row.trains, row.output) for row in rows] == [
        ("cnn", ("cnn",), "cnn"),
        ("rnn", ("rnn",), "rnn"),
        ("joint", ("encoders", "head"), "head"),
        ("center", ("encoders", "head"), "head"),
        ("full", ("encoders", "head"), "head"),
    ]
    assert default().model.branches == ("cnn", "rnn")
    assert default().model.encoders.cnn.kind == "alexnet"
    assert default().model.encoders.rnn.kind == "bigru"


def test_fields_that_a_resume_may_change():
    fields = [path for path in flat(default()) if is_resumable(path)]
    assert sorted(fields) == [
        "data.feed", "evaluation.queries_shown", "evaluation.retrieved", "name", "profile.steps",
        "train.checkpoint_seconds", "train.cpu_devices", "train.keep_checkpoints",
        "train.max_skipped", "train.workers",
    ]  # fmt: skip
    for path in ("stages.mine.epochs", "model.encoders.cnn.width", "moons", "stages", ""):
        assert not is_resumable(path)


def test_fields_that_every_config_has():
    for path in ("plan", "seed", "model.bits", "evaluation.rankings", "train.pretrained"):
        assert is_fixed(path)
    for path in (
        *("stages.full.epochs", "stages.*.epochs", "data.splits", "data.splits.train"),
        *("model.encoders.cnn.kind", "moons"),
    ):
        assert not is_fixed(path)
    rows = ("stages.", "model.encoders.", "data.splits.")
    assert all(is_fixed(path) for path in flat(default()) if not path.startswith(rows))


def test_rankings_in_both_forms():
    config = default()
    assert rankings(config) == [("query", "gallery")]
    config.evaluation.rankings = (
        "validation:gallery",
        {"queries": "sketch/query", "gallery": "train"},
        "sketch/query:sketch/gallery",
    )
    validate(config)
    assert rankings(config) == [
        ("validation", "gallery"), ("query", "train"), ("query", "gallery")
    ]  # fmt: skip


@pytest.mark.parametrize("head, width", [("hash", 64), ("embedding", 64), ("features", 2048)])
def test_the_architecture_is_that_of_the_config(head, width):
    config = default()
    config.model.head = head
    config.model.fusion_features = 16
    config.data.points = 50
    found = architecture(config, ["cat", "sun"], 20.0)
    assert (found.head, found.width, found.classes) == (head, width, 2)
    assert (found.points, found.fusion_features, found.dtype) == (50, 16, "float32")
    assert (found.drawing.size, found.drawing.offset_scale) == (224, 20.0)
    assert list(found.encoders) == ["cnn", "rnn"]
    assert found.encoders["cnn"]["kind"] == "alexnet"


def test_questions_name_fields_of_the_config():
    """Each field once, grouped by question, whatever the rows are called."""
    config = default()
    set_encoders(config, strokes=encoder("bigru"), picture=encoder("resnet50"))
    set_stages(
        config,
        stage("first", trains=("strokes",), output="strokes"),
        stage("second", trains=("encoders", "head")),
    )
    found = list(questions(config))
    paths = [path for _, path in found]
    assert len(set(paths)) == len(paths)
    assert set(paths) <= set(flat(config))
    asked = [question for question, _ in found]
    assert [question for i, question in enumerate(asked) if asked[i - 1] != question] == list(
        dict.fromkeys(asked)
    )
    assert ("architecture of each encoder", "model.encoders.strokes.kind") in found
    assert ("dropout", "model.encoders.picture.dropout") in found
    epochs = [path for question, path in found if "which epochs" in question]
    assert epochs == ["stages.first.epochs", "stages.second.epochs"]
    assert not any("full" in path or "cnn" in path for path in paths)


def test_questions_come_in_the_order_of_the_plan():
    epochs = [path for question, path in questions(default()) if "which epochs" in question]
    assert epochs == [f"stages.{name}.epochs" for name in ("cnn", "rnn", "joint", "center", "full")]
