"""The normalisations of an embedding, in numpy, on one device and on four."""

import jax
import msgspec
import numpy as np
import pytest

from sketchjax.config import architecture, default
from sketchjax.models.architecture import Architecture
from sketchjax.models.layers import Projection
from sketchjax.models.network import build
from sketchjax.models.table import EMBEDDINGS
from sketchjax.parallel import AXIS, SPLIT, WHOLE, over_devices, split

COUNT, INPUTS, WIDTH = 8, 5, 4


def inputs():
    return (np.random.default_rng(0).normal(size=(COUNT, INPUTS)) + 1).astype(np.float32)


def layer(embedding, train=False, axis_name=None):
    own = {"embedding": embedding, "train": train, "axis_name": axis_name}
    return Projection(WIDTH, use_bias=embedding != "batch_norm", **own)


def variables_of(embedding):
    """Values of our own, statistics that are not 0 and 1 among them."""
    random = np.random.default_rng(1)
    shapes = jax.eval_shape(layer(embedding).init, jax.random.key(0), inputs())
    return jax.tree.map(lambda leaf: random.uniform(0.3, 1, leaf.shape).astype(np.float32), shapes)


def projected(variables):
    own = variables["params"]
    return inputs().astype(np.float64) @ own["kernel"] + own.get("bias", 0)


def test_raw_features_are_those_of_a_dense_layer():
    own = variables_of("raw")
    assert set(own["params"]) == {"kernel", "bias"}
    found = layer("raw", True).apply(own, inputs())
    np.testing.assert_allclose(found, projected(own), rtol=1e-5)


def test_features_of_unit_length():
    own = variables_of("unit_length")
    wanted = projected(own)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    for train in (False, True):
        np.testing.assert_allclose(layer("unit_length", train).apply(own, inputs()), wanted, 1e-5)


def test_batch_normalisation_keeps_running_statistics():
    own = variables_of("batch_norm")
    assert set(own["params"]) == {"kernel"}
    outputs, kept = projected(own), own["batch_stats"]["norm"]
    found, changed = layer("batch_norm", True).apply(own, inputs(), mutable=["batch_stats"])
    wanted = (outputs - outputs.mean(0)) / np.sqrt(outputs.var(0) + 1e-5)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for name, seen in (("mean", outputs.mean(0)), ("var", outputs.var(0))):
        after = changed["batch_stats"]["norm"][name]
        np.testing.assert_allclose(after, 0.9 * kept[name] + 0.1 * seen, rtol=1e-4)
    # Encoding uses the stored ones.
    stored = (outputs - kept["mean"]) / np.sqrt(kept["var"] + 1e-5)
    np.testing.assert_allclose(layer("batch_norm").apply(own, inputs()), stored, rtol=1e-4)


def test_four_devices_share_the_statistics_of_a_batch():
    own = variables_of("batch_norm")
    wanted, changed = layer("batch_norm", True).apply(own, inputs(), mutable=["batch_stats"])

    def train(variables, part):
        return layer("batch_norm", True, AXIS).apply(variables, part, mutable=["batch_stats"])

    on_four = over_devices(train, inputs=(WHOLE, SPLIT), outputs=(SPLIT, WHOLE))
    parts, changed_on_four = on_four(own, split(inputs(), 4))
    np.testing.assert_allclose(np.reshape(parts, wanted.shape), wanted, rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        changed,
        changed_on_four,
    )


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_a_config_builds_its_embedding(embedding):
    config = default()
    config.model.head, config.model.embedding = "embedding", embedding
    network = build(architecture(config, ["cat"], 20.0), axis_name="devices")
    assert (network.layers.embedding, network.layers.axis_name) == (embedding, "devices")
    shapes = network.shapes()
    assert ("bias" in shapes["params"]["embedding"]) == (embedding != "batch_norm")
    assert ("embedding" in shapes["batch_stats"]) == (embedding == "batch_norm")


def test_a_file_of_the_default_embedding_does_not_name_it():
    """So the digests of models without one stay what they were."""
    config = default()
    assert b"embedding" not in msgspec.json.encode(architecture(config, ["cat"], 20.0))
    config.model.head, config.model.embedding = "embedding", "unit_length"
    encoded = msgspec.json.encode(architecture(config, ["cat"], 20.0))
    assert b'"embedding":"unit_length"' in encoded
    own = architecture(config, ["cat"], 20.0)
    assert msgspec.json.decode(encoded, type=Architecture) == own
