"""The head of posterior codes against loops, and what it starts from."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from test_network_outputs import CLASSES, dense, encoded, layers, variables, views

from sketchjax.errors import ConfigError
from sketchjax.models.posterior import Posterior, dither
from sketchjax.ops.codebook import codebook

BITS = 16
KIND = (("cnn", "rnn"), 0, "posterior", BITS)


def head_of(bits=BITS):
    """The parts of a network with this head, as they start."""
    network = layers(("rnn",), 0, "posterior", bits)
    start = nn.init(lambda bound: bound(views()), network)
    return jax.jit(start)(jax.random.key(0))["params"]


def mean_codewords(logits, codewords, temperature):
    """Each sketch's mean codeword, class by class and bit by bit."""
    means = np.zeros((len(logits), codewords.shape[1]))
    for row, scores in enumerate(np.asarray(logits, np.float64) / temperature):
        powers = [np.exp(score - scores.max()) for score in scores]
        for bit in range(codewords.shape[1]):
            for power, codeword in zip(powers, codewords, strict=True):
                means[row, bit] += power / sum(powers) * codeword[bit]
    return means


def test_features_are_mean_codewords_minus_thresholds():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 5)).astype(np.float32)
    own = {
        "codebook": codebook(5, BITS).astype(np.float32),
        "thresholds": dither(BITS, 0.7, 3),
        "temperature": np.float32(0.6),
    }
    found = Posterior(BITS).apply({"params": own}, logits)
    wanted = mean_codewords(logits, own["codebook"], 0.6) - own["thresholds"]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_classifier_reads_what_the_encoders_give():
    kept = variables(*KIND)
    own = kept["params"] | {
        "posterior": {
            "codebook": codebook(CLASSES, BITS).astype(np.float32),
            "thresholds": dither(BITS, 0.8),
            "temperature": np.float32(1.5),
        }
    }
    output = jax.jit(layers(*KIND).apply)(kept | {"params": own}, views())
    joined = np.concatenate([encoded(name, own) for name in KIND[0]], 1)
    logits = dense(own["classifier"], joined)
    np.testing.assert_allclose(output.logits, logits, rtol=1e-4, atol=1e-5)
    wanted = mean_codewords(logits, own["posterior"]["codebook"], 1.5) - dither(BITS, 0.8)
    np.testing.assert_allclose(output.features, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(output.features, output.activations)


def test_the_network_has_the_parts_of_this_head():
    own = variables(*KIND)["params"]
    assert own.keys() == {
        *("cnn", "cnn_classifier", "rnn", "rnn_classifier", "classifier", "posterior")
    }
    assert own["posterior"]["codebook"].shape == (CLASSES, BITS)
    assert layers(*KIND).head_parts() == ("posterior", "classifier")


def test_it_starts_with_the_best_codebook_and_spread_thresholds():
    own = head_of()["posterior"]
    np.testing.assert_array_equal(own["codebook"], codebook(CLASSES, BITS))
    np.testing.assert_allclose(np.sort(own["thresholds"]), np.linspace(-0.75, 0.75, BITS))
    assert own["temperature"] == 1


def test_thresholds_are_even_and_in_the_seed_s_order():
    thresholds = dither(64, 0.9, 1)
    gaps = np.diff(np.sort(thresholds))
    np.testing.assert_allclose(gaps, 2 * 0.9 / 64, rtol=1e-4)
    assert thresholds.sum() == pytest.approx(0, abs=1e-5)
    assert (np.diff(thresholds) < 0).sum() > 16  # shuffled
    assert (thresholds == dither(64, 0.9, 1)).all()
    assert (thresholds != dither(64, 0.9, 2)).any()


def test_too_few_words_for_the_classes_are_refused():
    with pytest.raises(ConfigError, match="no codebook of 3 different words of 1 bits"):
        head_of(bits=1)
