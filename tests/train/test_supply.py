"""The two feeds of training: the same batches, wherever the sketches are kept."""

from contextlib import nullcontext

import jax
import numpy as np
import pytest

from sketchjax.config import default, stage_rows
from sketchjax.data.feed.items import StrokeItems
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources import doodles as synthetic
from sketchjax.errors import NotFiniteError
from sketchjax.train import stages, supply
from sketchjax.train.feed import ResidentFeed, StreamFeed
from sketchjax.train.split import TrainingSplit
from sketchjax.train.supply import Supply

POINTS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("data")
    synthetic.write(home / "in", per_category=60, seed=3, categories=["cat", "clock", "face"])
    convert([home / "in"], home / "out", shards=3, workers=1, progress=False)
    return home / "out"


def silent(name, total):
    return nullcontext(lambda count: None)


def split_of(folder, *unseen) -> TrainingSplit:
    manifest = Manifest.load(folder)
    return TrainingSplit(folder, manifest, np.isin(manifest.categories, unseen))


def both(folder, position, unseen=(), classes=0):
    """A stream and a resident feed of one order: batches of 8, blocks of 3 of them."""
    split = split_of(folder, *unseen)
    order = split.order(8, 3, (4,), classes=classes)
    held = supply.read_resident(folder, silent, split.records)
    return (
        StreamFeed(StrokeItems(folder, "train", POINTS), order, workers=0, position=position),
        ResidentFeed(held, order, points=POINTS, position=position),
    )


@pytest.mark.parametrize(
    "position, unseen, classes",
    [(0, (), 0), (5, (), 0), (23, (), 0), (3, ("clock",), 0), (3, (), 2), (23, ("cat",), 2)],
)
def test_both_feeds_give_the_same_batches(folder, position, unseen, classes):
    """Over the end of an epoch (5 blocks), on four devices."""
    stream, resident = both(folder, position, unseen, classes)
    load, labels = jax.jit(resident.load), set()
    for blocks in (2, 3):
        wanted, items = stream.take(blocks), resident.take(blocks)
        assert wanted.inputs.points.shape == (4, blocks, 3, 2, POINTS, 3)
        for at in np.ndindex(4, blocks, 3):
            found = load(resident.held, jax.tree.map(lambda leaf, at=at: leaf[at], items))
            given = jax.tree.map(lambda leaf, at=at: leaf[at], wanted)
            assert jax.tree.structure(found) == jax.tree.structure(given)
            jax.tree.map(np.testing.assert_array_equal, found, given)
        assert stream.position == resident.position
        # From [devices m k b/devices] to the labels of each batch.
        for batch in np.moveaxis(wanted.label, 0, 2).reshape(blocks * 3, 8):
            labels |= set(batch.tolist())
            if classes:
                assert np.unique(batch, return_counts=True)[1].tolist() == [4, 4]
    categories = Manifest.load(folder).categories
    assert {categories[label] for label in labels} == set(categories) - set(unseen)


def test_only_what_takes_part_is_held(folder):
    split = split_of(folder, "clock")
    held = supply.read_resident(folder, silent, split.records)
    with Shards(folder, "train") as shards:
        records = shards.read(np.arange(len(shards)))
    kept = [n for n in range(len(records.labels)) if records.labels[n] != 1]
    assert held.label.tolist() == records.labels[kept].tolist()
    wanted = [records.points[records.offsets[n] : records.offsets[n + 1]] for n in kept]
    np.testing.assert_array_equal(held.points, np.concatenate(wanted))
    assert np.diff(held.offset).tolist() == [len(points) for points in wanted]


def test_a_resident_split_is_the_split(folder):
    held = supply.read_resident(folder, silent)
    with Shards(folder, "train") as shards:
        records = shards.read(np.arange(len(shards)))
    np.testing.assert_array_equal(held.points, records.points)
    np.testing.assert_array_equal(held.offset, records.offsets)
    np.testing.assert_array_equal(held.label, records.labels)


def test_reading_in_parts_changes_nothing(folder, monkeypatch):
    whole = supply.read_resident(folder, silent)
    monkeypatch.setattr(supply, "READ", 7)
    for a, b in zip(whole, supply.read_resident(folder, silent), strict=True):
        np.testing.assert_array_equal(a, b)


