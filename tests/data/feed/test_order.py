"""Orders of training: what stands in a batch, counted; and that any block can be asked alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.data.feed.order import BalancedOrder, Order
from sketchjax.errors import ConfigError, DataError

COUNTS = (13, 4, 30, 7, 9)  # of the sketches of classes 0, 2, 3, 5, 9
NAMES = (0, 2, 3, 5, 9)


def labels_of(counts=COUNTS, names=NAMES) -> np.ndarray:
    """Labels of a split in no order."""
    return np.random.default_rng(0).permutation(np.repeat(names, counts))


def balanced(batch=6, inner_steps=2, classes=2, key=(4,), labels=None, records=None):
    labels = labels_of() if labels is None else labels
    return BalancedOrder(
        len(labels), batch, inner_steps, key, records, labels=labels, classes=classes
    )


def batches_of(order, blocks) -> np.ndarray:
    """All batches of some blocks, i64[n b]."""
    return np.concatenate([order.indices(block) for block in range(blocks)])


@given(
    classes=st.integers(1, 5),
    each=st.integers(1, 6),
    inner_steps=st.integers(1, 2),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=30)
def test_a_batch_has_so_many_classes_with_as_many_sketches_each(classes, each, inner_steps, seed):
    labels = labels_of()
    order = balanced(classes * each, inner_steps, classes, (seed,))
    for batch in batches_of(order, 12):
        found = Counter(labels[batch].tolist())
        assert len(found) == classes
        assert set(found.values()) == {each}


def test_every_sketch_of_a_class_comes_once_before_any_comes_twice():
    """Where a round uses all classes."""
    counts, names = (13, 4, 30, 7), (0, 2, 3, 9)
    labels = labels_of(counts, names)
    batches = batches_of(balanced(labels=labels), 150)
    for name, count in zip(names, counts, strict=True):
        given = batches[labels[batches] == name]
        assert len(given) == 300 * 6 // 4
        rounds = [given[first : first + count] for first in range(0, len(given) - count, count)]
        for whole in rounds:
            assert len(set(whole.tolist())) == count
        # Anew each time: of 7! orders and more, two would hardly be the same.
        assert count < 7 or len({tuple(whole) for whole in rounds}) == len(rounds)


def test_where_classes_wait_for_the_next_round_no_sketch_comes_too_often():
    labels = labels_of()
    counts = Counter(batches_of(balanced(), 200).ravel().tolist())
    assert len(counts) == len(labels)
    for place, label in enumerate(labels.tolist()):
        # In 200 rounds a class is asked for 600 sketches, and waits in a fifth of them.
        most = 600 / COUNTS[NAMES.index(label)]
        assert 0.6 * most < counts[place] <= most + 1


def test_within_a_batch_a_sketch_is_repeated_only_from_one_shuffle_to_the_next():
    repeated = 0
    for batch in batches_of(balanced(), 100):
        counts = Counter(batch.tolist())
        assert max(counts.values()) <= 2
        repeated += max(counts.values()) == 2
    assert 0 < repeated < 40
    labels = labels_of((2, 20), (0, 1))
    taken = Counter(batches_of(balanced(12, 1, labels=labels), 1)[0].tolist())
    # 6 of a class of two: each of them three times.
    assert sorted(taken.values()) == [1] * 6 + [3, 3]


def test_classes_come_equally_often_whatever_their_size():
    """Of 5 classes, 2 a batch: two batches a round, and one class waits for the next."""
    labels, batches = labels_of(), batches_of(balanced(), 200)
    for first in range(0, 400, 2):
        seen = [set(labels[batch].tolist()) for batch in batches[first : first + 2]]
        assert not seen[0] & seen[1]
    counts = Counter(labels[batches].ravel().tolist())
    assert sum(counts.values()) == 400 * 6
    # 200 rounds of which a class misses a fifth: 160 times 3, with a deviation of 17.
    for count in counts.values():
        assert abs(count - 480) < 5 * 17
    pairs = Counter(frozenset(labels[batch].tolist()) for batch in batches)
    assert len(pairs) == 10, "each class meets each other"


def test_any_block_asked_alone_is_the_same():
    first, second = balanced(), balanced()
    in_turn = [first.indices(block) for block in range(30)]
    for block in (17, 3, 29, 0, 17):
        np.testing.assert_array_equal(second.indices(block), in_turn[block])
    other = [balanced(key=(5,)).indices(block) for block in range(30)]
    assert sum(np.array_equal(a, b) for a, b in zip(in_turn, other, strict=True)) == 0


def test_an_epoch_is_as_long_as_a_plain_one():
    order = balanced(batch=6, inner_steps=2)
    assert order.blocks_per_epoch == 63 // 12 == 5
    assert Order(63, 6, 2, (4,)).blocks_per_epoch == 5


@pytest.mark.parametrize("kind", ["plain", "balanced"])
def test_records_are_looked_up_and_change_no_order(kind):
    records = np.sort(np.random.default_rng(1).choice(1000, 63, replace=False))
    if kind == "plain":
        whole, part = Order(63, 6, 2, (4,)), Order(63, 6, 2, (4,), records)
    else:
        whole, part = balanced(), balanced(records=records)
    for block in range(8):
        np.testing.assert_array_equal(part.places(block), whole.indices(block))
        np.testing.assert_array_equal(part.indices(block), records[whole.indices(block)])


def test_a_plain_epoch_has_every_sketch_at_most_once():
    order = Order(63, 6, 2, (4,))
    epochs = [
        np.concatenate([order.indices(5 * epoch + block).ravel() for block in range(5)])
        for epoch in range(3)
    ]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 60
        assert set(epoch.tolist()) <= set(range(63))
    assert not np.array_equal(epochs[0], epochs[1])


def test_more_classes_than_there_are_and_less_than_a_block():
    with pytest.raises(ConfigError, match="classes_per_batch=6, but 5 classes have"):
        balanced(batch=12, classes=6)
    balanced(batch=10, classes=5)
    with pytest.raises(DataError, match="63 training sketches, less than one block of 8 batches"):
        balanced(batch=8, inner_steps=8)
