"""Batches against their records: every sketch once per epoch, exact positions."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sketchjax.data.feed.batch import Batch
from sketchjax.data.feed.order import Order
from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.feed.streaming import train_feed
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.shards import Shards
from sketchjax.data.inputs import Strokes
from sketchjax.data.sources import doodles as synthetic
from sketchjax.errors import ConfigError, DataError

POINTS = 24  # many doodles are longer


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data folder of 300 doodles, 240 or so of them for training."""
    home = tmp_path_factory.mktemp("data")
    synthetic.write(home / "in", per_category=100, seed=3, categories=["cat", "clock", "face"])
    convert([home / "in"], home / "out", shards=3, workers=1, progress=False)
    return home / "out"


def plain_batch(folder: Path, split: str, indices, points: int) -> Batch:
    """The batch of some records, laid out one by one."""
    records = Shards(folder, split).read(np.arange(len(Shards(folder, split))))
    padded = np.zeros((len(indices), points, 3), np.uint8)
    length, label, index = (np.zeros(len(indices), np.int32) for _ in range(3))
    center = np.zeros((len(indices), 2), np.float32)
    for row, place in enumerate(indices):
        own = records.points[records.offsets[place] : records.offsets[place + 1]][:points].copy()
        own[-1, 2] = 1
        padded[row, : len(own)] = own
        length[row], label[row], index[row] = len(own), records.labels[place], place
        center[row] = [(int(axis.min()) + int(axis.max())) / 2 for axis in own.T[:2]]
    return Batch(Strokes(padded, length, center), label, index)


def arrays_of(batch: Batch) -> dict[str, np.ndarray]:
    return {**batch.inputs._asdict(), "label": batch.label, "index": batch.index}


def assert_same(first: Batch, second: Batch):
    for name, array in arrays_of(first).items():
        np.testing.assert_array_equal(array, arrays_of(second)[name], err_msg=name)
        assert array.dtype == arrays_of(second)[name].dtype, name


def order_of(folder: Path, batch: int, inner_steps: int = 1, seed: int = 0) -> Order:
    return Order(len(Shards(folder, "train")), batch, inner_steps, (seed,))


def test_a_batch_holds_its_sketches_cut_and_padded(folder):
    long = 0
    feed = train_feed(folder, order_of(folder, 32), points=POINTS)
    for _ in range(3):
        batch = next(feed)
        assert_same(batch, plain_batch(folder, "train", batch.index.tolist(), POINTS))
        long += int((batch.inputs.length == POINTS).sum())
    assert long > 10
    roomy = next(train_feed(folder, order_of(folder, 32), points=500))
    assert_same(roomy, plain_batch(folder, "train", roomy.index.tolist(), 500))


def test_an_epoch_has_each_sketch_at_most_once(folder):
    order = order_of(folder, 10, inner_steps=5, seed=7)
    size = len(Shards(folder, "train"))
    assert order.blocks_per_epoch == size // 50 == 4
    feed = train_feed(folder, order, points=POINTS)
    epochs = [[next(feed).index for _ in range(4)] for _ in range(5)]
    for epoch in epochs:
        assert len(np.unique(np.concatenate(epoch))) == 200
    # Every sketch occurs within a few epochs, in another order each time.
    assert len(np.unique(np.concatenate([np.concatenate(epoch) for epoch in epochs]))) == size
    orders = {tuple(np.concatenate(epoch).tolist()) for epoch in epochs}
    assert len(orders) == 5


def test_the_order_is_a_fair_shuffle(folder):
    feed = train_feed(folder, order_of(folder, 200), points=POINTS)
    firsts = np.array([next(feed).index[:100] for _ in range(60)])
    size = len(Shards(folder, "train"))
    # The mean place of a uniform draw, within five standard errors.
    error = size / np.sqrt(12 * firsts.size)
    assert abs(firsts.mean() - (size - 1) / 2) < 5 * error
    assert np.mean(np.diff(firsts, axis=1) == 1) < 0.03


def test_the_seed_decides(folder):
    first, same, other = (
        next(train_feed(folder, order_of(folder, 64, seed=seed), points=POINTS))
        for seed in (1, 1, 2)
    )
    assert_same(first, same)
    assert (first.index != other.index).any()


