"""Which sketches of the training split take part, compared with the records one by one."""

import numpy as np
import pytest

from sketchjax.data.feed import items
from sketchjax.data.feed.order import BalancedOrder, Order
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources import doodles as synthetic
from sketchjax.errors import ConfigError, DataError
from sketchjax.train.split import TrainingSplit

NAMES = ("cat", "clock", "face", "sun")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("data")
    synthetic.write(home / "in", per_category=30, seed=3, categories=list(NAMES))
    convert([home / "in"], home / "out", shards=2, workers=1, progress=False)
    return home / "out"


def split_of(folder, *unseen) -> TrainingSplit:
    manifest = Manifest.load(folder)
    return TrainingSplit(folder, manifest, np.isin(manifest.categories, unseen))


def labels_of(folder) -> list[int]:
    with Shards(folder, "train") as shards:
        return [int(shards.read(np.array([record])).labels[0]) for record in range(len(shards))]


@pytest.mark.parametrize("unseen", [(), ("clock",), ("cat", "sun")])
def test_size_and_records_are_those_of_the_other_categories(folder, unseen, monkeypatch):
    monkeypatch.setattr(items, "READ", 7)  # labels are read in parts
    split = split_of(folder, *unseen)
    categories = Manifest.load(folder).categories
    wanted = [
        record for record, label in enumerate(labels_of(folder)) if categories[label] not in unseen
    ]
    assert split.size == len(wanted) > 40
    if unseen:
        assert split.records is not None
        assert split.records.tolist() == wanted
    else:
        assert split.records is None


@pytest.mark.parametrize("unseen", [(), ("clock", "face")])
def test_a_plain_order_gives_every_sketch_that_takes_part(folder, unseen):
    split = split_of(folder, *unseen)
    order = split.order(5, 1, (3,), classes=0)
    assert type(order) is Order
    blocks = order.blocks_per_epoch
    given = np.concatenate([order.indices(block).ravel() for block in range(8 * blocks)])
    assert len(np.unique(given[: 5 * blocks])) == 5 * blocks
    everyone = np.arange(split.size) if split.records is None else split.records
    assert set(given.tolist()) == set(everyone.tolist())


@pytest.mark.parametrize("unseen", [(), ("clock",)])
def test_a_balanced_order_has_the_labels_of_what_takes_part(folder, unseen):
    split, labels = split_of(folder, *unseen), np.array(labels_of(folder))
    order = split.order(8, 2, (3,), classes=2)
    assert isinstance(order, BalancedOrder)
    kept_out = [split.manifest.categories.index(name) for name in unseen]
    met = set()
    for block in range(20):
        for batch in order.indices(block):
            found, counts = np.unique(labels[batch], return_counts=True)
            assert counts.tolist() == [4, 4]
            assert not set(found) & set(kept_out)
            met |= set(found)
    assert len(met) == 4 - len(unseen)


def test_too_few_sketches_or_classes_are_refused(folder):
    split = split_of(folder, "cat", "sun")
    with pytest.raises(ConfigError, match=r"sampler\.classes=4: only 2 classes"):
        split.order(8, 1, (), classes=4)
    with pytest.raises(DataError, match=f"there are {split.size} training sketches"):
        split.order(split.size + 1, 1, (), classes=0)
