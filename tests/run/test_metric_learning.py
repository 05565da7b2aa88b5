"""Runs of configs/metric.py, made smaller: embeddings ranked by features, and the hashing form."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
import pytest
from plain_runs import keep_as_drawn
from tiny_run import lines_of, same_figures, same_weights, stable_map

import sketchjax
from sketchjax.config import encoder, set_encoders, set_stages, stage, validate
from sketchjax.data.folder.shards import Shards
from sketchjax.errors import Stopped
from sketchjax.losses.table import DISTANCES
from sketchjax.models.weights import load_weights
from sketchjax.retrieval.codes import Codes
from sketchjax.run import experiment
from sketchjax.run.elsewhere import evaluate_model
from sketchjax.train.data import prepare_data

pytestmark = pytest.mark.usefixtures("short_runs")

CONFIG = Path(__file__).parents[2] / "configs" / "metric.py"


def small(form: str, **fields):
    """The config with four classes, and batches of 4 classes x 4 sketches over four devices."""
    spec = importlib.util.spec_from_file_location("metric", CONFIG)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(form)
    validate(config, devices=4)
    config.data.categories = ("cat", "clock", "face", "sun")
    config.data.synthetic_per_category = 60
    config.data.points, config.data.shards = 48, 1
    config.model.bits = 16
    set_encoders(config, pen=encoder("plain", features=24))
    config.train.batch_size, config.train.inner_steps = 16, 2
    keep_as_drawn(config)
    config.stages.metric.sampler = {"classes": 4, "each": 4}
    config.stages.metric.epochs = 4
    config.evaluation.batch_size = 16
    config.update_from_flattened_dict(fields)
    return config


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The data folder of all runs."""
    return prepare_data(small("embedding"), tmp_path_factory.mktemp("metric"))


@pytest.fixture(scope="module")
def embedding(data, tmp_path_factory) -> Path:
    """The workdir of a finished run with a batch-normalised embedding."""
    workdir = tmp_path_factory.mktemp("embedding")
    experiment.run(small("embedding", **{"data.dir": str(data)}), workdir)
    return workdir


def results_of(workdir: Path) -> dict:
    return orjson.loads((workdir / "results.json").read_bytes())


def features_of(workdir: Path, data: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The features of a split's sketches by the model that the run left, and their labels."""
    with Shards(data, split) as shards:
        records = shards.read(np.arange(len(shards)))
    points = np.split(records.points, records.offsets[1:-1])
    return sketchjax.load(workdir).features(points), np.asarray(records.labels)


def distances_of(query: np.ndarray, gallery: np.ndarray, kind: str) -> np.ndarray:
    if kind == "snr":
        return (gallery - query).var(1) / query.var()
    if kind == "euclidean":
        return np.linalg.norm(gallery - query, axis=1)
    return 1 - gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)


def test_an_embedding_is_ranked_by_its_features(embedding, data):
    results = results_of(embedding)
    rows = results["feature_rankings"]
    assert [row["distance"] for row in rows] == list(DISTANCES)
    queries, asked = features_of(embedding, data, "query")
    gallery, found = features_of(embedding, data, "gallery")
    for row in rows:
        precisions, first = [], []
        for query, label in zip(queries.astype(float), asked, strict=True):
            order = distances_of(query, gallery.astype(float), row["distance"]).argsort()
            right = found[order] == label
            places = np.flatnonzero(right) + 1
            precisions.append(np.mean(np.arange(1, len(places) + 1) / places))
            first.append(right[0])
        # Batches of another size round differently, which may swap near ties.
        assert row["map"] == pytest.approx(np.mean(precisions), abs=2e-3)
        assert row["recall_at_1"] == pytest.approx(np.mean(first), abs=0.1)
        assert row["recall_at_1"] <= row["recall_at_2"] <= row["recall_at_4"] <= row["recall_at_8"]
        assert row["map_at_r"] <= row["r_precision"] <= 1
        assert 0 <= row["nmi"] <= 1
        assert (row["queries"], row["gallery"]) == ("query", "gallery")
        assert (row["queries_count"], row["gallery_count"]) == (len(asked), len(found))
        logged = results["after_stages"]["metric"][f"map_by_{row['distance']}"]
        assert logged == row["map"]
    assert results["map_stable"] == pytest.approx(stable_map(embedding), abs=1e-12)
    assert results["bits"] == 16
    assert rows[0]["map"] > 0.5, "four classes: at random about 0.27"


def test_the_report_has_a_table_of_feature_rankings(embedding):
    page = (embedding / "report" / "index.html").read_text()
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    for word in ("R-precision", "MAP@R", "NMI", "R@8", "snr", "euclidean", "cosine"):
        assert word in text, word
    assert not re.search(r"\b(None|nan|Undefined)\b", text)
    lines = (embedding / "report" / "feature_rankings.csv").read_text().splitlines()
    assert len(lines) == 1 + len(DISTANCES)
    assert lines[1].startswith("query,gallery,snr,")


