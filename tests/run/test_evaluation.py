"""Short runs of every kind of network, plan and objective: their scores, and what they leave."""

import re
import shutil
from pathlib import Path

import jax
import numpy as np
import orjson
import pytest
from plain_runs import keep_as_drawn
from tiny_run import (
    lines_of,
    same_figures,
    same_weights,
    stable_map,
    tiny_config,
)

import sketchjax
from sketchjax.config import encoder, set_encoders, set_stages, stage
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources import doodles
from sketchjax.errors import Stopped
from sketchjax.models.weights import load_weights
from sketchjax.retrieval.codes import Codes
from sketchjax.run import experiment
from sketchjax.run.summary import print_summary
from sketchjax.run.writers import RESULT_KEYS
from sketchjax.train.supply import Supply

pytestmark = pytest.mark.usefixtures("short_runs")

CODES = ("map", "map_best", "map_worst", "map_stable", "precision_at_200", "bits")


@pytest.fixture(scope="module")
def data(tiny_data) -> Path:
    return tiny_data


def config_of(data, losses: dict, *, sampler=None, **fields):
    """The tiny config with a plain encoder and one stage, which trains everything from scratch."""
    config = tiny_config()
    keep_as_drawn(config)
    config.data.dir = str(data)
    set_encoders(config, pen=encoder("plain"))
    whole = ("encoders", "head")
    set_stages(config, stage("only", trains=whole, losses=losses, sampler=sampler or {}))
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


def stopped_and_resumed(config, first: Path, second: Path) -> None:
    """Check that a second run, stopped after its first dispatch, ends as the first one did."""
    asked = iter([False, True])
    with pytest.raises(Stopped, match="stopped in stage only after 4 of"):
        experiment.run(config, second, lambda: next(asked))
    assert not (second / "results.json").exists()
    same_figures(
        experiment.run(config, second), orjson.loads((first / "results.json").read_bytes())
    )
    same_weights(first, second, config.plan[-1])


