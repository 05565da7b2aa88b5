"""ONNX graphs against the networks that they are written from."""

import numpy as np
import pytest
from random_models import GRU, TOWER, all_drawings, architecture_of, save_random

import sketchjax
from sketchjax.export.onnx_encoder import OnnxEncoder
from sketchjax.models.architecture import Drawing

ALEXNET = {"cnn": {"kind": "alexnet", **TOWER}, "rnn": GRU}
BACKBONE = {"dropout": 0.0, "pretrained": "", "frozen_norm": False}

MODELS = {
    "alexnet and bigru": (ALEXNET, {}),
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
        {"cnn": {"kind": "shufflenet_v2", "times": "0.5", **BACKBONE}, "rnn": GRU},
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


@pytest.fixture(scope="module", params=MODELS)
def both(request, tmp_path_factory):
    """A model in jax and in onnxruntime."""
    encoders, fields = MODELS[request.param]
    own = architecture_of(encoders, **fields)
    path = save_random(tmp_path_factory.mktemp("model") / "model.safetensors", own)
    return sketchjax.load(path), OnnxEncoder.load(path)


def test_outputs_are_those_of_jax(both):
    model, encoder = both
    drawings = all_drawings()
    wanted, found = model.outputs(drawings), encoder.outputs(drawings)
    assert len(np.unique(wanted.codes.packed, axis=0)) > 8
    np.testing.assert_array_equal(found.codes.packed, wanted.codes.packed)
    assert found.codes == wanted.codes
    np.testing.assert_allclose(found.features, wanted.features, atol=2e-5)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=2e-5)
    assert found.features.dtype == found.probabilities.dtype == np.float32
