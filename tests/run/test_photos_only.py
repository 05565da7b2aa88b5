"""A whole run of configs/photos.py, made smaller: there are no sketches, and no classifier."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from paired_folder import paired_folder
from tiny_run import lines_of

from sketchjax.config import encoder, set_photo_encoders, validate
from sketchjax.retrieval.codes import Codes
from sketchjax.run.experiment import run
from sketchjax.run.rebuild import rebuild

pytestmark = pytest.mark.usefixtures("short_runs")

PARTS = ("query", "gallery")
CONFIG = Path(__file__).parents[2] / "configs" / "photos.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a run and its results."""
    home = tmp_path_factory.mktemp("photos")
    config = runpy.run_path(str(CONFIG))["get_config"]("embedding")
    validate(config, devices=4)
    config.data.source, config.data.dir = "", str(paired_folder(home, sketches="none", each=30))
    small = {"width": 0.06, "stem_stride": 1, "dense_features": 16}
    set_photo_encoders(config, colours=encoder("alexnet", **small))
    config.photos.size, config.model.bits = 24, 16
    config.train.batch_size, config.train.inner_steps = 16, 2
    config.stages.metric.sampler = {"classes": 2, "each": 8}
    config.stages.metric.epochs = 4
    config.evaluation.batch_size = 16
    config.evaluation.queries_shown, config.evaluation.retrieved = 2, 6
    workdir = home / "run"
    return workdir, run(config, workdir)


def test_photos_are_counted_and_ranked_by_photos(finished):
    _, results = finished
    assert (results["train"], results["train_photos"]) == (0, 63)
    (ranking,) = results["rankings"]
    assert (ranking["queries"], ranking["gallery"]) == ("photo/query", "photo/gallery")
    assert (results["queries"], results["gallery"]) == (9, 9)
    assert {row["distance"] for row in results["feature_rankings"]} == {
        *("snr", "euclidean", "cosine")
    }


def test_map_is_that_of_a_double_loop(finished):
    """Of the codes that the run wrote, in expectation over the orders inside ties."""
    workdir, results = finished
    queries, gallery = (Codes.load(workdir / "codes" / f"photo/{name}") for name in PARTS)
    rng, averages = np.random.default_rng(0), []
    for code, label in zip(queries.unpacked(), queries.labels, strict=True):
        distances = (gallery.unpacked() != code).sum(1)
        for _ in range(300):
            order = np.lexsort((rng.random(len(distances)), distances))
            right = gallery.labels[order] == label
            averages.append((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean())
    assert results["map"] == pytest.approx(np.mean(averages), abs=0.01)


def test_a_run_without_a_classifier_shows_no_accuracy(finished):
    workdir, results = finished
    assert results["accuracy"] is None
    lines = lines_of(workdir)
    assert lines
    assert not any("accuracy" in name for line in lines for name in line)


def test_it_is_not_served(finished, capsys):
    """A drawing would have nothing that encodes it."""
    workdir, _ = finished
    assert call("serve", workdir, "--port", "0") == 65
    assert "this model reads photos only, and the page is for drawings" in capsys.readouterr().err


def test_its_report_is_made_again(finished):
    """From the files of the run only; it has a curve of the loss, and none of accuracy."""
    workdir, _ = finished
    page = workdir / "report" / "index.html"
    before = page.read_text()
    page.unlink()
    rebuild(workdir)
    assert page.read_text() == before
    assert "Photo retrieval with 16-bit codes" in before
    assert "query photos against gallery photos" in before
    # Each field by the side that it is of; the whole config is below, folded.
    text = re.sub("<style.*?</style>|<[^>]*>", " ", before, flags=re.DOTALL)
    shown, _ = text.split("The complete config")
    assert not re.search("sketch|point", shown, re.IGNORECASE)