def test_processes_share_each_batch_in_their_order(folder):
    order = order_of(folder, 30, inner_steps=2, seed=5)
    whole = train_feed(folder, order, points=POINTS)
    parts = [
        train_feed(folder, order, points=POINTS, process_index=p, process_count=3) for p in range(3)
    ]
    for _ in range(9):
        joined = np.concatenate([next(part).index.reshape(2, 10) for part in parts], axis=1)
        np.testing.assert_array_equal(joined.ravel(), next(whole).index)


@pytest.mark.parametrize("blocks, workers", [(1, 0), (4, 2), (11, 0)])
def test_resuming_at_a_block_continues_the_feed(folder, blocks, workers):
    order = order_of(folder, 25, inner_steps=2, seed=2)
    first = train_feed(folder, order, points=POINTS)
    for _ in range(blocks):
        next(first)
    second = train_feed(folder, order, points=POINTS, first_block=blocks, workers=workers)
    with closing(second):
        for _ in range(6):
            assert_same(next(first), next(second))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"points": 0}, "points=0: must be at least 1"),
        ({"workers": -1}, "workers=-1: must be at least 0"),
        ({"process_index": 2, "process_count": 2}, "process_index=2: must be 0 to 1"),
        ({"process_count": 3}, "batch=10 does not divide over 3 processes"),
    ],
)
def test_invalid_arguments_are_refused(folder, settings, message):
    with pytest.raises(ConfigError, match=message):
        train_feed(folder, order_of(folder, 10), **{"points": 10, **settings})


def test_a_block_larger_than_the_split_is_refused():
    with pytest.raises(DataError, match="240 training sketches, fewer than one block of 5 batches"):
        Order(240, 50, 5, ())


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_a_scan_passes_once_in_order(folder, batch):
    size = len(Shards(folder, "gallery"))
    expected = plain_batch(folder, "gallery", range(size), POINTS)
    records = Shards(folder, "gallery").read(np.arange(size))
    steps = list(scan_feed(folder, "gallery", batch=batch, points=POINTS))
    assert len(steps) == -(-size // batch)
    masks = np.concatenate([step.mask for step in steps])
    assert masks.tolist() == [True] * size + [False] * (len(steps) * batch - size)
    parts = [arrays_of(step.batch) for step in steps]
    assert all(len(array) == batch for part in parts for array in part.values())
    for name, array in arrays_of(expected).items():
        joined = np.concatenate([part[name] for part in parts])[masks]
        np.testing.assert_array_equal(joined, array, err_msg=name)
    entropies, key_ids = (
        np.concatenate([getattr(step, name) for step in steps])[masks]
        for name in ("entropy", "key_id")
    )
    np.testing.assert_array_equal(entropies, records.entropies)
    np.testing.assert_array_equal(key_ids, records.key_ids)
    assert key_ids.dtype == np.uint64
    # The last batch is filled up with a real sketch: no length of 0, no label out of range.
    assert all((part["length"] > 0).all() for part in parts)


@pytest.mark.parametrize("processes", [2, 5])
def test_a_scan_over_processes_covers_the_split_once(folder, processes):
    size = len(Shards(folder, "gallery"))
    parts = [
        list(
            scan_feed(
                folder,
                "gallery",
                batch=8,
                points=POINTS,
                process_index=process,
                process_count=processes,
            )
        )
        for process in range(processes)
    ]
    assert len({len(part) for part in parts}) == 1
    order = [
        index
        for steps in zip(*parts, strict=True)
        for step in steps
        for index in step.batch.index[step.mask].tolist()
    ]
    assert order == list(range(size))


def test_a_scan_of_an_empty_split_ends_at_once(tmp_path):
    synthetic.write(tmp_path / "in", per_category=10, seed=0, categories=["cat"])
    convert([tmp_path / "in"], tmp_path / "out", splits={"train": 1.0}, workers=1, progress=False)
    assert list(scan_feed(tmp_path / "out", "query", batch=4, points=POINTS)) == []