def test_a_model_keeps_the_running_statistics_of_its_embedding(embedding, data):
    """Whatever else is encoded with a sketch, its features are the same."""
    variables, card = load_weights(embedding / "model.safetensors")
    assert card.architecture.embedding == "batch_norm"
    norm = variables["batch_stats"]["embedding"]["norm"]
    assert norm["mean"].shape == norm["var"].shape == (16,)
    assert np.abs(norm["mean"]).max() > 0
    assert set(variables["params"]["embedding"]) == {"kernel"}, "a bias would be subtracted again"
    features, _ = features_of(embedding, data, "gallery")
    with Shards(data, "gallery") as shards:
        one = shards.read(np.arange(1))
    model = sketchjax.load(embedding)
    np.testing.assert_allclose(model.features(one.points)[0], features[0], atol=1e-5)
    bits = model.encode(one.points).unpacked()[0]
    np.testing.assert_array_equal(bits, features[0] > 0)
    # Close to standard over the gallery, which was not trained on.
    assert 0.3 < features.std() < 3


def test_an_embedding_is_scored_on_other_data(embedding, data, tmp_path):
    @contextmanager
    def unseen_task(name: str, total: int) -> Iterator[Callable[[int], None]]:
        yield lambda count: None

    model = sketchjax.load(embedding)
    results = evaluate_model(
        model, data, tmp_path / "out", batch=16, task=unseen_task, note=lambda line: None
    )
    wanted = results_of(embedding)["feature_rankings"]
    assert len(results["feature_rankings"]) == len(wanted)
    for row, own in zip(results["feature_rankings"], wanted, strict=True):
        assert row == pytest.approx(own)
    assert "R-precision" in (tmp_path / "out" / "report" / "index.html").read_text()


def test_a_stopped_run_ends_in_the_same_bits(embedding, data, tmp_path):
    config = small("embedding", **{"data.dir": str(data)})
    asked = iter([False, True])
    with pytest.raises(Stopped, match="stopped in stage metric after 4 of"):
        experiment.run(config, tmp_path, lambda: next(asked))
    same_figures(experiment.run(config, tmp_path), results_of(embedding))
    same_weights(tmp_path, embedding, "metric")


def test_the_hashing_form_trains_codes(data, tmp_path):
    longer = {
        "stages.metric.epochs": 6,
        "stages.metric.learning_rate": 8e-3,
    }
    config = small("hash", **{"data.dir": str(data), **longer})
    set_encoders(config, look=encoder("plain_picture", features=24))
    experiment.run(config, tmp_path)
    results = results_of(tmp_path)
    assert "feature_rankings" not in results
    assert results["bits"] == 16
    labels = Codes.load(tmp_path / "codes" / "gallery").labels
    share = np.bincount(labels) / len(labels)
    assert results["map"] > 0.05 + share.max(), "more than codes that are all equal"
    line, *_, last = [line for line in lines_of(tmp_path) if "contrastive" in line]
    assert last["contrastive"] < 0.85 * line["contrastive"]
    weights = config.stages.metric.losses
    total = line["contrastive"] + weights.zero_mean * line["zero_mean"]
    total += weights.quantization * line["quantization"]
    assert line["loss"] == pytest.approx(total, rel=1e-4)


OTHERS = {
    "semi_hard": {"triplet": {"distance": "euclidean", "mining": "semi_hard"}},
    "weighted": {"triplet": {"distance": "cosine", "mining": "distance_weighted"}},
    "lifted": {"lifted_structure": {"distance": "cosine"}},
    "pairs": {"n_pair": {"distance": "snr"}},
}


def test_other_losses_train_too(data, tmp_path):
    """Each in a stage of its own."""
    fields = {"data.dir": str(data), "model.embedding": "unit_length"}
    config = small("embedding", **fields)
    everything, sampler = ("encoders", "head"), config.stages.metric.sampler
    set_stages(
        config,
        *(
            stage(name, trains=everything, losses=losses, sampler=sampler, epochs=1)
            for name, losses in OTHERS.items()
        ),
    )
    config.evaluation.feature_distances = ("cosine",)
    experiment.run(config, tmp_path)
    (row,) = results_of(tmp_path)["feature_rankings"]
    assert row["distance"] == "cosine"
    lines = [line for line in lines_of(tmp_path) if "loss" in line]
    assert list(dict.fromkeys(line["stage"] for line in lines)) == [*OTHERS]
    for line in lines:
        (name,) = OTHERS[line["stage"]]
        assert line["loss"] == line[name] > 0
