"""Short runs of every kind of network and objective: what each is scored by, and what it leaves."""

import re
import shutil
from pathlib import Path

import jax
import numpy as np
import orjson
import pytest
from sketchjax.train.feeds import Feeds
from tiny_run import quick_compilation, same_figures, same_weights, tiny_config

from sketchjax.data.feed.batch import pad
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.errors import Stopped
from sketchjax.models import network as networks
from sketchjax.models.weights import load_weights
from sketchjax.run import experiment
from sketchjax.run.writers import RESULT_KEYS
from sketchjax.train.data import prepare_data

CODES = ("map", "map_best", "map_worst", "map_stable", "precision_at_200", "bits")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data folder of the tiny config, while all compile quickly."""
    with quick_compilation(tmp_path_factory):
        yield prepare_data(tiny_config(), tmp_path_factory.mktemp("tiny"))


def config_of(data, stage: str, losses: dict, **fields):
    """The tiny config with one stage alone."""
    config = tiny_config()
    config.data.dir = str(data)
    for name in ("cnn", "rnn", "joint", "center", "full"):
        config.stages[name].epochs = int(name == stage)
    config.stages[stage].losses = losses
    config.update_from_flattened_dict(fields)
    return config


def read(workdir: Path) -> dict:
    """The results of a run, once they are known to be whole and to have a page to read."""
    results = orjson.loads((workdir / "results.json").read_bytes())
    assert list(results)[: len(RESULT_KEYS)] == list(RESULT_KEYS)
    page = (workdir / "report" / "index.html").read_text()
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    for word in ("None", "nan", "Undefined"):
        assert not re.search(rf"\b{word}\b", text), word
    recognises = results["bits"] is None
    assert ("tiny · recognition" in text) == ("Sketch recognition" in text) == recognises
    assert ("tiny · 16 bits" in text) == ("16-bit codes" in text) == (not recognises)
    assert ("Precision and recall" in text) == ("Retrievals" in text) == (not recognises)
    assert (workdir / "codes").exists() == (not recognises)
    return results


def stop_after_a_dispatch(workdir: Path):
    return lambda: (workdir / "metrics.jsonl").exists()


def stopped_and_gone_on(config, first: Path, second: Path) -> None:
    """A second run that is stopped after its first dispatch ends as the first one did."""
    with pytest.raises(Stopped):
        experiment.run(config, second, stop_after_a_dispatch(second))
    assert not (second / "results.json").exists()
    same_figures(
        experiment.run(config, second), orjson.loads((first / "results.json").read_bytes())
    )
    same_weights(first, second, "joint")


def is_map_of_the_codes(results: dict, workdir: Path) -> None:
    """The mean of average precisions by a stable sort, from the files in codes/."""
    codes, labels = {}, {}
    for split in ("gallery", "query"):
        codes[split] = np.unpackbits(np.load(workdir / "codes" / f"{split}.npy"), axis=1)
        labels[split] = np.load(workdir / "codes" / f"{split}_labels.npy")
    precisions = []
    for code, label in zip(codes["query"], labels["query"], strict=True):
        order = np.argsort((codes["gallery"] != code).sum(1), kind="stable")
        ranks = np.flatnonzero(labels["gallery"][order] == label) + 1
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    assert results["map_stable"] == pytest.approx(np.mean(precisions), abs=1e-12)


def test_a_branch_alone_recognises(data, tmp_path, capsys):
    """The stage of the branch that the model lacks is left out."""
    fields = {"model.branches": "cnn", "stages.rnn.epochs": 1}
    config = config_of(data, "cnn", {"cross_entropy": 1.0}, **fields)
    experiment.run(config, tmp_path)
    results = read(tmp_path)
    assert {results[name] for name in CODES} == {None}
    assert 0 <= results["accuracy"] <= 1
    assert 0 <= results["accuracy_query"] <= 1
    assert set(results["after_stages"]) == {"cnn"}
    assert results["after_stages"]["cnn"]["accuracy_gallery"] == results["accuracy"]
    counts = Manifest.load(data).counts
    assert (results["gallery"], results["queries"]) == (counts["gallery"], counts["query"])
    parts = {"cnn", "cnn_classifier", "hash", "classifier"}
    assert set(load_weights(tmp_path / "weights" / "cnn.safetensors")["params"]) == parts
    assert "tiny: recognition of 4 classes, a model of" in capsys.readouterr().out


def test_a_branch_alone_hashes_with_centres_that_move(data, tmp_path):
    """Stopped and gone on, it ends in the same bits."""
    losses = {"cross_entropy": 1.0, "common_center": 0.1}
    config = config_of(data, "joint", losses, **{"model.branches": "cnn"})
    experiment.run(config, tmp_path / "one")
    results = read(tmp_path / "one")
    assert results["bits"] == 16
    assert results["map_worst"] <= results["map"] <= results["map_best"]
    is_map_of_the_codes(results, tmp_path / "one")
    line = orjson.loads((tmp_path / "one" / "metrics.jsonl").read_bytes().splitlines()[0])
    total = line["cross_entropy"] + 0.1 * line["common_center"]
    assert line["loss"] == pytest.approx(total, rel=1e-4)
    stopped_and_gone_on(config, tmp_path / "one", tmp_path / "two")


def test_validation_sketches_ask_where_settings_are_chosen(data, tmp_path):
    """Nothing of the queries is looked at: the data may have none."""
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    content = orjson.loads((folder / "manifest.json").read_bytes())
    for counts in (content["counts"], *content["counts_by_category"].values()):
        counts["query"] = 0
    content["shards"]["query"] = []
    (folder / "manifest.json").write_bytes(orjson.dumps(content))
    fields = {"model.branches": "rnn", "evaluation.queries": "validation"}
    config = config_of(folder, "joint", {"cross_entropy": 1.0}, **fields)
    run = tmp_path / "run"
    experiment.run(config, run)
    results = read(run)
    with Shards(folder, "validation") as shards:
        labels = shards.read(np.arange(len(shards))).labels
    assert results["queries"] == len(labels)
    np.testing.assert_array_equal(np.load(run / "codes" / "query_labels.npy"), labels)
    is_map_of_the_codes(results, run)
    said, _ = predictions(config, folder, run, "validation")
    assert results["accuracy_query"] == pytest.approx(np.mean(said == labels), abs=1e-9)
    assert results["accuracy_query"] == results["after_stages"]["joint"]["validation_accuracy"]
    page = re.sub(r"\s+", " ", (run / "report" / "index.html").read_text())
    assert "validation queries against the gallery" in page
    assert f"{len(labels)} validation queries" in re.sub(r"<[^>]+>", "", page)


def test_a_rectified_layer_recognises(data, tmp_path):
    losses = {"cross_entropy": 1.0, "center": 0.1}
    fields = {"model.branches": "rnn", "model.recognition_features": 24}
    experiment.run(config_of(data, "joint", losses, **fields), tmp_path)
    results = read(tmp_path)
    assert {results[name] for name in CODES} == {None}
    assert 0 <= results["accuracy"] <= 1
    weights = load_weights(tmp_path / "weights" / "joint.safetensors")["params"]
    assert set(weights) == {"rnn", "rnn_classifier", "recognition", "classifier"}
    assert weights["classifier"]["kernel"].shape == (24, 4)


def predictions(config, data, workdir: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """What the network of a run says of each sketch of a split, and their labels."""
    manifest = Manifest.load(data)
    network = networks.build(config, classes=4, offset_scale=manifest.offset_scale, axis_name=None)
    variables = load_weights(workdir / "weights" / "joint.safetensors")
    with Shards(data, split) as shards:
        batch = pad(shards.read(np.arange(len(shards))), config.data.points)
    apply = jax.jit(lambda *sketches: network.apply(variables, *sketches, "whole").logits)
    return np.asarray(apply(batch.points, batch.length)).argmax(1), batch.label


def test_categories_kept_out_of_training_are_what_codes_are_scored_on(data, tmp_path, monkeypatch):
    """With semantic factorisation, which remembers; stopped and gone on, in the same bits."""
    feeds, of = [], Feeds.of

    def kept(self, *stage, **position):
        feeds.append(of(self, *stage, **position))
        return feeds[-1]

    monkeypatch.setattr(Feeds, "of", kept)
    fields = {"model.branches": "rnn", "data.unseen": ("face", "clock")}
    config = config_of(data, "joint", {"cross_entropy": 1.0, "semantic": 0.1}, **fields)
    experiment.run(config, tmp_path / "one")
    results = read(tmp_path / "one")
    manifest = Manifest.load(data)
    unseen = [manifest.categories.index(name) for name in ("clock", "face")]
    of_split = {
        split: sum(manifest.counts_by_category[name][split] for name in ("clock", "face"))
        for split in ("train", "gallery", "query")
    }
    # What trained: none of their sketches, and all of the others'.
    (feed,) = feeds
    with Shards(data, "train") as shards:
        labels = shards.read(np.arange(len(shards))).labels
    given = np.concatenate([feed.order.indices(block).ravel() for block in range(feed.position)])
    assert len(given) > 30
    assert not set(labels[given].tolist()) & set(unseen)
    assert not set(np.asarray(feed.held.label).tolist()) & set(unseen)
    assert results["train"] == manifest.counts["train"] - of_split["train"] == feed.order.size
    # What is ranked: theirs alone.
    for split, name in (("gallery", "gallery"), ("query", "queries")):
        ranked = np.load(tmp_path / "one" / "codes" / f"{split}_labels.npy")
        assert set(ranked.tolist()) == set(unseen)
        assert len(ranked) == results[name] == of_split[split]
    assert (results["unseen"], results["classes"]) == (["clock", "face"], 2)
    is_map_of_the_codes(results, tmp_path / "one")
    # What the classifier is asked: the others alone.
    for split, name in (("gallery", "accuracy"), ("query", "accuracy_query")):
        said, labels = predictions(config, data, tmp_path / "one", split)
        right = [a == b for a, b in zip(said, labels, strict=True) if b not in unseen]
        assert results[name] == pytest.approx(np.mean(right), abs=1e-9)
    stopped_and_gone_on(config, tmp_path / "one", tmp_path / "two")


def test_balanced_batches_for_a_loss_of_pairs(data, tmp_path):
    """No cross entropy: nothing trains the classifier, and nothing is said of its accuracy."""
    fields = {"model.branches": "rnn", "train.classes_per_batch": 2}
    config = config_of(data, "joint", {"contrastive": 0.1}, **fields)
    experiment.run(config, tmp_path)
    results = read(tmp_path)
    assert results["bits"] == 16
    is_map_of_the_codes(results, tmp_path)
    assert results["accuracy"] is results["accuracy_query"] is None
    assert "validation_accuracy" not in results["after_stages"]["joint"]
    lines = [orjson.loads(line) for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()]
    assert lines[0]["loss"] == pytest.approx(0.1 * lines[0]["contrastive"], rel=1e-5)
