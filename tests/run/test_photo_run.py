"""A whole run of sketches and photos: scores, codes, report, model, and a stop in between."""

import shutil
import sys
from contextlib import nullcontext

import msgspec
import numpy as np
import pytest
from paired_folder import CATEGORIES, paired_folder
from PIL import Image
from plain_runs import keep_as_drawn
from tiny_run import CONFIG, lines_of, same_figures, same_weights

from sketchjax.config import encoder, set_encoders, set_photo_encoders, stage
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.pictures import PictureShards
from sketchjax.errors import CheckpointError, ConfigError, DataError, Stopped
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.model import load
from sketchjax.run.elsewhere import default_rankings, evaluate_model
from sketchjax.run.experiment import run
from sketchjax.run.rebuild import rebuild

sys.path.insert(0, str(CONFIG.parent))
from tiny_pairs import EVERYTHING, SIDES, get_config

pytestmark = pytest.mark.usefixtures("short_runs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return paired_folder(tmp_path_factory.mktemp("pairs"))


def joint_only(folder):
    """One stage that trains both sides."""
    config = get_config(str(folder))
    config.plan, config.train.checkpoint_seconds = ("joint",), 300.0
    return config


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """The workdir of a run that was never stopped, and its results."""
    workdir = tmp_path_factory.mktemp("run") / "whole"
    return workdir, run(joint_only(folder), workdir)


@pytest.fixture(scope="module")
def codes(finished):
    return [Codes.load(finished[0] / "codes" / part) for part in ("query", "photo/gallery")]


def test_results_count_sketches_and_photos(finished):
    _, results = finished
    assert (results["train"], results["train_photos"]) == (84, 42)
    assert (results["queries"], results["gallery"]) == (24, 12)
    (ranking,) = results["rankings"]
    assert (ranking["queries"], ranking["gallery"]) == ("query", "photo/gallery")
    found = [row["distance"] for row in results["photo_rankings"]]
    assert found == ["hamming", "snr", "euclidean", "cosine"]
    assert results["after_stages"]["joint"].keys() >= {
        *("validation_accuracy", "photo_validation_accuracy"),
        *("recall_at_1_by_hamming", "recall_at_10_by_cosine"),
    }


def test_the_photo_of_a_sketch_is_ranked_as_a_double_loop_ranks_it(finished, codes):
    """Recall@5 in expectation over the orders inside ties, and by category MAP's relevance."""
    _, results = finished
    queries, gallery = codes
    assert queries.instances.min() >= 0
    expected, worst = [], []
    for code, instance in zip(queries.unpacked(), queries.instances, strict=True):
        distances = (gallery.unpacked() != code).sum(1)
        own = distances[gallery.instances == instance][0]
        nearer, tied = (distances < own).sum(), (distances == own).sum()
        expected.append(np.clip((5 - nearer) / tied, 0, 1))
        worst.append(nearer + tied <= 5)
    scores = results["photo_rankings"][0]["instance"]
    assert scores["recall_at_5"] == pytest.approx(np.mean(expected))
    assert scores["recall_at_5_worst"] == pytest.approx(np.mean(worst))
    assert (scores["queries"], scores["gallery"]) == (24, 12)


def test_codes_say_which_side_and_photo_they_are_of(codes):
    queries, gallery = codes
    assert (queries.side, gallery.side) == ("sketch", "photo")
    assert (queries.split, gallery.split) == ("query", "photo/gallery")
    assert {*queries.instances.tolist()} == {*gallery.instances.tolist()}


def test_the_report_shows_sketches_next_to_their_photos(finished):
    workdir, _ = finished
    page = (workdir / "report" / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 12
    assert page.count("data:image/png;base64,") >= 2
    assert "R@1 in category" in page
    assert "gallery photos" in page
    assert "its photo at place" in page
    again = rebuild(workdir).read_text()
    assert again.count("data:image/") == page.count("data:image/")
    assert "R@1 in category" in again


def test_a_stopped_run_resumes_to_the_same_bits(finished, folder, tmp_path):
    whole, wanted = finished
    asked = iter([False, True])
    with pytest.raises(Stopped, match="stopped in stage joint after 4 of"):
        run(joint_only(folder), tmp_path / "run", lambda: next(asked, False))
    results = run(joint_only(folder), tmp_path / "run")
    same_figures(results, wanted)
    same_weights(tmp_path / "run", whole, "joint")
    steps = [line["step"] for line in lines_of(tmp_path / "run") if "loss" in line]
    assert steps == sorted(set(steps))


def test_a_model_encodes_photos_and_sketches_anywhere(finished, folder, codes, tmp_path):
    model, (queries, gallery) = load(finished[0]), codes
    photos = PictureShards(folder, "photo", "gallery").read(np.arange(12), 24).pixels
    sketches = PictureShards(folder, "raster", "query").read(np.arange(24), 24).pixels
    found = model.encode_photos(photos)
    np.testing.assert_array_equal(found.packed, gallery.packed)
    np.testing.assert_array_equal(model.encode(sketches).packed, queries.packed)
    Image.fromarray(photos[3]).save(tmp_path / "one.png")
    (one,) = model.encode_photos(tmp_path / "one.png").packed
    np.testing.assert_array_equal(one, gallery.packed[3])
    assert model.photo_features(photos).shape == (12, 16)
    np.testing.assert_allclose(model.predict_photos(photos).sum(1), 1, rtol=1e-5)
    distances, _ = found.nearest(model.encode(sketches), 1)
    assert distances.shape == (24, 1)
    for wrong in (tmp_path / "none.png", b"nothing", np.zeros((4, 4, 2), np.uint8), 7):
        with pytest.raises(DataError):
            model.encode_photos(wrong)


def test_a_model_is_scored_on_a_folder_with_pictures(finished, folder, tmp_path):
    workdir, results = finished
    model = load(workdir)
    pairs = default_rankings(model)
    assert pairs == [("query", "photo/gallery")]
    found = evaluate_model(
        model,
        folder,
        tmp_path / "out",
        pairs=pairs,
        task=lambda name, total: nullcontext(lambda count: None),
        note=lambda line: None,
    )
    assert found["map"] == results["map"]
    assert found["photo_rankings"] == results["photo_rankings"]
    with pytest.raises(DataError, match="has nothing in photo/query"):
        evaluate_model(
            model, folder, tmp_path / "other", pairs=[("photo/query", "photo/gallery")],
            task=lambda name, total: nullcontext(lambda count: None), note=print,
        )  # fmt: skip


def test_a_folder_without_photos_is_refused_before_any_work(folder, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(folder, copy)
    manifest = Manifest.load(copy)
    pictures = {"raster": manifest.pictures["raster"]}
    msgspec.structs.replace(manifest, pictures=pictures).save(copy)
    with pytest.raises(DataError, match="no train photos; name some"):
        run(joint_only(copy), tmp_path / "run")


def taught(folder, teacher, **losses):
    """A run whose student has other encoders than its teacher, and for photos half the features."""
    config = joint_only(folder)
    config.train.teacher = str(teacher)
    set_encoders(config, lines=encoder("plain_picture", features=16, dropout=0.0))
    set_photo_encoders(config, colours=encoder("plain_picture", features=8, dropout=0.0))
    keep_as_drawn(config)
    _, config.stages.joint = stage(
        "joint",
        trains=EVERYTHING,
        inputs=SIDES,
        losses=losses or {"distillation": 1.0},
        epochs=8,
        learning_rate=1e-2,
    )
    return config


def test_a_student_comes_near_its_teacher(finished, folder, tmp_path):
    config = taught(folder, finished[0])
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        run(config, tmp_path / "run", lambda: next(asked, False))
    other = tmp_path / "other.safetensors"
    changed = load(finished[0])
    changed.variables["params"]["classifier"]["bias"] += 1
    changed.save(other)
    config.train.teacher = str(other)
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(CheckpointError, match="not the model that this run began with"):
        run(config, tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    run(taught(folder, finished[0]), tmp_path / "run")
    losses = [line["distillation"] for line in lines_of(tmp_path / "run") if "loss" in line]
    assert losses[0] == pytest.approx(2, abs=1)  # two variables of variance 1, unrelated
    assert losses[-1] < 0.6 * losses[0]


def test_zero_shot_ranks_sketches_and_photos_of_unseen_categories(tmp_path):
    """Two categories of four are kept out of training, on both sides, and only they are ranked."""
    unseen = ["roof", "stairs"]
    config = joint_only(paired_folder(tmp_path, categories=(*CATEGORIES, "stairs")))
    config.data.unseen = tuple(unseen)
    keep_as_drawn(config)
    set_encoders(config, lines=encoder("plain_picture", features=16))
    set_photo_encoders(config, colours=encoder("plain_picture", features=16))
    results = run(config, tmp_path / "run")
    assert results["unseen"] == unseen
    assert (results["train"], results["train_photos"]) == (56, 28)
    for part, count in (("query", 16), ("photo/gallery", 8)):
        codes = Codes.load(tmp_path / "run" / "codes" / part)
        assert sorted(codes.categories[label] for label in codes.labels) == sorted(
            [*unseen] * (count // 2)
        )
    assert (results["queries"], results["gallery"]) == (16, 8)
    # A photo of the category is one in two, and the sketch's own one in eight.
    hamming = results["photo_rankings"][0]
    assert 0.5 < results["map"] < 1
    assert hamming["instance"]["recall_at_10"] == 1
    assert hamming["instance"]["recall_at_1"] < 1


def test_a_teacher_that_cannot_teach_is_refused(finished, folder, tmp_path):
    workdir, _ = finished
    narrow = taught(folder, workdir)
    narrow.model.bits = 8
    with pytest.raises(ConfigError, match=r"embeddings of 16 features, and model[.]bits=8"):
        run(narrow, tmp_path / "run")
    small = taught(folder, workdir)
    small.photos.size = 22
    with pytest.raises(ConfigError, match="reads photos of 24 pixels, and this network of 22"):
        run(small, tmp_path / "run")
    cut = taught(folder, workdir)
    cut.drawing.fit = "ink"
    with pytest.raises(ConfigError, match=r"with drawing[.]fit=canvas, and this network with ink"):
        run(cut, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"train[.]teacher: .* model[.]safetensors"):
        run(taught(folder, tmp_path), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"needs a teacher; give train[.]teacher"):
        run(taught(folder, ""), tmp_path / "run")
    with pytest.raises(ConfigError, match="no stage has a loss that imitates it"):
        run(taught(folder, workdir, cross_entropy=1.0), tmp_path / "run")
