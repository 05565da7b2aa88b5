"""Orders of two sides: who meets whom, checked item by item."""

import pickle

import numpy as np
import pytest

from sketchjax.data.feed.pairs import Side, class_orders, match, paired_orders
from sketchjax.errors import ConfigError, DataError

PHOTOS = np.random.default_rng(1).permutation(40)


def sketches_of(photos: np.ndarray, most: int = 8) -> np.ndarray:
    """The photos that sketches draw, each up to `most` times; some are unknown, some not there."""
    rng = np.random.default_rng(0)
    drawn = np.repeat(photos, rng.integers(1, most + 1, len(photos)))
    return rng.permutation(np.concatenate([drawn, np.full(20, -1), np.full(10, 999)]))


def orders_of(sketches, photos=PHOTOS, batch=6, inner_steps=4, key=(1, 2)):
    sides = {
        "sketch": Side(sketches % 5, sketches),
        "photo": Side(photos % 5, photos, 100 + np.arange(len(photos))),
    }
    return paired_orders(sides, batch, inner_steps, key)


def test_matches_are_those_of_a_double_loop():
    sketches = sketches_of(PHOTOS)
    wanted = [
        (s, p)
        for s, drawn in enumerate(sketches.tolist())
        for p, photo in enumerate(PHOTOS.tolist())
        if drawn == photo
    ]
    assert list(zip(*(side.tolist() for side in match(sketches, PHOTOS)), strict=True)) == wanted
    assert len(match(sketches, np.full(3, -1))[0]) == 0
    assert len(match(sketches, np.zeros(0, np.int64))[0]) == 0


def test_a_batch_has_pairs_of_different_photos_and_a_block_repeats_none():
    sketches = sketches_of(PHOTOS)
    orders = orders_of(sketches)
    blocks = orders["sketch"].blocks_per_epoch
    assert blocks == orders["photo"].blocks_per_epoch
    assert blocks > 3
    for epoch in range(3):
        seen = []
        for block in range(epoch * blocks, (epoch + 1) * blocks):
            own, photos = orders["sketch"].places(block), orders["photo"].places(block)
            assert own.shape == photos.shape == (4, 6)
            np.testing.assert_array_equal(sketches[own], PHOTOS[photos])
            assert len(np.unique(photos)) == len(np.unique(own)) == 24
            np.testing.assert_array_equal(orders["photo"].indices(block), 100 + photos)
            seen += own.ravel().tolist()
        assert len(set(seen)) == len(seen) == 24 * blocks


def test_all_pairs_take_part_where_the_photos_allow_it():
    """With three sketches of each photo, an epoch is all pairs, in another order each."""
    sketches = np.repeat(PHOTOS, 3)
    orders = orders_of(sketches, batch=5, inner_steps=2)
    blocks = orders["sketch"].blocks_per_epoch
    assert blocks == 12
    given = [orders["sketch"].places(block).ravel() for block in range(5 * blocks)]
    epochs = np.reshape(given, (5, -1))
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 5
    assert all(len(np.unique(epoch)) == 120 for epoch in epochs)


def test_a_photo_that_is_drawn_often_does_not_fill_an_epoch_by_itself():
    sketches = np.concatenate([np.zeros(500, np.int64), np.arange(40)])
    orders = orders_of(sketches, batch=10, inner_steps=2)
    assert orders["sketch"].blocks_per_epoch == 2  # 2 of the 500, and 38 of the other 39
    drawn = [sketches[orders["sketch"].places(block)].ravel() for block in range(40)]
    assert all(len(np.unique(block)) == 20 for block in drawn)


def test_the_key_decides_and_a_copy_gives_the_same():
    sketches = sketches_of(PHOTOS)
    first, other = orders_of(sketches), orders_of(sketches, key=(1, 3))
    copy = pickle.loads(pickle.dumps(first))
    for block in (0, 7, 3):  # in any order: a block depends on nothing before it
        for side in ("sketch", "photo"):
            wanted = first[side].places(block)
            np.testing.assert_array_equal(wanted, copy[side].places(block))
            np.testing.assert_array_equal(wanted, orders_of(sketches)[side].places(block))
    assert (first["sketch"].places(0) != other["sketch"].places(0)).any()


def test_too_few_photos_for_a_block_are_an_error():
    with pytest.raises(
        DataError, match="draw 40 of the training photos, fewer than one block of 7"
    ):
        orders_of(sketches_of(PHOTOS), inner_steps=7)


# --- by class --------------------------------------------------------------------------------


def class_sides(sketches=120, photos=50):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 9, sketches), rng.integers(2, 11, photos)
    none = (np.full(len(own), -1) for own in labels)
    both = zip(("sketch", "photo"), labels, none, strict=True)
    return {side: Side(own, instances) for side, own, instances in both}


def test_both_sides_have_as_many_of_the_same_classes():
    sides = class_sides()
    orders = class_orders(sides, 12, 4, (5,), classes=4)
    seen = set()
    for block in range(20):
        own = {side: sides[side].labels[orders[side].places(block)] for side in sides}
        np.testing.assert_array_equal(own["sketch"], own["photo"])
        for batch in own["sketch"]:
            assert np.unique(batch, return_counts=True)[1].tolist() == [3, 3, 3, 3]
        seen |= set(own["sketch"].ravel().tolist())
    assert seen == set(range(2, 9)), "the classes of both sides, and no other"


def test_no_item_is_twice_in_a_block_while_its_class_has_others():
    sides = class_sides()
    orders = class_orders(sides, 12, 4, (5,), classes=4)
    repeated = 0
    for block in range(40):
        for side, order in orders.items():
            places, labels = order.places(block).ravel(), sides[side].labels
            for label in np.unique(labels[places]):
                drawn = places[labels[places] == label]
                assert len(np.unique(drawn)) == min(len(drawn), (labels == label).sum())
                repeated += len(drawn) > len(np.unique(drawn))
    assert repeated, "some class is too small, or the test shows nothing"


def test_more_classes_than_both_sides_have_are_an_error():
    with pytest.raises(ConfigError, match="only 7 classes have training sketches and photos"):
        class_orders(class_sides(), 16, 2, (0,), classes=8)
