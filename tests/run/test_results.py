"""The object of results.json: whole whatever the scores lack, and readable by the report."""

from pathlib import Path

import numpy as np
import pytest

from sketchjax.config import default
from sketchjax.data.folder.manifest import Manifest
from sketchjax.retrieval import metrics
from sketchjax.retrieval.class_distances import ClassDistances
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.histograms import Histograms
from sketchjax.run.results import collect_results, radius_curve
from sketchjax.run.scoring import Measured, Ranking
from sketchjax.run.writers import RESULT_KEYS, read_results, write_results
from sketchjax.train.checkpoint import Progress
from sketchjax.train.split import TrainingSplit

PROGRESS = Progress(
    seconds_total=12.5, seconds={"cnn": 2.0, "full": 4.0}, sketches={"cnn": 64, "full": 32}
)


def split_without(*unseen: str) -> TrainingSplit:
    """Of three categories; 7 of the 20 training sketches are longer than 128 points."""
    manifest = Manifest(
        categories=["cat", "clock", "sun"],
        counts={"train": 20, "validation": 0, "gallery": 4, "query": 2},
        counts_by_category={"cat": {"train": 9}, "clock": {"train": 8}, "sun": {"train": 3}},
        offset_scale=10.0,
        entropy_low=[0.0] * 3,
        entropy_high=[1.0] * 3,
        lengths={"train": {100: 13, 129: 5, 200: 2}, "gallery": {300: 4}},
        shards={},
        settings={},
    )
    return TrainingSplit(Path(), manifest, np.isin(manifest.categories, unseen))


def written(tmp_path, results) -> dict:
    """The results as they can be read again."""
    assert set(results) >= set(RESULT_KEYS)
    write_results(tmp_path, results)
    read = read_results(tmp_path)
    assert read is not None
    return read


def codes(bits: int) -> Codes:
    """Of two sketches; what they are does not matter here."""
    n = np.zeros(2, np.int64)
    packed = np.zeros((2, bits // 8), np.uint8)
    return Codes(packed, n.astype(np.int32), n.astype(np.uint64), n)


SIZES = {"gallery": 4, "query": 2, "validation": 3}


def test_scores_that_do_not_exist_are_null(tmp_path):
    """A single class has no d2, and this backend no stable order: both are NaN in the scores."""
    counts = Histograms(
        all=np.array([[1, 0, 1, 0, 0, 0, 0, 2, 0]] * 2),
        relevant=np.array([[1, 0, 1, 0, 0, 0, 0, 2, 0]] * 2),
        stable_average_precision=None,
    )
    scores = metrics.scores(counts, np.array([1, 1], np.int32))
    assert np.isnan(scores.map_stable)
    assert np.isnan(scores.d1_over_d2)
    measured = Measured(
        codes={"gallery": codes(8), "query": codes(8)},
        rankings=[Ranking("query", "gallery", scores)],
        distances=ClassDistances(1.5, 3.0, 0.5, float("nan")),
        accuracy=0.75,
        accuracy_query=None,
        sizes=SIZES,
    )
    read = written(
        tmp_path, collect_results(default(), {"sketch": split_without()}, PROGRESS, measured)
    )
    assert read["map_stable"] is None
    assert read["map"] == read["precision_at_200"] == 1.0
    assert (read["accuracy"], read["accuracy_query"]) == (0.75, None)
    assert [read[f"feature_{name}"] for name in ("d1", "d2", "d1_over_d2")] == [1.5, 3.0, 0.5]
    assert (read["train"], read["unseen"], read["bits"]) == (20, [], 8)
    assert (read["queries"], read["gallery"], read["classes"]) == (2, 4, 3)
    assert read["cut_to_points"] == 7
    assert read["seconds_total"] == 12.5
    assert read["sketches_per_second"] == {"cnn": 32.0, "full": 8.0}


def test_a_model_that_recognises_has_no_score_of_codes(tmp_path):
    measured = Measured({}, [], None, 0.75, 0.5, SIZES)
    results = collect_results(default(), {"sketch": split_without("clock")}, PROGRESS, measured)
    read = written(tmp_path, results)
    for name in ("map", "map_best", "map_worst", "map_stable", "precision_at_200", "bits"):
        assert read[name] is None
    assert read["rankings"] == []
    assert not [name for name in read if name.startswith("feature_")]
    assert (read["accuracy"], read["accuracy_query"]) == (0.75, 0.5)
    # The classes that are ranked, and the sketches that were trained with.
    assert (read["classes"], read["unseen"], read["train"]) == (1, ["clock"], 12)


def test_the_first_ranking_is_the_headline_and_all_are_rows(tmp_path):
    """Also one in which no query can be scored."""
    counts = np.array([[1, 0, 1, 0, 0, 0, 0, 2, 0]])
    found = [
        metrics.scores(Histograms(counts, np.minimum(counts, most)), np.array([1], np.int32))
        for most in (1, 2)
    ]
    measured = Measured(
        codes=dict.fromkeys(SIZES, codes(8)),
        rankings=[
            Ranking("validation", "gallery", found[0]),
            Ranking("query", "gallery", found[1]),
            Ranking("query", "validation", None),
        ],
        distances=None,
        accuracy=None,
        accuracy_query=None,
        sizes=SIZES,
    )
    config = default()
    config.evaluation.rankings = ("validation:gallery", "query:gallery", "query:validation")
    read = written(
        tmp_path, collect_results(config, {"sketch": split_without()}, PROGRESS, measured)
    )
    first, second, third = read["rankings"]
    assert first["map"] == read["map"] == pytest.approx(found[0].map)
    assert second["map"] == pytest.approx(found[1].map) != first["map"]
    # Of the headline, only queries that can be scored; of a row, all that the split has.
    assert (read["queries"], read["gallery"]) == (1, 4)
    for row, queries, gallery in (
        (first, ("validation", 3), ("gallery", 4)),
        (second, ("query", 2), ("gallery", 4)),
        (third, ("query", 2), ("validation", 3)),
    ):
        assert (row["queries"], row["queries_count"]) == queries
        assert (row["gallery"], row["gallery_count"]) == gallery
        assert row.keys() >= {"map", "map_best", "map_worst", "map_stable", "precision_at_200"}
    assert third["map"] is third["precision_at_200"] is None


def test_the_curve_has_a_point_for_each_hamming_radius():
    """By hand: one query, 4 gallery codes at distances 1, 1, 3, 8; 1 and 4 are relevant."""
    everything = np.array([[0, 2, 0, 1, 0, 0, 0, 0, 1]])
    relevant = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1]])
    curve = radius_curve(metrics.precision_recall_curve(everything, relevant))
    np.testing.assert_allclose(curve.recall, [0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1])
    third = 1 / 3
    np.testing.assert_allclose(
        curve.precision, [np.nan, 0.5, 0.5, third, third, third, third, third, 0.5]
    )
