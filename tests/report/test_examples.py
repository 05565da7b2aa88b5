"""The examples of a report against the records, looked up one by one."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources import doodles as synthetic
from sketchjax.report import examples
from sketchjax.report.examples import entropy_example, example_retrievals, retrievals_of
from sketchjax.retrieval import metrics
from sketchjax.retrieval.codes import Codes

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


def codes_of(folder: Path, split: str, rng: np.random.Generator) -> Codes:
    """Random codes of 16 bits of all sketches of a split, in random order."""
    records, _ = records_of(folder, split)
    order = rng.permutation(len(records.labels))
    packed = rng.integers(0, 256, (len(order), 2)).astype(np.uint8)
    return Codes(packed, records.labels[order], records.key_ids[order], order, split)


@pytest.mark.parametrize("block", [1, 7, 65_536])
@pytest.mark.parametrize("category", ["", "cat", "not there"])
def test_the_entropy_example_is_one_category_in_three_parts(folder, monkeypatch, block, category):
    monkeypatch.setattr(examples, "BLOCK", block)
    example = entropy_example(folder, category=category, shown=4)
    manifest = Manifest.load(folder)
    label = manifest.categories.index(example.category)
    widths = np.array(manifest.entropy_high) - np.array(manifest.entropy_low)
    assert example.category == "cat" if category == "cat" else label == widths.argmax()
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


def test_the_entropy_example_reads_its_split_in_blocks(folder, monkeypatch):
    monkeypatch.setattr(examples, "BLOCK", 10)
    sizes, read = [], Shards.read

    def watched(shards: Shards, indices: np.ndarray):
        sizes.append(len(indices))
        return read(shards, indices)

    monkeypatch.setattr(Shards, "read", watched)
    entropy_example(folder, shown=4)
    train = Manifest.load(folder).counts["train"]
    assert max(sizes) <= 10
    assert sum(sizes[: -(-train // 10)]) == train
    assert sum(sizes) <= train + 3 * 4, "beyond that only what is shown is read"


@pytest.mark.parametrize(("shown", "retrieved"), [(3, 5), (1, 1), (50, 1000)])
def test_retrievals_are_the_nearest_by_code_with_their_classes(folder, shown, retrieved):
    names = Manifest.load(folder).categories
    rng = np.random.default_rng(0)
    gallery, queries = codes_of(folder, "gallery", rng), codes_of(folder, "query", rng)
    points = {split: records_of(folder, split)[1] for split in ("gallery", "query")}
    scores = metrics.evaluate(
        queries.packed, queries.labels, gallery.packed, gallery.labels, bits=16
    )
    found = example_retrievals(folder, queries, gallery, scores, shown=shown, retrieved=retrieved)
    assert 1 <= len(found) <= shown
    rows = {points["query"][place].tobytes(): row for row, place in enumerate(queries.places)}
    bits = {codes.split: np.unpackbits(codes.packed, axis=1) for codes in (gallery, queries)}
    asked = set()
    for retrieval in found:
        row = rows[retrieval.query_points.tobytes()]
        asked.add(row)
        assert retrieval.query_category == names[queries.labels[row]]
        distances = (bits["gallery"] != bits["query"][row]).sum(1)
        order = np.argsort(distances, kind="stable")[:retrieved]
        assert [n.distance for n in retrieval.results] == distances[order].tolist()
        for neighbour, place in zip(retrieval.results, order, strict=True):
            wanted = points["gallery"][gallery.places[place]]
            np.testing.assert_array_equal(neighbour.points, wanted)
            assert neighbour.category == names[gallery.labels[place]]
            assert neighbour.correct == (gallery.labels[place] == queries.labels[row])
    assert len(asked) == len(found), "no query is shown twice"


def test_the_queries_shown_are_at_even_steps_of_the_ranking(folder):
    rng = np.random.default_rng(1)
    gallery, queries = codes_of(folder, "gallery", rng), codes_of(folder, "query", rng)
    precision = rng.random(len(queries.labels))
    scores = SimpleNamespace(query=np.arange(len(precision)), average_precision=precision)
    found = example_retrievals(folder, queries, gallery, scores, shown=3, retrieved=2)
    best_first = np.argsort(-precision)
    chosen = best_first[(np.array([0.1, 0.525, 0.95]) * (len(precision) - 1)).astype(int)]
    wanted = retrievals_of(folder, queries, gallery, chosen, 2)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one.query_points, other.query_points)


def test_a_split_among_itself_shows_no_query_as_its_own_neighbour(folder):
    own = codes_of(folder, "gallery", np.random.default_rng(2))
    own = dataclasses.replace(own, packed=np.zeros_like(own.packed))  # ties: the own item is late
    chosen = np.arange(len(own.labels))
    found = retrievals_of(folder, own, own, chosen, 3)
    for row, retrieval in enumerate(found):
        others = [place for place in range(4) if place != row][:3]
        shown = [points.tobytes() for points in (n.points for n in retrieval.results)]
        points = records_of(folder, "gallery")[1]
        assert shown == [points[own.places[place]].tobytes() for place in others]
