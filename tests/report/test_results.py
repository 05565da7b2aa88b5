"""The object of results.json: whole whatever the scores lack, and readable by the report."""

import numpy as np
import pytest

from sketchjax.config import default
from sketchjax.data.manifest import Manifest
from sketchjax.report.results import collect_results, radius_curve
from sketchjax.report.writers import RESULT_KEYS, read_results, write_results
from sketchjax.retrieval import metrics
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.histograms import Histograms
from sketchjax.train.checkpoint import Progress


@pytest.fixture
def manifest() -> Manifest:
    """Of three categories; 7 of the 20 training sketches are longer than 128 points."""
    return Manifest(
        categories=["cat", "clock", "sun"],
        counts={"train": 20, "validation": 0, "gallery": 4, "query": 2},
        counts_by_category={},
        offset_scale=10.0,
        entropy_low=[0.0] * 3,
        entropy_high=[1.0] * 3,
        lengths={"train": {100: 13, 129: 5, 200: 2}, "gallery": {300: 4}},
        shards={},
        settings={},
    )


def encoded(labels, predictions) -> Encoded:
    labels = np.asarray(labels, np.int32)
    predictions = np.asarray(predictions, np.int32)
    return Encoded(np.zeros((len(labels), 8)), predictions, labels, np.arange(len(labels)))


def test_scores_that_do_not_exist_are_null_and_nothing_crashes(manifest, tmp_path):
    """One class alone has no d2, and this backend no stable order: both are NaN in the scores."""
    counts = Histograms(
        all=np.array([[1, 0, 1, 0, 0, 0, 0, 2, 0]] * 2),
        relevant=np.array([[1, 0, 1, 0, 0, 0, 0, 2, 0]] * 2),
        stable_average_precision=None,
    )
    query, gallery = encoded([1, 1], [1, 2]), encoded([1, 1, 1, 1], [1, 1, 1, 0])
    scores = metrics.scores(counts, query.labels)
    assert np.isnan(scores.map_stable)
    assert np.isnan(scores.d1_over_d2)
    progress = Progress(
        seconds_total=12.5, seconds={"cnn": 2.0, "full": 4.0}, sketches={"cnn": 64, "full": 32}
    )
    results = collect_results(default(), manifest, scores, gallery, query, progress)
    assert set(results) >= set(RESULT_KEYS)
    write_results(tmp_path, results)
    read = read_results(tmp_path)
    assert read is not None
    assert read["map_stable"] is None
    assert read["map"] == read["precision_at_200"] == 1.0
    assert read["accuracy"] == 0.75
    assert read["accuracy_query"] == 0.5
    assert (read["queries"], read["gallery"], read["classes"]) == (2, 4, 3)
    assert read["cut_to_points"] == 7
    assert read["seconds_total"] == 12.5
    assert read["sketches_per_second"] == {"cnn": 32.0, "full": 8.0}


def test_the_curve_has_a_point_for_each_hamming_radius():
    """By hand: one query, 4 gallery codes at distances 1, 1, 3, 8, of which the 1st and 4th fit."""
    everything = np.array([[0, 2, 0, 1, 0, 0, 0, 0, 1]])
    relevant = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1]])
    curve = radius_curve(metrics.precision_recall_curve(everything, relevant))
    np.testing.assert_allclose(curve.recall, [0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1])
    third = 1 / 3
    np.testing.assert_allclose(
        curve.precision, [np.nan, 0.5, 0.5, third, third, third, third, third, 0.5]
    )
