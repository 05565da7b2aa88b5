"""Items with random codes and features, and an index of them in memory, for tests."""

from __future__ import annotations

import numpy as np

from sketchjax.index.engine import Description, Items, Scale
from sketchjax.index.memory import Memory

CATEGORIES = ("cat", "clock", "größer")
SCALE = Scale(-1.0, 0.01)
MODEL = "ab" * 32


def items_of(n=50, bits=64, features=64, seed=0, distinct=12) -> Items:
    """Items without ids, of few distinct codes, so that there are ties."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, 256, (distinct, bits // 8)).astype(np.uint8)
    lengths = random.integers(1, 9, n)
    points = random.integers(0, 256, (int(lengths.sum()), 3)).astype(np.uint8)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    points[:, 2] = 0
    points[offsets[1:] - 1, 2] = 1
    return Items(
        codes=codes[random.integers(0, distinct, n)],
        features=random.integers(0, 256, (n, features)).astype(np.uint8),
        categories=[CATEGORIES[i] for i in random.integers(0, 3, n)],
        key_ids=random.integers(0, 2**64, n, np.uint64),
        sources=[("one.ndjson", "two.bin")[i] for i in random.integers(0, 2, n)],
        places=random.integers(0, 10_000, n),
        points=points,
        offsets=offsets,
        ids=np.zeros(0, np.int64),
    )


def description_of(bits=64, features=64, **fields) -> Description:
    """Of an index that is still empty."""
    values = {"name": "test", "model": MODEL, "scale": SCALE, "count": 0, "snapshot": 0}
    return Description(bits=bits, features=features, categories={}, **(values | fields))


def memory_of(items: Items) -> Memory:
    """An index of these items, with the ids 0, 1, 2, ..."""
    description = description_of(items.codes.shape[1] * 8, items.features.shape[1])
    return Memory(description, [items.with_ids(np.arange(len(items)))])


def same(left: Items, right: Items) -> None:
    """Raise AssertionError where two sets of items differ."""
    for name in ("codes", "features", "key_ids", "places", "points", "offsets", "ids"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert [*left.categories] == [*right.categories]
    assert [*left.sources] == [*right.sources]
