"""A small study as a user runs it: real runs, real shallow codes, page and Markdown."""

import json

import numpy as np
import pytest
from plain_runs import keep_as_drawn
from tiny_run import tiny_study_config

from sketchjax import cli
from sketchjax.config import encoder, set_encoders
from sketchjax.data.folder.manifest import Manifest
from sketchjax.models.weights import load_weights
from sketchjax.ops.hamming import pack_codes
from sketchjax.paper.shallow.hog import hog_of_split
from sketchjax.paper.study import collect, measure
from sketchjax.paper.study.run import run_study
from sketchjax.paper.study.state import Study
from sketchjax.retrieval import metrics
from sketchjax.run.writers import read_results

pytestmark = pytest.mark.usefixtures("short_runs", "plain_encoders")


@pytest.fixture(scope="module")
def done(tmp_path_factory, short_runs, plain_encoders):
    """The workdir of a study of one method of table 1, and of table 2 with two methods."""
    study = tiny_study_config()
    study.tables, study.rows = ("1", "2"), ("dlbhc", "deep")
    base = study.base
    base.stages.center.epochs = base.stages.full.epochs = 0
    keep_as_drawn(base)
    set_encoders(base, cnn=encoder("plain_picture"), rnn=encoder("plain"))
    workdir = tmp_path_factory.mktemp("study") / "w"
    patch = pytest.MonkeyPatch()
    chosen = {name: measure.HASHERS[name] for name in ("lsh", "sdh")}
    patch.setattr(measure, "HASHERS", chosen)
    finished = run_study(study, workdir)
    patch.undo()
    assert finished.failures == {}
    return workdir


def test_runs_share_the_branch_that_was_trained_once(done):
    assert sorted(path.parent.name for path in done.glob("runs/*/results.json")) == [
        "cnn",
        "deep",
        "dlbhc-16",
        "rnn",
    ]
    branch, card = load_weights(done / "runs/cnn/weights/cnn.safetensors")
    assert (card.stage, card.trained) == ("cnn", ("cnn", "cnn_classifier"))
    began = read_results(done / "runs/dlbhc-16")
    assert began is not None
    assert began["config"]["train"]["pretrained"].endswith("runs/cnn/weights/cnn.safetensors")
    # The branch's own classifier is taken over and not trained further, bit for bit.
    after, _ = load_weights(done / "runs/dlbhc-16/weights/joint.safetensors")
    for name, value in branch["params"]["cnn_classifier"].items():
        np.testing.assert_array_equal(after["params"]["cnn_classifier"][name], value)


def test_the_features_of_table_2_are_complete(done):
    for kind, width in (("hog", 3 * 3 * 4 * 9), ("deep", 256)):
        for split, count in (("train", None), ("gallery", 25), ("query", 13)):
            labels = np.load(done / "features" / kind / f"{split}_labels.npy")
            size = (done / "features" / kind / f"{split}.f32").stat().st_size
            assert size == 4 * width * len(labels)
            assert count in (None, len(labels))
    deep = np.fromfile(done / "features/deep/train.f32", np.float32).reshape(-1, 256)
    assert deep.min() >= 0  # a rectified layer
    assert deep.std() > 0


def test_validation_sketches_can_be_the_queries(done, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "HASHERS", {"lsh": measure.HASHERS["lsh"]})
    config = tiny_study_config()
    config.base.evaluation.rankings = ("validation:gallery",)
    config.tables, config.rows = ("2",), ("dlbhc",)
    manifest = Manifest.load(done / "data")
    study = Study(config, tmp_path, done / "data", manifest, [])
    measure.shallow(study, "HOG", 0).take()
    (found,) = json.loads((tmp_path / "measured/shallow-hog.json").read_text())["found"]
    features, labels = {}, {}
    for split in ("train", "gallery", "validation"):
        blocks = hog_of_split(done / "data", split, points=config.base.data.points, size=32)
        features[split], labels[split] = map(np.concatenate, zip(*blocks, strict=True))
    method = measure.HASHERS["lsh"](16, 0).fit(features["train"], labels["train"])
    codes = {split: pack_codes(method.encode(features[split])) for split in features}
    scores = metrics.evaluate(
        codes["validation"], labels["validation"], codes["gallery"], labels["gallery"], bits=16
    )
    assert found["map"] == scores.map
    asking = manifest.counts["validation"]
    assert asking not in (0, manifest.counts["query"])
    assert collect.facts(study)["queries"] == f"{asking} of validation"


def test_page_and_markdown_have_the_figures_of_the_runs(done, tmp_path, capsys, monkeypatch):
    results = read_results(done / "runs/dlbhc-16")
    assert results is not None
    shallow = json.loads((done / "measured/shallow-deep.json").read_text())["found"]
    wanted = [results["map"], results["precision_at_200"]]
    wanted += [entry["map"] for entry in shallow]
    page = (done / "report/index.html").read_text()
    target = tmp_path / "results.md"
    monkeypatch.setattr("sys.argv", ["sketchjax", "study", str(done), "--markdown", str(target)])
    monkeypatch.setenv("COLUMNS", "160")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)
    printed = capsys.readouterr().out
    assert "dlbhc-16" in printed
    assert "done" in printed
    assert f"{results['map']:.4f} / 0.5453" in printed  # DLBHC at 16 bits in the paper's table 1
    for value in wanted:
        assert f"{value:.4f}" in page
        assert f"{value:.4f}" in target.read_text()
    for picture in (tmp_path / "images").glob("*.png"):
        assert f"images/{picture.name}" in target.read_text()


def test_the_command_needs_a_study(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sketchjax", "study", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 65
    assert "run the study first" in capsys.readouterr().err
