"""Whole passes over a data folder: all of a split, in order, whatever it is read for."""

from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.inputs import Form
from sketchjax.data.sources import doodles
from sketchjax.models.network import Output
from sketchjax.retrieval.passes import Passes

POINTS, BATCH = 24, 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("data")
    doodles.write(home / "in", per_category=40, seed=3, categories=["cat", "clock", "face"])
    splits = {"train": 0.5, "gallery": 0.4, "query": 0.1}
    convert([home / "in"], home / "out", splits=splits, shards=2, workers=1, progress=False)
    return home / "out"


class Length:
    """In a network's place: the feature of a sketch is its length, its class the first x."""

    calls = 0

    def apply(self, variables, inputs, output):
        Length.calls += 1
        length = inputs.length[:, None].astype(jnp.float32) * variables
        logits = jax.nn.one_hot(inputs.points[:, 0, 0] % 7, 7)
        return Output(logits, None if output == "cnn" else length)


def passes(folder, **settings) -> tuple[Passes, list]:
    """Passes of that network, and what they showed of their progress."""
    shown = []

    @contextmanager
    def task(name, total):
        shown.append((name, total))
        yield lambda count: shown.append(count)

    manifest = Manifest.load(folder)
    network = Length()
    forms = {"sketch": Form("strokes", POINTS)}
    made = Passes(network, folder, manifest, batch=BATCH, forms=forms, task=task, **settings)
    return made, shown


@pytest.fixture(scope="module")
def records(folder):
    """The gallery's records, read by themselves."""
    with Shards(folder, "gallery") as shards:
        return shards.read(np.arange(len(shards)))


def test_a_pass_encodes_every_sketch_once_and_in_order(folder, records):
    own, shown = passes(folder)
    found = own.encode(2.0, "gallery")
    lengths = np.minimum(np.diff(records.offsets), POINTS)
    np.testing.assert_array_equal(found.features[:, 0], 2.0 * lengths)
    np.testing.assert_array_equal(found.predictions, records.points[records.offsets[:-1], 0] % 7)
    np.testing.assert_array_equal(found.labels, records.labels)
    np.testing.assert_array_equal(found.key_ids, records.key_ids)
    np.testing.assert_array_equal(found.entropy, records.entropies)
    np.testing.assert_array_equal(found.places, np.arange(len(lengths)))
    assert shown[0] == ("encoding gallery", len(lengths))
    assert sum(shown[1:]) == len(lengths)
    assert max(shown[1:]) == BATCH > shown[-1], "the last step is not full"


def test_an_output_is_compiled_once_for_all_passes(folder):
    own, _ = passes(folder)
    before = Length.calls
    for variables in (1.0, 2.0):
        for split in ("gallery", "query"):
            own.encode(np.float32(variables), split)
    assert Length.calls == before + 1
    own.encode(np.float32(1.0), "query", "cnn")
    assert Length.calls == before + 2
    assert set(own.encoders) == {"head", "cnn"}


def test_features_are_left_out_where_they_are_not_wanted(folder):
    own, _ = passes(folder)
    every, some = own.encode(1.0, "query"), own.encode(1.0, "query", features=False)
    assert some.features.shape == (len(every.labels), 0)
    assert every.features.shape == (len(every.labels), 1)
    np.testing.assert_array_equal(some.predictions, every.predictions)
    assert own.encode(1.0, "query", "cnn").features.shape == (len(every.labels), 0)


def test_parts_without_features_hold_no_memory_of_them(folder, monkeypatch):
    own, _ = passes(folder)
    parts = []
    monkeypatch.setattr("sketchjax.retrieval.passes.concatenate", lambda given: parts.extend(given))
    own.encode(1.0, "gallery", features=False)
    assert len(parts) > 2
    assert all(part.features.base is None for part in parts)


def test_a_pass_may_be_named_and_ended(folder):
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError

    own, shown = passes(folder, check=check)
    with pytest.raises(InterruptedError):
        list(own.stream(1.0, "gallery", name="centres"))
    assert shown[0][0] == "centres"
    assert shown[1:] == [BATCH], "of the second part nothing is shown"
