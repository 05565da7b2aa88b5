"""The real sets converted, against the counts that stand beside them."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.conversion.picture_options import PictureOptions
from sketchjax.data.folder.pictures import PictureShards
from sketchjax.data.folder.shards import Shards
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sources import canonical
from sketchjax.data.sources.pictures import collect


def converted(sources: list[Path], out: Path, **options):
    options = {"progress": False, "workers": 1, "shards": 2} | options
    return convert(sources, out, **options)


@pytest.mark.parametrize(
    "name, photos, sketches, pairs",
    [
        (".", 2_493, 2_400, 2_400),
        ("pacs7", 1_336, 3_142, 2_291),
        ("shoes", 242, 717, 717),
        ("quickdraw23", 2_492, 0, 0),
    ],
)
def test_counts_are_those_of_the_set(real_data, tmp_path, name, photos, sketches, pairs):
    root = real_data / "sketch-photo" / name
    manifest = converted([root], tmp_path / "out")
    stated = Counter()
    with (real_data / "sketch-photo" / "counts.csv").open() as file:
        for row in csv.DictReader(file):
            if row["set"] == name:
                kind = {"photo": "photo", "sketch": "raster"}.get(row["kind"])
                if kind:
                    stated[kind, canonical(row["category"]), row["split"]] += int(row["count"])
    found = Counter()
    instances = {}
    for kind, pictures in manifest.pictures.items():
        for category, counts in pictures.counts_by_category.items():
            for split, count in counts.items():
                found[kind, category, "train" if split == "validation" else split] += count
        shards = [PictureShards(tmp_path / "out", kind, split) for split in SPLITS]
        instances[kind] = np.concatenate([one.instances for one in shards])
        for one in shards:
            some = np.arange(len(one))[:: max(1, len(one) // 50)]
            assert one.read(some, 64).pixels.shape[:3] == (len(some), 64, 64)
    assert +found == +stated
    assert sum(n for (kind, *_), n in found.items() if kind == "photo") == photos
    assert sum(n for (kind, *_), n in found.items() if kind == "raster") == sketches
    assert (instances["photo"] >= 0).all()
    assert len(np.unique(instances["photo"])) == photos
    if sketches:
        assert (instances["raster"] >= 0).sum() == pairs
    assert not manifest.bad
    assert not any(
        "encoded again" in note for notes in manifest.decisions.values() for note in notes
    )


def test_photos_of_quickdraw23_beside_its_drawings(real_data, tmp_path):
    names, photos = ["airplane", "ant", "apple"], real_data / "sketch-photo" / "quickdraw23"
    shared = [name for name in names if (photos / "photo" / name).is_dir()]
    assert 0 < len(shared) < 3
    files = [real_data / "quickdraw" / f"{name}.ndjson.gz" for name in (*names, "sun")]
    manifest = converted(
        [photos, *files],
        tmp_path / "out",
        splits=real_data / "splits" / "quickdraw55.csv",
        categories=names,
        photo_options=PictureOptions(both_sides=True),
    )
    assert manifest.categories == shared
    for name in shared:
        folder = photos / "photo" / name.replace(" ", "_")
        counts = manifest.pictures["photo"].counts_by_category[name]
        assert sum(counts.values()) == len(list(folder.iterdir()))
        assert manifest.counts_by_category[name]["train"] > 100
    assert (Shards(tmp_path / "out", "query").instances == -1).all()


def test_cifar10(real_data, tmp_path):
    """The whole archive is listed; every tenth picture of it is converted."""
    path = real_data / "cifar10" / "cifar10.npz"
    listed = collect(path, SPLITS, {})
    splits = Counter((listed.splits or {}).values())
    assert splits == {"train": 5_000, "gallery": 52_000, "query": 1_000}
    categories = Counter(item.category for item in listed.items.values())
    assert {*categories.values()} == {5_800}
    with np.load(path) as whole:
        arrays = dict(whole)
    edges, kept = arrays["offset"], np.arange(0, 58_000, 10)
    own = [arrays["body"][edges[k] : edges[k + 1]] for k in kept]
    few = {name: arrays[name][kept] for name in ("label", "split", "name")}
    few |= {"body": np.concatenate(own), "offset": np.cumsum([0, *map(len, own)])}
    np.savez(tmp_path / "few.npz", **arrays | few)
    manifest = converted([tmp_path / "few.npz"], tmp_path / "out")
    counts = manifest.pictures["photo"].counts
    train, gallery, query = np.bincount(few["split"])
    assert counts["train"] + counts["validation"] == train > 400
    assert (counts["gallery"], counts["query"]) == (gallery, query)
    assert 0.05 * train < counts["validation"] < 0.15 * train
    by_category = manifest.pictures["photo"].counts_by_category
    totals = [sum(by_category[name].values()) for name in arrays["categories"]]
    assert totals == np.bincount(few["label"]).tolist()
    shards = PictureShards(tmp_path / "out", "photo", "query")
    assert shards.read(np.arange(50), 32).pixels.std() > 40
