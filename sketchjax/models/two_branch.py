"""The two-branch encoder of SketchMate (CVPR 2018, section 3.2): CNN + BiGRU to a hash layer."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.alexnet import AlexNet
from sketchjax.models.bigru import BiGRU

BRANCHES = ("cnn", "rnn", "both")

# The parts of the parameters tree that each choice of branches uses.
PARTS = {
    "cnn": ("cnn", "cnn_classifier"),
    "rnn": ("rnn", "rnn_classifier"),
    "both": ("cnn", "rnn", "fusion", "hash", "classifier"),
}


class Output(NamedTuple):
    """features: f32[b d] in (0, 1), the hash layer's (None for one branch); logits: f32[b l]."""

    features: jax.Array | None
    logits: jax.Array


class TwoBranch(nn.Module):
    """CNN and RNN branch, late fusion by concatenation, sigmoid hash layer, classifier.

    Each branch has a classifier of its own, for the stages that train it alone.
    fusion_features: width of an optional dense layer between the branches and the hash layer;
    0 feeds the raw concatenation to it.
    """

    bits: int
    classes: int
    cnn: AlexNet
    rnn: BiGRU
    fusion_features: int = 0

    def setup(self):
        self.cnn_classifier = nn.Dense(self.classes)
        self.rnn_classifier = nn.Dense(self.classes)
        if self.fusion_features:
            self.fusion = nn.Dense(self.fusion_features)
        self.hash = nn.Dense(self.bits)
        self.classifier = nn.Dense(self.classes)

    def __call__(
        self,
        raster: jax.Array | None,
        sequence: jax.Array | None,
        length: jax.Array,
        *,
        branch: str = "both",
        train: bool = False,
        keys: jax.Array | None = None,
    ) -> Output:
        """raster: f[b s s 1]; sequence: f[b t 4]; length: i[b]; keys: b PRNG keys for dropout.

        branch: `cnn` or `rnn` trains that one alone (the other's input may be None), `both` is
        the hashing network.
        """
        parts = []
        if branch != "rnn":
            assert raster is not None, f"branch {branch} needs the raster"
            parts.append(self.cnn(raster, train=train, keys=keys))
        if branch != "cnn":
            assert sequence is not None, f"branch {branch} needs the sequence"
            parts.append(self.rnn(sequence, length, train=train, keys=keys))
        if branch == "cnn":
            return Output(None, self.cnn_classifier(parts[0]))
        if branch == "rnn":
            return Output(None, self.rnn_classifier(parts[0]))
        joined = jnp.concatenate(parts, axis=-1)
        if self.fusion_features:
            joined = nn.relu(self.fusion(joined))
        features = nn.sigmoid(self.hash(joined))
        return Output(features, self.classifier(features))

    def all_branches(self, raster: jax.Array, sequence: jax.Array, length: jax.Array) -> Output:
        """Run every part once, so that `init` creates all parameters."""
        self(raster, sequence, length, branch="cnn")
        self(raster, sequence, length, branch="rnn")
        return self(raster, sequence, length)
