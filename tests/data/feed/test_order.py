"""Orders of training: what each batch holds, and that any block can be computed by itself."""

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
def test_a_batch_has_p_classes_with_equal_sketches(classes, each, inner_steps, seed):
    labels = labels_of()
    order = balanced(classes * each, inner_steps, classes, (seed,))
    for batch in batches_of(order, 12):
        found = Counter(labels[batch].tolist())
        assert len(found) == classes
        assert set(found.values()) == {each}


def test_a_class_uses_all_sketches_before_repeating():
    """If a round uses all classes."""
    counts, names = (13, 4, 30, 7), (0, 2, 3, 9)
    labels = labels_of(counts, names)
    batches = batches_of(balanced(labels=labels), 150)
    for name, count in zip(names, counts, strict=True):
        given = batches[labels[batches] == name]
        assert len(given) == 300 * 6 // 4
        rounds = [given[first : first + count] for first in range(0, len(given) - count, count)]
        for whole in rounds:
            assert len(set(whole.tolist())) == count
        # Shuffled again each time: among at least 7! orders, two are hardly ever the same.
        assert count < 7 or len({tuple(whole) for whole in rounds}) == len(rounds)


def test_waiting_classes_repeat_no_sketch_too_often():
    labels = labels_of()
    counts = Counter(batches_of(balanced(), 200).ravel().tolist())
    assert len(counts) == len(labels)
    for place, label in enumerate(labels.tolist()):
        # 200 rounds ask a class for 600 sketches; it waits in a fifth of them.
        most = 600 / COUNTS[NAMES.index(label)]
        assert 0.6 * most < counts[place] <= most + 1


def test_a_batch_repeats_a_sketch_only_between_shuffles():
    repeated = 0
    for batch in batches_of(balanced(), 100):
        counts = Counter(batch.tolist())
        assert max(counts.values()) <= 2
        repeated += max(counts.values()) == 2
    assert 0 < repeated < 40
    labels = labels_of((2, 20), (0, 1))
    taken = Counter(batches_of(balanced(12, 1, labels=labels), 1)[0].tolist())
    # 6 sketches of a class of two: each of them three times.
    assert sorted(taken.values()) == [1] * 6 + [3, 3]


def test_classes_occur_equally_often_at_any_size():
    """5 classes, 2 per batch: two batches per round, and one class waits for the next."""
    labels, batches = labels_of(), batches_of(balanced(), 200)
    for first in range(0, 400, 2):
        seen = [set(labels[batch].tolist()) for batch in batches[first : first + 2]]
        assert not seen[0] & seen[1]
    counts = Counter(labels[batches].ravel().tolist())
    assert sum(counts.values()) == 400 * 6
    # A class misses a fifth of 200 rounds: 160 times 3 sketches, with a deviation of 17.
    for count in counts.values():
        assert abs(count - 480) < 5 * 17
    pairs = Counter(frozenset(labels[batch].tolist()) for batch in batches)
    assert len(pairs) == 10, "each class meets each other"


def test_any_block_can_be_computed_by_itself():
    first, second = balanced(), balanced()
    in_turn = [first.indices(block) for block in range(30)]
    for block in (17, 3, 29, 0, 17):
        np.testing.assert_array_equal(second.indices(block), in_turn[block])
    other = [balanced(key=(5,)).indices(block) for block in range(30)]
    assert sum(np.array_equal(a, b) for a, b in zip(in_turn, other, strict=True)) == 0


def test_a_balanced_epoch_is_as_long_as_a_plain_one():
    order = balanced(batch=6, inner_steps=2)
    assert order.blocks_per_epoch == 63 // 12 == 5
    assert Order(63, 6, 2, (4,)).blocks_per_epoch == 5


@pytest.mark.parametrize("kind", ["plain", "balanced"])
def test_records_do_not_change_the_order(kind):
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


def test_too_many_classes_or_too_few_sketches_are_refused():
    with pytest.raises(ConfigError, match=r"sampler\.classes=6: only 5 classes have"):
        balanced(batch=12, classes=6)
    balanced(batch=10, classes=5)
    with pytest.raises(DataError, match="63 training sketches, fewer than one block of 8 batches"):
        balanced(batch=8, inner_steps=8)


def test_the_balanced_order_never_changes():
    """Runs of earlier versions resume in their order; these values are from the first version."""
    labels = np.repeat(np.arange(3), (2, 4, 6))
    order = BalancedOrder(12, 4, 1, (7, 1), labels=labels, classes=2)
    batches = [order.indices(block)[0].tolist() for block in range(5)]
    assert batches == [[1, 0, 2, 3], [4, 5, 9, 7], [11, 8, 1, 0], [0, 1, 8, 11], [10, 7, 0, 1]]


def test_too_few_items_go_by_their_name():
    with pytest.raises(DataError, match="there are 28 training photos, fewer than one block"):
        Order(28, 16, 2, (0,), items="photos")
