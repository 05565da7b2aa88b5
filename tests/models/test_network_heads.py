"""Networks of one encoder, and every kind of head, in numpy."""

import jax
import numpy as np
import pytest
from test_network_outputs import BITS, CLASSES, FUSION, dense, encoded, layers, variables, views

from sketchjax.models.table import HEADS

WIDTH = 10
# Encoders, fusion features, head, width -> the parts of the network.
PARTS = {
    (("cnn",), 0, "hash", BITS): {"cnn", "cnn_classifier", "hash", "classifier"},
    (("rnn",), FUSION, "hash", BITS): {"rnn", "rnn_classifier", "fusion", "hash", "classifier"},
    (("cnn",), FUSION, "features", WIDTH): {
        *("cnn", "cnn_classifier", "fusion", "features", "classifier")
    },
    (("rnn",), 0, "sign_hash", BITS): {"rnn", "rnn_classifier", "sign_hash", "classifier"},
    (("rnn",), 0, "embedding", BITS): {"rnn", "rnn_classifier", "embedding", "classifier"},
    (("cnn", "rnn"), 0, "features", WIDTH): {
        *("cnn", "cnn_classifier", "rnn", "rnn_classifier", "features", "classifier")
    },
}
KINDS = pytest.mark.parametrize("kind", PARTS, ids=lambda kind: "-".join(map(str, kind)))
ACTIVATIONS = {
    "hash": lambda x: 1 / (1 + np.exp(-x)),
    "sign_hash": lambda x: 1 / (1 + np.exp(-x)),
    "features": lambda x: np.maximum(x, 0),
    "embedding": lambda x: x,
}


def given(kind):
    """What a network of these encoders reads; the rest is not drawn."""
    wanted = {view for _, view, _ in layers(*kind).encoders}
    return {view: arrays for view, arrays in views().items() if view in wanted}


def apply(kind, output="head", **settings):
    """Compiled, with the variables of that kind."""

    def run(kept, views):
        return layers(*kind).apply(kept, views, output, **settings)

    return jax.jit(run)(variables(*kind), given(kind))


def fused(kind) -> np.ndarray:
    """What the head reads, from the modules of the encoders."""
    own = variables(*kind)["params"]
    joined = np.concatenate([encoded(name, own) for name in kind[0]], 1)
    return np.maximum(dense(own["fusion"], joined), 0) if kind[1] else joined


def test_every_head_is_tested():
    after_classifier = {name for name, head in HEADS.items() if head.of_posterior}
    assert {head for _, _, head, _ in PARTS} == set(ACTIVATIONS) == set(HEADS) - after_classifier
    assert after_classifier == {"posterior"}  # test_posterior.py


@KINDS
def test_a_network_has_exactly_the_parts_that_it_uses(kind):
    own = variables(*kind)["params"]
    assert set(own) == PARTS[kind]
    assert own["classifier"]["kernel"].shape == (kind[3], CLASSES)
    parts = layers(*kind).parts_of((*kind[0], "head"), "head")
    assert {*parts} == {part for part in PARTS[kind] if not part.endswith("_classifier")}


@KINDS
def test_the_head_reads_the_encoders_that_there_are(kind):
    own = variables(*kind)["params"]
    activations = dense(own[kind[2]], fused(kind))
    features = ACTIVATIONS[kind[2]](activations)
    output = apply(kind)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(output.activations, activations, **close)
    np.testing.assert_allclose(output.features, features, **close)
    read = np.where(activations > 0, 1, -1) if kind[2] == "sign_hash" else features
    np.testing.assert_allclose(output.logits, dense(own["classifier"], read), **close)
    # On both sides of 0, or a rectifier and a sigmoid would be hard to tell from others.
    assert activations.min() < -0.1 < 0.1 < activations.max()


@KINDS
def test_the_fused_features_are_what_the_head_reads(kind):
    found = apply(kind, fused_only=True)
    np.testing.assert_allclose(found, fused(kind), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cnn", "rnn"])
def test_a_network_of_one_encoder_can_train_only_that(name):
    kind = ((name,), 0, "hash", BITS)
    output = apply(kind, name)
    assert output.features is output.activations is None
    own = variables(*kind)["params"]
    wanted = dense(own[f"{name}_classifier"], encoded(name, own))
    np.testing.assert_allclose(output.logits, wanted, rtol=1e-4, atol=1e-5)


def test_signs_pass_the_gradient_of_the_logits_to_the_activations():
    """As if the classifier read the activations: that is GreedyHash's gradient."""
    kind = (("rnn",), 0, "sign_hash", BITS)
    own = variables(*kind)["params"]

    def total(layer):
        output = layers(*kind).apply({"params": own | {"sign_hash": layer}}, given(kind), "head")
        return (output.logits * np.arange(1.0, CLASSES + 1, dtype=np.float32)).sum()

    found = jax.jit(jax.grad(total))(own["sign_hash"])
    into = own["classifier"]["kernel"] @ np.arange(1.0, CLASSES + 1)
    wanted = fused(kind).sum(0)[:, None] * into
    np.testing.assert_allclose(found["kernel"], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["bias"], len(fused(kind)) * into, rtol=1e-4)
