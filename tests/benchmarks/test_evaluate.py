"""benchmarks.evaluate at a small size."""

import numpy as np
import orjson
import pytest

from benchmarks import evaluate
from sketchjax.ops.hamming import pack_codes


def test_ours_and_the_peer_score_the_same_ranking(tmp_path):
    words = "--queries 30 --gallery 200 --classes 5 --bits 16 --sample 10 --json"
    evaluate.main([*words.split(), str(tmp_path / "evaluate.json")])
    found = orjson.loads((tmp_path / "evaluate.json").read_bytes())
    assert (found["queries"], found["gallery"], found["peer_sample"]) == (30, 200, 10)
    assert found["map_worst"] < found["map"] < found["map_best"] <= 1
    # The peer sums in another order.
    assert found["difference_from_stable_sort"] < 1e-12
    assert found["ratio"] > 0


def test_the_peer_is_average_precision_by_hand():
    gallery = pack_codes(np.tril(np.ones((4, 8))))  # at distances 1, 2, 3 and 4 from zeros
    query = pack_codes(np.zeros((1, 8)))
    labels = np.array([1, 0, 1, 0])
    found = evaluate._sorted_average_precision(query, np.array([1]), gallery, labels, "stable")
    assert found == pytest.approx([(1 + 2 / 3) / 2])