def test_auto_takes_what_fits_and_says_so(folder, monkeypatch):
    needed = 3 * len(supply.read_resident(folder, silent).points) + 8 * len(Shards(folder, "train"))
    for free, kind, chosen in (
        (4 * needed, "auto", "resident"),
        (4 * needed - 1, "auto", "stream"),
        (needed, "resident", "resident"),
        (needed - 1, "resident", "stream"),
        (10 * needed, "stream", "stream"),
    ):
        monkeypatch.setattr(supply, "free_memory", lambda free=free: free)
        found, line = supply.choose(kind, Manifest.load(folder))
        assert found == chosen
        assert line.startswith(f"feed: {chosen}, ")
        assert ("do not fit" in line) == (kind != "stream" and chosen == "stream")
        assert "kB of strokes" in line


def test_free_memory_is_a_share_of_the_machines():
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 1e8 < supply.free_memory() * jax.local_device_count() <= total


class Silent:
    """A reporter that shows nothing."""

    task = staticmethod(silent)


def supply_of(folder, tmp_path, kind="auto", unseen=(), classes=0):
    """The supply of a run, and its stages."""
    config = default()
    config.data.points, config.data.feed = POINTS, kind
    config.train.batch_size, config.train.inner_steps = 8, 3
    for name in config.plan:
        config.stages[name].sampler.classes = classes
    plan = stages.plan(config, lambda *_: (), (), lambda row: 5)
    splits = {"sketch": split_of(folder, *unseen)}
    return Supply(config, folder, splits, tmp_path, Silent()), plan


def test_each_stage_and_each_detour_has_its_own_order(folder, tmp_path):
    run, plan = supply_of(folder, tmp_path)
    orders = [
        tuple(run.feed(stage, position=0, detour=detour).order.indices(0).ravel())
        for stage in plan
        for detour in (0, 1)
    ]
    assert len(set(orders)) == 10


@pytest.mark.parametrize("kind", ["stream", "resident"])
def test_a_stage_trains_with_balanced_batches_of_what_takes_part(folder, tmp_path, kind):
    run, plan = supply_of(folder, tmp_path, kind, unseen=("face",), classes=2)
    feed = run.feed(plan[0], position=0, detour=0)
    assert isinstance(feed, StreamFeed if kind == "stream" else ResidentFeed)
    with Shards(folder, "train") as shards:
        labels = shards.read(feed.order.indices(2).ravel()).labels.reshape(3, 8)
    for batch in labels:
        assert np.unique(batch, return_counts=True)[1].tolist() == [4, 4]
    assert set(labels.ravel().tolist()) == {0, 1}
    assert run.order(plan[0].row).blocks_per_epoch == run.split.size // 24
    if kind == "resident":
        assert len(feed.held.label) == run.split.size


def test_stages_may_have_batches_of_their_own(folder, tmp_path):
    """One balanced stage among plain ones, with the same run."""
    run, _ = supply_of(folder, tmp_path)
    run.config.stages.joint.sampler.classes = 2
    kinds = {row.name: type(run.order(row)).__name__ for row in stage_rows(run.config)}
    assert kinds == {
        **dict.fromkeys(("cnn", "rnn", "center", "full"), "Order"),
        "joint": "BalancedOrder",
    }


def test_the_sketches_of_a_bad_batch_are_named(folder, tmp_path):
    run, _ = supply_of(folder, tmp_path, "stream")
    error = NotFiniteError("stage cnn, step 3: bad")
    assert run.with_sketches(error) is error
    error.records = np.array([5, 0, 7, 9])
    message = str(run.with_sketches(error))
    with Shards(folder, "train") as shards:
        records = shards.read(error.records)
        names = [shards.manifest.categories[label] for label in records.labels]
    assert message.startswith("stage cnn, step 3: bad; its sketches: ")
    assert f"{records.key_ids[0]} ({names[0]})" in message
    lines = (tmp_path / "not_finite.csv").read_text().splitlines()
    assert lines[0] == "key_id,category,record"
    assert lines[3] == f"{records.key_ids[2]},{names[2]},7"
    assert len(lines) == 5
