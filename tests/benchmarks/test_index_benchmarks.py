"""benchmarks.pool and benchmarks.instances at small sizes, with answers that are known."""

import argparse
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks import instances, pool

sys.path.insert(0, str(Path(__file__).parents[1] / "index"))

from drawings_and_codes import items_of, memory_of
from projecting import Projecting

from sketchjax.data.sources.doodles import write


def test_pools_are_timed_next_to_faiss(tmp_path):
    pool.main(["--codes", "9000", "--rounds", "3", "--json", str(tmp_path / "pool.json")])
    found = orjson.loads((tmp_path / "pool.json").read_bytes())
    for kind in ("clustered", "random"):
        assert found[f"{kind}_same_distances_as_faiss"] is True
        assert found[f"{kind}_ratio_to_faiss"] > 0
        assert found[f"{kind}_pool"] >= 200


def test_equal_codes_are_found_by_chance_and_by_features():
    """One code for all 90: by codes 10 of 90 are found, by their own features all."""
    items = items_of(90, 16, 16, distinct=1)
    items.features[:] = np.random.default_rng(0).permutation(90 * 16).reshape(90, 16) % 251
    snapshot = memory_of(items).snapshot()
    share = instances.by_codes(snapshot, items.codes[0], items.codes[0], 10)
    np.testing.assert_allclose(share, 10 / 90)
    for row in (0, 40, 89):
        assert row in instances.nearest(snapshot, items.codes[0], items.features[row], 1, 200)
    own = instances.by_features(snapshot, items.features, np.arange(90), 1)
    assert own == 1


def test_all_shares_are_measured():
    items = items_of(60, 16, 16)
    arguments = argparse.Namespace(queries=20, jitter=4.0, k=60, seed=0)
    found = instances.measure(memory_of(items).snapshot(), Projecting(), arguments)
    shares = [value for name, value in found.items() if name.startswith("recall_")]
    assert len(shares) == 7
    assert set(shares) == {1.0}  # k is everything there is


def test_a_server_is_measured(tmp_path):
    """Every request is answered, by one client and by two."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from test_search_docs import finished_run

    from benchmarks import serving

    write(tmp_path / "doodles", per_category=4, seed=0, categories=["cat", "clock", "sun"])
    finished_run(tmp_path / "run", tmp_path / "doodles")
    serving.main(
        [str(tmp_path / "run"), "--drawings", "3000", "--clients", "2", "--seconds", "0.5",
         "--json", str(tmp_path / "serving.json")]
    )  # fmt: skip
    found = orjson.loads((tmp_path / "serving.json").read_bytes())
    for name in ("one_client", "clients"):
        assert found[f"{name}_per_second"] >= 1
        assert 0 < found[f"{name}_ms_p50"] <= found[f"{name}_ms_p99"]
    assert found["memory_mb"] > 50
