"""The examples of a report against the records, looked up one by one."""

from pathlib import Path

import numpy as np
import pytest

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources import doodles as synthetic
from sketchjax.report.examples import entropy_example, example_retrievals
from sketchjax.retrieval import metrics
from sketchjax.retrieval.encode import Encoded

SPLITS = {"train": 0.5, "validation": 0.0, "gallery": 0.4, "query": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("data")
    synthetic.write(home / "in", per_category=60, seed=3, categories=["cat", "clock", "face"])
    convert([home / "in"], home / "out", splits=SPLITS, shards=2, workers=1, progress=False)
    return home / "out"


def records_of(folder: Path, split: str):
    with Shards(folder, split) as shards:
        records = shards.read(np.arange(len(shards)))
    points = np.split(records.points, records.offsets[1:-1])
    return records, points


def test_the_entropy_example_is_one_category_in_three_parts(folder):
    example, manifest = entropy_example(folder, shown=4), Manifest.load(folder)
    label = manifest.categories.index(example.category)
    widths = np.array(manifest.entropy_high) - np.array(manifest.entropy_low)
    assert label == widths.argmax()
    records, points = records_of(folder, "train")
    own = np.flatnonzero(records.labels == label)
    np.testing.assert_array_equal(example.entropies, records.entropies[own])
    entropy = {points[i].tobytes(): records.entropies[i] for i in own}
    for part, within in (
        (example.low_tail, lambda value: value < example.low),
        (example.middle, lambda value: example.low <= value <= example.high),
        (example.high_tail, lambda value: value > example.high),
    ):
        assert 1 <= len(part) <= 4
        assert all(within(entropy[sketch.tobytes()]) for sketch in part)
    assert len(example.middle) == 4


@pytest.mark.parametrize(("queries", "retrieved"), [(3, 5), (1, 1), (50, 1000)])
def test_retrievals_are_the_nearest_by_code_with_their_classes(folder, queries, retrieved):
    names = Manifest.load(folder).categories
    rng = np.random.default_rng(0)
    encoded, codes, points = {}, {}, {}
    for split in ("gallery", "query"):
        records, points[split] = records_of(folder, split)
        order = rng.permutation(len(records.labels))  # the places need not be in order
        codes[split] = rng.integers(0, 256, (len(order), 2)).astype(np.uint8)
        encoded[split] = Encoded(
            np.zeros((len(order), 16)), records.labels[order], records.labels[order], order
        )
    gallery, query = encoded["gallery"], encoded["query"]
    scores = metrics.evaluate(
        codes["query"], query.labels, codes["gallery"], gallery.labels, bits=16
    )
    found = example_retrievals(
        folder,
        codes,
        scores,
        gallery,
        query,
        queries=queries,
        retrieved=retrieved,
        asked="query",
    )
    assert 1 <= len(found) <= queries
    queries_by_points = {points["query"][i].tobytes(): n for n, i in enumerate(query.index)}
    bits = {split: np.unpackbits(codes[split], axis=1) for split in codes}
    asked = set()
    for retrieval in found:
        number = queries_by_points[retrieval.query_points.tobytes()]
        asked.add(number)
        assert retrieval.query_category == names[query.labels[number]]
        distances = (bits["gallery"] != bits["query"][number]).sum(1)
        order = np.argsort(distances, kind="stable")[:retrieved]
        assert [n.distance for n in retrieval.results] == distances[order].tolist()
        for neighbour, place in zip(retrieval.results, order, strict=True):
            wanted = points["gallery"][gallery.index[place]]
            np.testing.assert_array_equal(neighbour.points, wanted)
            assert neighbour.category == names[gallery.labels[place]]
            assert neighbour.correct == (gallery.labels[place] == query.labels[number])
    assert len(asked) == len(found), "no query is shown twice"
