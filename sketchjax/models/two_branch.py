"""The two-branch encoder of SketchMate (CVPR 2018, section 3.2): CNN + BiGRU to a hash layer."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.bigru import BiGRU

BRANCHES = ("cnn", "rnn", "whole")

# What stands after the branches.
HEAD = ("fusion", "hash", "recognition", "classifier")

# The parts of the parameters tree that each choice uses, as far as a network has them.
PARTS = {
    "cnn": ("cnn", "cnn_classifier"),
    "rnn": ("rnn", "rnn_classifier"),
    "whole": ("cnn", "rnn", *HEAD),
}


class Output(NamedTuple):
    """features: f32[b d], of the hash layer in (0, 1), None for one branch alone; logits: f32[b l];
    activations: f32[b d], the features before their sigmoid or rectifier.
    """

    features: jax.Array | None
    logits: jax.Array
    activations: jax.Array | None = None


class TwoBranch(nn.Module):
    """CNN and RNN branch, late fusion by concatenation, sigmoid hash layer, classifier.

    cnn, rnn: None leaves a branch out. Each has a classifier of its own, for the stages that train
    it alone.
    fusion_features: width of an optional dense layer between the branches and the hash layer;
    0 feeds the raw concatenation to it.
    recognition_features: width of a rectified dense layer in place of the hash layer, for a network
    that recognises and does not hash (section 4.4); 0: the hash layer.
    """

    bits: int
    classes: int
    cnn: nn.Module | None
    rnn: BiGRU | None
    fusion_features: int = 0
    recognition_features: int = 0

    @property
    def width(self) -> int:
        """d, of the features that the classifier reads."""
        return self.recognition_features or self.bits

    def setup(self):
        if self.cnn is not None:
            self.cnn_classifier = nn.Dense(self.classes)
        if self.rnn is not None:
            self.rnn_classifier = nn.Dense(self.classes)
        if self.fusion_features:
            self.fusion = nn.Dense(self.fusion_features)
        if self.recognition_features:
            self.recognition = nn.Dense(self.recognition_features)
        else:
            self.hash = nn.Dense(self.bits)
        self.classifier = nn.Dense(self.classes)

    def __call__(
        self,
        raster: jax.Array | None,
        sequence: jax.Array | None,
        length: jax.Array,
        *,
        branch: str = "whole",
        train: bool = False,
        keys: jax.Array | None = None,
    ) -> Output:
        """raster: f[b s s 1]; sequence: f[b t 4]; length: i[b]; keys: b PRNG keys for dropout.

        branch: `cnn` or `rnn` trains that one alone (the other's input may be None), `whole` is
        the hashing network.
        """
        parts = []
        if branch != "rnn" and self.cnn is not None:
            assert raster is not None, f"branch {branch} needs the raster"
            parts.append(self.cnn(raster, train=train, keys=keys))
        if branch != "cnn" and self.rnn is not None:
            assert sequence is not None, f"branch {branch} needs the sequence"
            parts.append(self.rnn(sequence, length, train=train, keys=keys))
        if branch == "cnn":
            return Output(None, self.cnn_classifier(parts[0]))
        if branch == "rnn":
            return Output(None, self.rnn_classifier(parts[0]))
        fused = self._fused(parts)
        if self.recognition_features:
            activations = self.recognition(fused)
            features = nn.relu(activations)
        else:
            activations = self.hash(fused)
            features = nn.sigmoid(activations)
        return Output(features, self.classifier(features), activations)

    def _fused(self, parts: list[jax.Array]) -> jax.Array:
        joined = jnp.concatenate(parts, axis=-1)
        return nn.relu(self.fusion(joined)) if self.fusion_features else joined

    def fusion_layer(
        self, raster: jax.Array | None, sequence: jax.Array | None, length: jax.Array
    ) -> jax.Array:
        """What the hash layer reads, f32[b f]: the deep features of table 2."""
        parts = []
        if self.cnn is not None:
            parts.append(self.cnn(raster))
        if self.rnn is not None:
            assert sequence is not None, "the RNN branch needs the sequence"
            parts.append(self.rnn(sequence, length))
        return self._fused(parts)

    def all_branches(self, raster: jax.Array, sequence: jax.Array, length: jax.Array) -> Output:
        """Run every part once, so that `init` creates all parameters."""
        for branch, module in (("cnn", self.cnn), ("rnn", self.rnn)):
            if module is not None:
                self(raster, sequence, length, branch=branch)
        return self(raster, sequence, length)
