"""Answers against a numpy search of everything: order, ties, pool, and the JSON of it."""

import msgspec
import numpy as np
import pytest
from drawings_and_codes import MODEL, SCALE, items_of, memory_of

from sketchjax.errors import DataError
from sketchjax.index import search
from sketchjax.index.search import LEAST, Query, answer


def expected_order(items, code, features, k, rerank, most=10**9):
    """Ids, distances and squares by loops over all items."""
    distances = (np.unpackbits(code) != np.unpackbits(items.codes, axis=1)).sum(1)
    if not rerank:
        return sorted((int(d), i) for i, d in enumerate(distances))[:k]
    radius = next((d for d in range(65) if (distances <= d).sum() >= max(k, LEAST)), 64)
    pool = sorted((d, i) for i, d in enumerate(distances) if d <= radius)[:most]
    steps = items.features.astype(int) - np.clip(
        np.rint((features - SCALE.low) / SCALE.step), 0, 255
    ).astype(int)
    return sorted((int((steps[i] ** 2).sum()), i) for _, i in pool)[:k]


@pytest.mark.parametrize("k", [1, 36, 250, 999])
@pytest.mark.parametrize("rerank", [True, False])
def test_answers_are_those_of_a_whole_search(k, rerank):
    items = items_of(600, distinct=15)
    features = np.random.default_rng(3).uniform(-1.3, 1.8, 64).astype(np.float32)
    query = Query(items.codes[5], features, k=k, rerank=rerank)
    found = answer(memory_of(items), query)
    expected = expected_order(items, items.codes[5], features, k, rerank)
    assert [int(result.id) for result in found.results] == [i for _, i in expected]
    if rerank:
        squares = [(result.feature_distance / SCALE.step) ** 2 for result in found.results]
        np.testing.assert_allclose(squares, [square for square, _ in expected], rtol=1e-3)
    else:
        assert [result.distance for result in found.results] == [d for d, _ in expected]
        assert found.pool is None


def test_ties_say_where_the_list_is_not_complete():
    items = items_of(400, distinct=4)
    same_code = int((items.codes == items.codes[0]).all(1).sum())
    found = answer(memory_of(items), Query(items.codes[0], k=36, rerank=False))
    assert msgspec.to_builtins(found.ties) == {"distance": 0, "shown": 36, "all": same_code}
    found = answer(memory_of(items), Query(items.codes[0], k=same_code + 1, rerank=False))
    assert (found.ties.shown, found.ties.distance) == (1, found.results[-1].distance)
    assert found.ties.all > 1
    everything = answer(memory_of(items), Query(items.codes[0], k=400, rerank=False)).ties
    assert everything.shown == everything.all


def test_a_pool_beyond_the_limit_is_cut_and_says_so(monkeypatch):
    monkeypatch.setattr(search, "MOST", 100)
    items = items_of(500, distinct=1)
    found = answer(memory_of(items), Query(items.codes[0], np.zeros(64, np.float32)))
    assert msgspec.to_builtins(found.pool) == {"radius": 0, "compared": 100, "all": 500}
    expected = expected_order(items, items.codes[0], np.zeros(64), 36, True, most=100)
    assert [int(result.id) for result in found.results] == [i for _, i in expected]


def test_like_an_item_finds_the_item_first():
    items = items_of(300)
    found = answer(memory_of(items), Query(like=17))
    assert (found.results[0].id, found.results[0].feature_distance) == ("17", 0)
    assert found.code == items.codes[17].tobytes().hex()


def test_results_say_where_drawings_came_from():
    items = items_of(300)
    found = answer(memory_of(items), Query(like=17)).results[0]
    assert (found.source, found.place) == (items.sources[17], items.places[17])
    assert (found.category, found.key_id) == (items.categories[17], str(items.key_ids[17]))
    assert found.code == items.codes[17].tobytes().hex()
    xs, ys, ends = items.points_of(17).T.tolist()
    strokes = msgspec.json.decode(found.points)
    assert [x for stroke in strokes for x in stroke[0]] == xs
    assert [y for stroke in strokes for y in stroke[1]] == ys
    assert len(strokes) == sum(ends)
    assert answer(memory_of(items), Query(like=17, points=False)).results[0].points is None


def test_the_json_has_the_names_of_the_interface():
    items = items_of(300)
    found = msgspec.json.decode(msgspec.json.encode(answer(memory_of(items), Query(like=1))))
    assert [*found] == [
        "code", "categories", "results", "ties", "pool", "milliseconds", "index"
    ]  # fmt: skip
    assert [*found["results"][0]] == [
        "id", "kind", "key_id", "category", "code", "distance", "feature_distance", "source",
        "place", "points", "thumbnail",
    ]  # fmt: skip
    assert found["index"] == {"name": "test", "count": 300, "snapshot": 1, "photos": 0}


def test_what_cannot_be_answered_is_refused():
    items = items_of()
    engine, code = memory_of(items), items.codes[0]
    for query, message in (
        (Query(), "nothing to search for"),
        (Query(code, k=0), "k=0: must be from 1 to 10,000"),
        (Query(code, model="cd" * 32), "come from model cdcdcdcdcdcd"),
        (Query(like=50), "no drawing 50"),
        (Query(code, categories=["dog"]), "no category 'dog'"),
    ):
        with pytest.raises(DataError, match=message):
            answer(engine, query)
    assert answer(engine, Query(code, model=MODEL)).results
