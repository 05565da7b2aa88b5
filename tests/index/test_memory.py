"""The index in memory: adding, deleting, and snapshots that stay as they are."""

import dataclasses
import threading

import numpy as np
import pytest
from drawings_and_codes import CATEGORIES, description_of, items_of, memory_of, same

from sketchjax.errors import DataError
from sketchjax.index.memory import Memory


def nearest(snapshot, item, k=10, features=True, categories=None):
    """The ids of the items nearest to one item."""
    found = snapshot.nearest(
        item.codes[0],
        item.features[0] if features else None,
        k,
        least=max(k, 20),
        most=1_000,
        categories=categories,
    )
    return found.ids.tolist()


def test_items_come_back_as_they_were_given():
    items = items_of().with_ids(np.arange(50))
    same(memory_of(items).snapshot().get(range(50)), items)


def test_added_items_get_new_ids_and_come_back():
    engine, more = memory_of(items_of()), items_of(30, seed=1)
    for first in (50, 80, 110):  # the last one fits into what the second one reserved
        ids = engine.add(more)
        assert ids.tolist() == list(range(first, first + 30))
        same(engine.snapshot().get(ids.tolist()), more.with_ids(ids))
    assert engine.snapshot().describe().count == 140


def test_an_index_can_begin_empty():
    engine = Memory(description_of(24, 3))
    assert nearest(engine.snapshot(), items_of(1, 24, 3)) == []
    items = items_of(5, 24, 3)
    engine.add(items)
    same(engine.snapshot().get(range(5)), items.with_ids(np.arange(5)))


def test_deleted_items_are_not_found_and_their_ids_not_used_again():
    items = items_of()
    engine = memory_of(items)
    assert engine.delete([7, 49, 7, 1_000, -1]) == 2
    assert engine.delete([7]) == 0
    state = engine.snapshot().describe()
    assert (state.count, sum(state.categories.values())) == (48, 48)
    assert not {7, 49} & {*nearest(engine.snapshot(), items, 100)}
    with pytest.raises(DataError, match="no drawing 49 in the index"):
        engine.snapshot().get([3, 49])
    assert engine.add(items_of(1)).tolist() == [50]


def test_a_snapshot_does_not_change():
    items = items_of(400)
    engine = memory_of(items)
    before = engine.snapshot()
    expected = nearest(before, items, 400, features=False)
    engine.delete(range(0, 400, 3))
    middle = engine.snapshot()
    expected_middle = nearest(middle, items, 400, features=False)
    engine.add(items)
    engine.delete(range(1, 400, 3))
    assert nearest(before, items, 400, features=False) == expected
    assert nearest(middle, items, 400, features=False) == expected_middle
    same(before.get(range(400)), items.with_ids(np.arange(400)))
    numbers = [own.describe().snapshot for own in (before, middle, engine.snapshot())]
    assert numbers == sorted({*numbers})


def test_compaction_changes_no_answer():
    items = items_of(400)
    engine = memory_of(items)
    engine.delete(range(0, 400, 3))
    before, expected = engine.snapshot(), nearest(engine.snapshot(), items, 400)
    kept = engine.snapshot().get(expected)
    assert engine.compact() == 134
    for snapshot in (before, engine.snapshot()):
        assert nearest(snapshot, items, 400) == expected
        same(snapshot.get(expected), kept)
    assert len(engine.snapshot().ids) == 266
    assert engine.snapshot().describe().categories == before.describe().categories
    more = items_of(30, seed=1)
    ids = engine.add(more).tolist()
    assert ids == list(range(400, 430))
    same(engine.snapshot().get([*ids, *expected])[range(30)], more.with_ids(np.arange(400, 430)))
    assert engine.delete([3, 4, 405]) == 2
    assert engine.compact() == 2


def test_searches_during_changes_see_whole_batches():
    """Each added batch has one code, and so does its delete: a search sees all of it or nothing."""
    empty = Memory(description_of())
    batch = items_of(60, distinct=1)
    stop, wrong = threading.Event(), []

    def look():
        while not stop.is_set():
            snapshot = empty.snapshot()
            found = nearest(snapshot, batch, 5_000, features=False)
            if len(found) % 60 or len(found) != snapshot.describe().count:
                wrong.append(len(found))
            snapshot.get(found)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        ids = empty.add(batch)
        empty.add(batch)
        empty.delete(ids.tolist())
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert empty.snapshot().describe().count == 25 * 60


def test_categories_limit_what_is_found():
    items = items_of(300)
    snapshot = memory_of(items).snapshot()
    found = nearest(snapshot, items, 300, categories=["cat", "größer"])
    assert {*found} == {i for i, name in enumerate(items.categories) if name != "clock"}
    assert nearest(snapshot, items, 300, categories=[]) == []
    with pytest.raises(DataError, match="no category 'clok'; did you mean 'clock'"):
        nearest(snapshot, items, categories=["clok"])


def test_the_description_counts_categories():
    items = items_of(100)
    counts = memory_of(items).snapshot().describe().categories
    assert counts == {name: items.categories.count(name) for name in sorted(CATEGORIES)}
    assert [*counts] == sorted(counts)


def test_other_widths_and_reading_only_are_refused():
    engine = memory_of(items_of())
    for other, message in ((items_of(2, 32), "32 bits"), (items_of(2, 64, 5), "5 features")):
        with pytest.raises(DataError, match=message):
            engine.add(other)
        with pytest.raises(DataError, match=message):
            nearest(engine.snapshot(), other)
    closed = Memory(description_of(), read_only=True)
    for change in (lambda: closed.add(items_of(1)), lambda: closed.delete([0])):
        with pytest.raises(DataError, match="reading only"):
            change()


def named(names):
    """An item of each of these categories."""
    return dataclasses.replace(items_of(len(names)), categories=[*names])


def test_an_index_has_at_most_65535_categories():
    names = [f"name {number}" for number in range(65_536)]
    engine = Memory(description_of())
    with pytest.raises(DataError, match="at most 65,535 categories; divide the drawings"):
        engine.add(named(names))
    engine.add(named(names[:-1]))
    with pytest.raises(DataError, match="at most 65,535 categories"):
        engine.add(named(names[-1:]))
    engine.add(named(names[:3]))
    last = nearest(engine.snapshot(), named(names[:1]), 70_000, categories=[names[65_534]])
    assert last == [65_534]
    assert engine.snapshot().describe().count == 65_535 + 3


def test_ids_of_more_than_64_bits_are_not_there():
    engine = memory_of(items_of())
    for id_ in (-1, 50, 1 << 63, 10**20, -(10**20)):
        with pytest.raises(DataError, match=f"there is no drawing {id_} in the index"):
            engine.snapshot().get([3, id_])
    assert engine.delete([10**20, 3, -(10**20), 1 << 63]) == 1


def test_a_category_is_found_in_any_spelling():
    names = ["hot dog", "cat", "Zebra Fish", "Hot_Dog"]
    engine = Memory(description_of())
    item = named(names)
    engine.add(item)
    snapshot = engine.snapshot()
    for spelling, id_ in (("CAT", 1), ("hot%20dog", 0), ("Hot_Dog", 3), ("Zebra  Fish ", 2)):
        assert nearest(snapshot, item, categories=[spelling]) == [id_]
    with pytest.raises(DataError, match=r"no category 'ZEBRA'; did you mean 'Zebra Fish'\?$"):
        nearest(snapshot, item, categories=["ZEBRA"])
    with pytest.raises(DataError, match=r"no category 'umbrella'$"):
        nearest(snapshot, item, categories=["umbrella"])