def drawings(data, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The points of each sketch of a split, and the labels."""
    with Shards(data, split) as shards:
        records = shards.read(np.arange(len(shards)))
    return np.split(records.points, records.offsets[1:-1]), np.asarray(records.labels)


def predictions(data, workdir: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """What the model of a run says of each sketch of a split, and the labels."""
    points, labels = drawings(data, split)
    return sketchjax.load(workdir).predict(points).argmax(1), labels


# --- networks --------------------------------------------------------------------------------


def test_a_single_encoder_recognises(data, tmp_path, capsys):
    """The stage of an encoder that the network lacks is left out."""
    config = config_of(data, {})
    set_encoders(config, pen=encoder("plain"), ear=encoder("plain"))
    config.model.branches = ("pen",)
    set_stages(
        config,
        stage("look", trains=("pen",), output="pen"),
        stage("listen", trains=("ear",), output="ear"),
    )
    experiment.run(config, tmp_path)
    results = read(tmp_path)
    assert {results[name] for name in CODES} == {None}
    assert 0 <= results["accuracy"] <= 1
    assert 0 <= results["accuracy_query"] <= 1
    assert set(results["after_stages"]) == {"look"}
    assert results["after_stages"]["look"]["accuracy_gallery"] == results["accuracy"]
    counts = Manifest.load(data).counts
    assert (results["gallery"], results["queries"]) == (counts["gallery"], counts["query"])
    variables, card = load_weights(tmp_path / "weights" / "look.safetensors")
    assert set(variables["params"]) == {"pen", "pen_classifier", "hash", "classifier"}
    assert (card.output, card.trained) == ("pen", ("pen", "pen_classifier"))
    assert "tiny: recognition of 4 classes, a model of" in capsys.readouterr().out
    said, labels = predictions(data, tmp_path, "gallery")
    assert results["accuracy"] == pytest.approx(np.mean(said == labels), abs=1e-9)


def test_one_encoder_hashes_with_centres_that_move(data, tmp_path):
    """Stopped and resumed, it ends in the same bits."""
    config = config_of(data, {"cross_entropy": 1.0, "common_center": 0.1})
    experiment.run(config, tmp_path / "one")
    results = read(tmp_path / "one")
    assert results["bits"] == 16
    assert results["map_worst"] <= results["map"] <= results["map_best"]
    assert results["map_stable"] == pytest.approx(stable_map(tmp_path / "one"), abs=1e-12)
    line = lines_of(tmp_path / "one")[0]
    total = line["cross_entropy"] + 0.1 * line["common_center"]
    assert line["loss"] == pytest.approx(total, rel=1e-4)
    stopped_and_resumed(config, tmp_path / "one", tmp_path / "two")


def test_a_rectified_layer_recognises(data, tmp_path):
    losses = {"cross_entropy": 1.0, "center": 0.1}
    fields = {"model.head": "features", "model.features": 24}
    experiment.run(config_of(data, losses, **fields), tmp_path)
    results = read(tmp_path)
    assert {results[name] for name in CODES} == {None}
    assert 0 <= results["accuracy"] <= 1
    params = load_weights(tmp_path / "weights" / "only.safetensors")[0]["params"]
    assert set(params) == {"pen", "pen_classifier", "features", "classifier"}
    assert params["classifier"]["kernel"].shape == (24, 4)


def test_balanced_batches_for_a_loss_of_pairs(data, tmp_path):
    """Without cross entropy nothing trains the classifier: there is no accuracy."""
    config = config_of(data, {"supervised_hashing": 0.1}, sampler={"classes": 2, "each": 4})
    experiment.run(config, tmp_path)
    results = read(tmp_path)
    assert results["bits"] == 16
    assert results["map_stable"] == pytest.approx(stable_map(tmp_path), abs=1e-12)
    assert results["accuracy"] is results["accuracy_query"] is None
    assert "validation_accuracy" not in results["after_stages"]["only"]
    line = lines_of(tmp_path)[0]
    assert line["loss"] == pytest.approx(0.1 * line["supervised_hashing"], rel=1e-5)


def test_categories_kept_out_of_training_are_what_is_ranked(data, tmp_path, monkeypatch):
    """With semantic factorisation, which remembers; stopped and resumed, in the same bits."""
    feeds, feed_of = [], Supply.feed

    def kept(self, *stage, **position):
        feeds.append(feed_of(self, *stage, **position))
        return feeds[-1]

    monkeypatch.setattr(Supply, "feed", kept)
    fields = {"data.unseen": ("face", "clock")}
    config = config_of(data, {"cross_entropy": 1.0, "semantic": 0.1}, **fields)
    experiment.run(config, tmp_path / "one")
    results = read(tmp_path / "one")
    manifest = Manifest.load(data)
    unseen = [manifest.categories.index(name) for name in ("clock", "face")]
    of_split = {
        split: sum(manifest.counts_by_category[name][split] for name in ("clock", "face"))
        for split in ("train", "gallery", "query")
    }
    # What was trained with: none of their sketches, and all of the others'.
    (feed,) = feeds
    with Shards(data, "train") as shards:
        labels = shards.read(np.arange(len(shards))).labels
    given = np.concatenate([feed.order.indices(block).ravel() for block in range(feed.position)])
    assert len(given) > 30
    assert not set(labels[given].tolist()) & set(unseen)
    assert not set(np.asarray(feed.held.label).tolist()) & set(unseen)
    assert results["train"] == manifest.counts["train"] - of_split["train"] == feed.order.size
    # What is ranked: only theirs.
    for split, name in (("gallery", "gallery"), ("query", "queries")):
        ranked = Codes.load(tmp_path / "one" / "codes" / split).labels
        assert set(ranked.tolist()) == set(unseen)
        assert len(ranked) == results[name] == of_split[split]
    assert (results["unseen"], results["classes"]) == (["clock", "face"], 2)
    assert sketchjax.load(tmp_path / "one").card.unseen == ("clock", "face")
    assert results["map_stable"] == pytest.approx(stable_map(tmp_path / "one"), abs=1e-12)
    # What the classifier is measured on: only the others.
    for split, name in (("gallery", "accuracy"), ("query", "accuracy_query")):
        said, labels = predictions(data, tmp_path / "one", split)
        right = [a == b for a, b in zip(said, labels, strict=True) if b not in unseen]
        assert results[name] == pytest.approx(np.mean(right), abs=1e-9)
    stopped_and_resumed(config, tmp_path / "one", tmp_path / "two")


# --- plans of other stages -------------------------------------------------------------------


def test_two_stages_of_other_names_with_two_rankings(data, tmp_path):
    """An encoder that is trained first, then only the head; each ranking has its own scores."""
    config = config_of(data, {})
    set_stages(
        config,
        stage("draw", trains=("pen",), output="pen"),
        stage("find", trains=("head",)),
    )
    config.evaluation.rankings = (
        {"queries": "query", "gallery": "gallery"},
        {"queries": "validation", "gallery": "train"},
    )
    experiment.run(config, tmp_path)
    results = read(tmp_path)
    counts = Manifest.load(data).counts
    assert set(results["after_stages"]) == {"draw", "find"}
    first, second = results["rankings"]
    for row, queries, gallery in (
        (first, "query", "gallery"),
        (second, "validation", "train"),
    ):
        assert (row["queries"], row["gallery"]) == (queries, gallery)
        assert (row["queries_count"], row["gallery_count"]) == (counts[queries], counts[gallery])
        expected = stable_map(tmp_path, queries, gallery)
        assert row["map_stable"] == pytest.approx(expected, abs=1e-12)
    assert first["map"] == results["map"] != second["map"]
    assert (results["queries"], results["gallery"]) == (counts["query"], counts["gallery"])
    codes = sorted(path.stem for path in (tmp_path / "codes").iterdir())
    assert codes == sorted(["gallery", "query", "train", "validation"])
    # The second stage left the encoder as it was.
    before, after = (
        load_weights(tmp_path / "weights" / f"{name}.safetensors")[0]["params"]
        for name in ("draw", "find")
    )
    moved = {name for name in before if flat(before[name]) != flat(after[name])}
    assert moved == {"hash", "classifier"}
    said, labels = predictions(data, tmp_path, "query")
    assert results["accuracy_query"] == pytest.approx(np.mean(said == labels), abs=1e-9)


def flat(tree) -> list[bytes]:
    """The bytes of all arrays."""
    return [leaf.tobytes() for leaf in jax.tree.leaves(tree)]


def test_stages_run_in_their_order(data, tmp_path):
    """Single steps; stopped after the first and resumed."""
    config = config_of(data, {})
    names = [f"stage_{number}" for number in (3, 1, 2)]
    rows = [
        stage(name, trains=("pen",) if number % 2 else ("head",), epochs=0.01)
        for number, name in enumerate(names)
    ]
    set_stages(config, *rows)
    config.train.inner_steps = config.train.outer_steps = 1
    config.evaluation.after_stages = (names[1],)
    with pytest.raises(Stopped, match="between two stages"):
        experiment.run(
            config, tmp_path, lambda: (tmp_path / "weights" / f"{names[0]}.safetensors").exists()
        )
    assert [line["stage"] for line in lines_of(tmp_path) if "loss" in line] == names[:1]
    experiment.run(config, tmp_path)
    results = read(tmp_path)
    assert set(results["after_stages"]) == set(names)
    trained = [line["stage"] for line in lines_of(tmp_path) if "loss" in line]
    assert trained == names
    assert [line["stage"] for line in lines_of(tmp_path) if "map" in line] == names[1:]
    assert {path.stem for path in (tmp_path / "weights").iterdir()} == set(names)
    assert sketchjax.load(tmp_path).card.stage == names[-1]


# --- data of which not every score is defined ------------------------------------------------


def with_splits(home: Path, data: Path, wanted) -> Path:
    """The drawings of the tiny config, with the training sketches of `data`.

    wanted: (category, number of this category so far) -> the split of any other sketch.
    """
    config = tiny_config()
    names = config.data.categories
    doodles.write(home / "in", per_category=40, seed=0, categories=names)
    with Shards(data, "train") as shards:
        train = {*shards.read(np.arange(len(shards))).key_ids.tolist()}
    lines = ["key_id,split"]
    for name in names:
        met = 0
        for key in doodles.sketches(name, 40, 0).key_ids.tolist():
            split = "train" if key in train else wanted(name, met)
            met += key not in train
            lines.append(f"{key},{split}")
    (home / "splits.csv").write_text("\n".join(lines))
    convert([home / "in"], home / "out", splits=home / "splits.csv", shards=1, progress=False)
    return home / "out"


CASES = {
    "one gallery sketch per class": lambda name, met: "query" if met else "gallery",
    "a gallery of one class": lambda name, met: "gallery" if name == "cat" and met else "query",
}


@pytest.mark.parametrize("name", CASES)
def test_scores_that_are_defined_are_there_and_others_absent(data, tmp_path, name, capsys):
    folder = with_splits(tmp_path, data, CASES[name])
    manifest = Manifest.load(folder)
    assert manifest.counts["train"] == Manifest.load(data).counts["train"]
    experiment.run(config_of(folder, {"cross_entropy": 1.0}), tmp_path / "run")
    results = read(tmp_path / "run")
    assert results["map_stable"] == pytest.approx(stable_map(tmp_path / "run"), abs=1e-12)
    assert results["precision_at_200"] is not None
    one_each = name.startswith("one")
    assert results["gallery"] == (4 if one_each else manifest.counts["gallery"])
    assert results["d1"] >= 0
    assert ("d2" in results) == one_each, "of the others there is none in a gallery of one class"
    assert "feature_d1" not in results, "no class has two sketches, or there is only one"
    relevant = manifest.counts["query"] if one_each else manifest.counts_by_category["cat"]["query"]
    assert results["queries"] == relevant
    (ranking,) = results["rankings"]
    assert ranking["queries_count"] == manifest.counts["query"]
    left_out = manifest.counts["query"] - relevant
    assert ranking["queries_without_relevant"] == left_out
    print_summary(results, tmp_path / "run")
    note = f"not scored: {left_out} queries of a category that the gallery lacks"
    assert (note in capsys.readouterr().out) == bool(left_out)
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert ("not scored, of a category that the gallery lacks" in page) == bool(left_out)


def test_a_single_class_has_every_score_that_needs_no_other(data, tmp_path):
    doodles.write(tmp_path / "in", per_category=40, seed=0, categories=["cat"])
    splits = {"train": 0.7, "gallery": 0.2, "query": 0.1}
    convert([tmp_path / "in"], tmp_path / "out", splits=splits, shards=1, progress=False)
    config = config_of(tmp_path / "out", {"cross_entropy": 1.0})
    config.data.categories = ("cat",)
    experiment.run(config, tmp_path / "run")
    results = read(tmp_path / "run")
    assert results["classes"] == 1
    assert [results[name] for name in ("map", "accuracy", "precision_at_200")] == pytest.approx(
        [1] * 3
    )
    assert "d2" not in results
    assert "feature_d1" not in results


def test_validation_sketches_may_be_the_queries(data, tmp_path):
    """Nothing of the queries is looked at: the data may have none."""
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    content = orjson.loads((folder / "manifest.json").read_bytes())
    for counts in (content["counts"], *content["counts_by_category"].values()):
        counts["query"] = 0
    content["shards"]["query"] = []
    (folder / "manifest.json").write_bytes(orjson.dumps(content))
    fields = {"evaluation.rankings": ("validation:gallery",)}
    run = tmp_path / "run"
    experiment.run(config_of(folder, {"cross_entropy": 1.0}, **fields), run)
    results = read(run)
    _, labels = drawings(folder, "validation")
    assert results["queries"] == len(labels)
    np.testing.assert_array_equal(Codes.load(run / "codes" / "validation").labels, labels)
    expected = stable_map(run, "validation")
    assert results["map_stable"] == pytest.approx(expected, abs=1e-12)
    said, _ = predictions(folder, run, "validation")
    assert results["accuracy_query"] == pytest.approx(np.mean(said == labels), abs=1e-9)
    assert results["accuracy_query"] == results["after_stages"]["only"]["validation_accuracy"]
    page = re.sub(r"\s+", " ", (run / "report" / "index.html").read_text())
    assert "validation sketches against gallery sketches" in page
