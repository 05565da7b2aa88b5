"""Posterior codes of a run of sketches and photos: what they are, and how they rank."""

import sys
from contextlib import nullcontext

import numpy as np
import orjson
import pytest
from paired_folder import paired_folder
from plain_runs import keep_as_drawn
from tiny_run import CONFIG

from sketchjax.config import encoder, set_encoders, set_photo_encoders, validate
from sketchjax.data.folder.pictures import PictureShards
from sketchjax.errors import CheckpointError, ConfigError, DataError
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.model import load
from sketchjax.run.compare import compare
from sketchjax.run.experiment import run
from sketchjax.run.posterior.source import Settings
from sketchjax.run.recode import recode

sys.path.insert(0, str(CONFIG.parent))
from tiny_pairs import get_config

pytestmark = pytest.mark.usefixtures("short_runs")


def task(name, total):
    return nullcontext(lambda count: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return paired_folder(tmp_path_factory.mktemp("pairs"))


def small(folder, **fields):
    """One stage that trains both sides, of plain encoders."""
    config = get_config(str(folder))
    set_encoders(config, lines=encoder("plain_picture", features=16))
    set_photo_encoders(config, colours=encoder("plain_picture", features=16))
    keep_as_drawn(config)
    config.plan = ("joint",)
    config.update_from_flattened_dict(fields)
    return config


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """The workdir of a run that made posterior codes of 24 bits, and its results."""
    workdir = tmp_path_factory.mktemp("run") / "whole"
    return workdir, run(small(folder, **{"evaluation.posterior_bits": (24,)}), workdir)


def pictures(folder) -> tuple[np.ndarray, np.ndarray]:
    """The query sketches and the gallery photos, as the encoders read them."""
    return (
        PictureShards(folder, "raster", "query").read(np.arange(24), 24).pixels,
        PictureShards(folder, "photo", "gallery").read(np.arange(12), 24).pixels,
    )


def test_both_sides_have_the_mean_codeword_of_their_classifier(finished, folder):
    workdir, _ = finished
    own, recoded = load(workdir), load(workdir / "recode" / "24")
    sketches, photos = pictures(folder)
    params = recoded.variables["params"]
    head = {name: np.asarray(each, np.float64) for name, each in params["posterior"].items()}
    kernel, bias = (
        np.asarray(params["classifier"][name], np.float64) for name in ("kernel", "bias")
    )
    for embedded, found in (
        (own.features(sketches), recoded.features(sketches)),
        (own.photo_features(photos), recoded.photo_features(photos)),
    ):
        likely = np.exp((embedded @ kernel + bias) / head["temperature"])
        wanted = likely / likely.sum(1, keepdims=True) @ head["codebook"] - head["thresholds"]
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    np.testing.assert_allclose(own.predict(sketches), recoded.predict(sketches), atol=1e-5)


def test_the_codes_are_kept_and_scored(finished, folder):
    workdir, results = finished
    out = workdir / "recode" / "24"
    queries, gallery = (Codes.load(out / "codes" / part) for part in ("query", "photo/gallery"))
    model, (sketches, photos) = load(out), pictures(folder)
    np.testing.assert_array_equal(model.encode(sketches).packed, queries.packed)
    np.testing.assert_array_equal(model.encode_photos(photos).packed, gallery.packed)
    found = orjson.loads((out / "results.json").read_bytes())
    (row,), (summary,) = found["photo_rankings"], results["posterior_codes"]
    assert row["distance"] == "hamming"
    assert row["category"]["map"] == pytest.approx(found["map"]) == summary["map"]
    assert found["own"]["map"] == pytest.approx(results["map"])
    expected = []
    for code, instance in zip(queries.unpacked(), queries.instances, strict=True):
        distances = (gallery.unpacked() != code).sum(1)
        own = distances[gallery.instances == instance][0]
        nearer, tied = (distances < own).sum(), (distances == own).sum()
        expected.append(np.clip((5 - nearer) / tied, 0, 1))
    assert row["instance"]["recall_at_5"] == pytest.approx(np.mean(expected))


def test_the_command_makes_the_codes_of_the_run(finished, tmp_path):
    workdir, results = finished
    notes = []
    _, (found,) = recode(workdir, [24], out=tmp_path / "out", task=task, note=notes.append)
    assert found["map"] == results["posterior_codes"][0]["map"]
    assert any("without augmented copies" in line for line in notes)


def test_what_cannot_have_such_codes_is_refused(finished, folder, tmp_path):
    workdir, _ = finished
    with pytest.raises(CheckpointError, match="its head is posterior; give a run with"):
        recode(workdir / "recode" / "24", [16], task=task, note=print)
    with pytest.raises(ConfigError, match="reads photos or raster sketches; give runs of strokes"):
        compare([workdir], tmp_path / "compared", [16], task=task, note=print)
    validate(small(folder, **{"evaluation.posterior_bits": (16,)}))
    untrained = small(folder)
    untrained.stages.joint.losses = {"triplet": {"distance": "euclidean", "compare": "across"}}
    run(untrained, tmp_path / "run")
    with pytest.raises(CheckpointError, match="has no trained classifier"):
        recode(tmp_path / "run", [16], settings=Settings(steps=0), task=task, note=print)
    other = paired_folder(tmp_path / "other")
    for path in other.glob("photo-validation*"):
        path.unlink()
    with pytest.raises(DataError, match="photo-validation"):
        recode(workdir, [16], data=other, out=tmp_path / "out", task=task, note=print)
