"""ONNX graphs, and the encoder that runs them, against the networks that they are written from."""

import numpy as np
import pytest
from random_models import (
    GRU,
    POINTS,
    TOWER,
    GraphRunner,
    all_drawings,
    architecture_of,
    save_random,
)

import sketchjax
from sketchjax.errors import DataError
from sketchjax.export.onnx_encoder import OnnxEncoder
from sketchjax.export.onnx_graph import GRAPHS, VIEWS, check_exportable, encoder_graph
from sketchjax.models import efficientnet_lite, resnet, shufflenet, torch_resnet
from sketchjax.models.architecture import Drawing
from sketchjax.models.card import Card, read_model_file
from sketchjax.models.table import ENCODERS
from sketchjax.retrieval.drawings import as_sketches

ALEXNET = {"cnn": {"kind": "alexnet", **TOWER}, "rnn": GRU}
LITE_STAGES = efficientnet_lite.STAGES
BACKBONE = {"dropout": 0.0, "pretrained": "", "frozen_norm": False}

MODELS = {
    "alexnet and bigru": (ALEXNET, {}),
    "mirrored, posterior": (ALEXNET, {"head": "posterior", "mirrored": True}),
    "without normalisation": (
        {"cnn": {"kind": "alexnet", **TOWER, "batch_norm": False, "stem_stride": 1}},
        {"fusion_features": 20},
    ),
    "sketch_a_net, posterior": (
        {"cnn": {"kind": "sketch_a_net", **TOWER, "stem_stride": 1}},
        {"head": "posterior"},
    ),
    "linen's gru, signs": (
        {"rnn": {**GRU, "layers": 1, "implementation": "linen"}},
        {"head": "sign_hash"},
    ),
    "resnet50, embedding": (
        {"cnn": {"kind": "resnet50", **TOWER}},
        {"head": "embedding", "embedding": "batch_norm"},
    ),
    "shufflenet_v2, unit length": (
        {
            "cnn": {"kind": "shufflenet_v2", "times": "0.5", "stem_stride": 1, **BACKBONE},
            "rnn": GRU,
        },
        {"head": "embedding", "embedding": "unit_length", "fusion_features": 16},
    ),
    "torch_resnet 18": ({"cnn": {"kind": "torch_resnet", "depth": "18", **BACKBONE}}, {}),
    "efficientnet_lite": (
        {"cnn": {"kind": "efficientnet_lite", "size": 0, "drop_path": 0.2, **BACKBONE}},
        {},
    ),
    "dsh_sketch": (
        {
            "one": {"kind": "dsh_sketch", "width": 0.05},
            "two": {"kind": "dsh_sketch", "width": 0.05, "pooled": True},
        },
        {"drawing": Drawing(60, 2.0, 30.0)},
    ),
}


class Both:
    """A model in jax, its graph, and what `sketchjax` runs on a CPU without jax."""

    def __init__(self, path):
        self.model, self.encoder = sketchjax.load(path), OnnxEncoder.load(path)
        self.graph = GraphRunner(encoder_graph(*read_model_file(path)))

    def check(self, drawings):
        """Compare all outputs: codes exactly, numbers up to the rounding of a deep network."""
        wanted, found = self.model.outputs(drawings), self.encoder.outputs(drawings)
        codes = wanted.codes.packed
        assert len(np.unique(codes, axis=0)) > 4
        assert found.codes == wanted.codes
        assert found.features.dtype == found.probabilities.dtype == np.float32
        drawn_by_the_graph = self.graph.of(drawings)
        np.testing.assert_array_equal(drawn_by_the_graph[0], codes)
        largest = max(1, np.abs(wanted.features).max())
        for features, shares in (drawn_by_the_graph[1:], (found.features, found.probabilities)):
            np.testing.assert_allclose(features, wanted.features, atol=1e-4 * largest)
            np.testing.assert_allclose(shares, wanted.probabilities, atol=1e-4)


@pytest.fixture(scope="module", autouse=True)
def few_blocks():
    """Blocks of each sort in each place, but few that are alike: a third to trace and compile."""
    lite = [(2 if number == 1 else 1, *own) for number, (_, *own) in enumerate(LITE_STAGES)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(efficientnet_lite, "STAGES", tuple(lite))
        patch.setattr(resnet, "STAGES", ((2, 64), (1, 128), (1, 256)))
        patch.setattr(shufflenet, "BLOCKS", (2, 1, 2))
        patch.setitem(torch_resnet.BLOCKS, "18", (2, 1, 1, 0))
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """AlexNet and a GRU."""
    path = tmp_path_factory.mktemp("first") / "model.safetensors"
    return Both(save_random(path, architecture_of(ALEXNET)))


@pytest.fixture(scope="module", params=MODELS)
def both(request, tmp_path_factory):
    """Each of MODELS."""
    encoders, fields = MODELS[request.param]
    if request.param == "alexnet and bigru":
        return request.getfixturevalue("first")
    own = architecture_of(encoders, **fields)
    return Both(save_random(tmp_path_factory.mktemp("model") / "model.safetensors", own))


def test_outputs_are_those_of_jax(both):
    both.check(all_drawings())


def test_a_batch_gives_what_single_drawings_give(first):
    drawings = all_drawings(2)
    together = first.encoder.outputs(drawings)
    for row in range(len(drawings)):
        own = first.encoder.outputs(drawings.points_of(row))
        np.testing.assert_array_equal(own.codes.packed[0], together.codes.packed[row])
        np.testing.assert_allclose(own.features[0], together.features[row], atol=1e-6)


def test_what_lies_in_the_padding_changes_nothing(first):
    points = np.zeros((2, POINTS, 3), np.uint8)
    points[:, :3] = [[0, 10, 0], [255, 90, 0], [30, 200, 1]]
    points[1, 3:] = 77
    for array in first.graph(points, np.full(2, 3, np.int32)):
        np.testing.assert_array_equal(array[0], array[1])


@pytest.mark.parametrize("wrong", [0, -1, -POINTS, -(2**31), POINTS + 1, 2**31 - 1])
@pytest.mark.parametrize("place", [0, 2])
def test_a_length_out_of_range_is_refused(first, wrong, place):
    """A drawing of no points would get a code."""
    points, lengths = np.zeros((3, POINTS, 3), np.uint8), np.array([1, POINTS, 3], np.int32)
    first.graph(points, lengths)
    lengths[place] = wrong
    with pytest.raises(Exception, match=f"each length must be from 1 to {POINTS}"):
        first.graph(points, lengths)


def test_bits_are_packed_from_the_low_one(first):
    codes, features, _ = first.graph.of(all_drawings(2))
    np.testing.assert_array_equal(codes, np.packbits(features > 0.5, axis=1, bitorder="little"))


def test_real_drawings_have_the_codes_of_jax(first, real_data):
    (chunk,) = sketchjax.read(real_data / "quickdraw" / "airplane.ndjson.gz", chunk=10_000)
    some = as_sketches([chunk.points_of(row) for row in range(0, len(chunk), 4)])
    assert (some.lengths > POINTS).any()
    first.check(some)


def test_graphs_are_of_encoders_that_read_strokes():
    assert {ENCODERS[kind].view for kind in GRAPHS} == VIEWS.keys()


def test_an_encoder_without_a_graph_is_named(monkeypatch):
    monkeypatch.delitem(GRAPHS, "alexnet")
    with pytest.raises(DataError, match="there is no graph of the encoder alexnet"):
        check_exportable(Card(architecture_of(ALEXNET), output="head"))
