"""The network: encoders, a head over all of them, and a classifier for each output.

An output is what a stage's losses read: `head`, or an encoder's name for that encoder's classifier.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.data.inputs import Strokes
from sketchjax.models.architecture import Architecture
from sketchjax.models.layers import Projection
from sketchjax.models.posterior import Posterior
from sketchjax.models.table import CLASSIFIER, EMBEDDINGS, ENCODERS, FUSION, HEAD, HEADS
from sketchjax.models.views import VIEWS
from sketchjax.ops.augment import augment
from sketchjax.ops.dropout import dropout
from sketchjax.ops.signs import signs, straight_through

# Folded into the keys, as encoders fold in the numbers of their layers: a number none of them has.
_HEAD_DROPOUT = 1 << 16

ACTIVATIONS: dict[str, Callable] = {"sigmoid": nn.sigmoid, "relu": nn.relu, "": lambda x: x}


class Output(NamedTuple):
    """What the losses of a stage read.

    logits: f32[b l].
    features: f32[b d] of the head; None for a single encoder.
    activations: f32[b d], the features before the head's nonlinearity, but after the normalisation
      of an embedding; None for a single encoder.
    """

    logits: jax.Array
    features: jax.Array | None = None
    activations: jax.Array | None = None


class Layers(nn.Module):
    """The trainable layers; each encoder, head layer and classifier is a part of its own name.

    encoders: (name, view, maker) of each, in the order in which the head reads them; maker(name=)
      makes the module.
    head: a row of HEADS.
    width: d, the head's features.
    classes: l.
    fusion_features: width of a dense layer between encoders and head; 0: none.
    embedding: how the head's activations are normalised, of EMBEDDINGS.
    dropout: of what the head reads, in training.
    axis_name: the devices' axis for the batch statistics of an embedding; None for one device.
    """

    encoders: tuple[tuple[str, str, Callable[..., nn.Module]], ...]
    head: str
    width: int
    classes: int
    fusion_features: int = 0
    embedding: str = EMBEDDINGS[0]
    axis_name: str | None = None
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        views: Mapping[str, tuple[jax.Array, ...]],
        output: str = HEAD,
        train: bool = False,
        keys: jax.Array | None = None,
        fused_only: bool = False,
    ) -> Any:
        """The output of these layers, or with fused_only what the head reads, f32[b f].

        views: by name, those that this output's encoders read.
        output: `head` or an encoder's name.
        train: whether batch normalisation uses the statistics of the batch.
        keys: b PRNG keys for dropout, one per sketch; None: no dropout.
        fused_only: stop in front of the head.
        """
        encoded = {
            name: make(name=name)(*views[view], train=train, keys=keys)
            for name, view, make in self.encoders
            if output in (HEAD, name)
        }
        if output != HEAD:
            classify = nn.Dense(self.classes, name=f"{output}_{CLASSIFIER}")
            return Output(classify(encoded[output]))
        fused = jnp.concatenate(list(encoded.values()), axis=-1)
        if self.fusion_features:
            fused = nn.relu(nn.Dense(self.fusion_features, name=FUSION)(fused))
        if fused_only:
            return fused
        if keys is not None and self.dropout:
            own_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, _HEAD_DROPOUT)
            fused = dropout(fused, self.dropout, own_keys)
        if HEADS[self.head].of_posterior:
            logits = nn.Dense(self.classes, name=CLASSIFIER)(fused)
            features = Posterior(self.width, name=self.head)(logits)
            return Output(logits, features, features)
        activations = Projection(
            self.width,
            use_bias=self.embedding != "batch_norm",  # which would subtract it again
            embedding=self.embedding,
            axis_name=self.axis_name,
            train=train,
            name=self.head,
        )(fused)
        features = ACTIVATIONS[HEADS[self.head].activation](activations)
        read = features
        if HEADS[self.head].classifies_signs:
            read = straight_through(signs(activations), activations)
        logits = nn.Dense(self.classes, name=CLASSIFIER)(read)
        return Output(logits, features, activations)

    @nn.nowrap
    def parts_of(self, names: tuple[str, ...], output: str) -> tuple[str, ...]:
        """The parameters, by top-level name, that a stage trains.

        names: encoders and `head`.
        output: what its losses read; its classifier is added.
        """
        head = (FUSION, self.head) if self.fusion_features else (self.head,)
        parts = [part for name in names for part in (head if name == HEAD else (name,))]
        return *parts, CLASSIFIER if output == HEAD else f"{output}_{CLASSIFIER}"

    @nn.nowrap
    def head_parts(self) -> tuple[str, ...]:
        """The parameters of the head, by top-level name."""
        return self.parts_of((HEAD,), HEAD)


@dataclass(frozen=True)
class Network:
    """The layers with what comes before them: augmentation and the views.

    architecture: what it was built from.
    layers: the trainable part.
    augmentation: the amounts that `ops.augment.augment` takes, for training.
    """

    architecture: Architecture
    layers: Layers
    augmentation: Mapping[str, float] = field(default_factory=dict)

    def initialise(self, key: jax.Array) -> Any:
        """All parameters and batch statistics."""
        views = self.views(self.blank(), HEAD)

        def everything(layers: Layers) -> None:
            # Every output once: together they have all parameters.
            for name, _, _ in layers.encoders:
                layers(views, name)
            layers(views, HEAD)

        return nn.init(everything, self.layers)(key)

    def blank(self) -> Any:
        """Inputs of one sketch without content, which have the shapes."""
        points = np.zeros((1, self.architecture.points, 3), np.uint8)
        return Strokes.of(points, np.ones(1, np.int32))

    def augmented(self, keys: jax.Array, inputs: Any) -> Any:
        """Inputs of b sketches, changed at random by b PRNG keys."""
        return augment(keys, inputs, **self.augmentation)

    def shapes(self) -> Any:
        """Shapes and types of all parameters and batch statistics, without computing them."""
        return jax.eval_shape(self.initialise, jax.random.key(0))

    def apply(self, variables: Any, inputs: Any, output: str = HEAD) -> Output:
        """The network without augmentation and dropout.

        variables: parameters and batch statistics.
        inputs: what its encoders read, such as `Strokes` of b sketches.
        output: `head` or an encoder's name.
        """
        return cast(Output, self.layers.apply(variables, self.views(inputs, output), output))

    def fused(self, variables: Any, inputs: Any) -> jax.Array:
        """What the head reads of these inputs: the fused features f32[b f]."""
        views = self.views(inputs, HEAD)
        return cast(jax.Array, self.layers.apply(variables, views, HEAD, fused_only=True))

    def apply_in_training(
        self, variables: Any, inputs: Any, output: str, keys: jax.Array
    ) -> tuple[Output, Any]:
        """The network with augmentation and dropout; also the new batch statistics.

        variables: parameters and batch statistics.
        inputs: what its encoders read, such as `Strokes` of b sketches.
        output: `head` or an encoder's name.
        keys: b PRNG keys, one per sketch.
        """
        fold = jax.vmap(jax.random.fold_in, (0, None))
        inputs = self.augmented(fold(keys, 0), inputs)
        result, changed = self.layers.apply(
            variables,
            self.views(inputs, output),
            output,
            train=True,
            keys=fold(keys, 1),
            mutable=["batch_stats"],
        )
        return cast(Output, result), changed.get("batch_stats", {})

    def views(self, inputs: Any, output: str) -> dict[str, tuple[jax.Array, ...]]:
        """What the encoders of an output look at, each view made once.

        Raises TypeError when the inputs are not of the kind that a view reads.
        """
        wanted = dict.fromkeys(
            view for name, view, _ in self.layers.encoders if output in (HEAD, name)
        )
        for view in wanted:
            if not isinstance(inputs, VIEWS[view].reads):
                raise TypeError(
                    f"the view {view} reads {VIEWS[view].reads.__name__}, not "
                    f"{type(inputs).__name__}"
                )
        return {view: VIEWS[view].make(inputs, self.architecture.drawing) for view in wanted}


def build(
    architecture: Architecture,
    *,
    axis_name: str | None = None,
    augmentation: Mapping[str, float] | None = None,
) -> Network:
    """The network of an architecture.

    architecture: encoders, head and drawing.
    axis_name: the devices' axis, over which training takes batch statistics; None: one device.
    augmentation: amounts by name, for training; None: no augmentation.
    """
    encoders = tuple(
        (name, ENCODERS[own["kind"]].view, _maker(own, architecture.dtype, axis_name))
        for name, own in architecture.encoders.items()
    )
    layers = Layers(
        encoders,
        architecture.head,
        architecture.width,
        architecture.classes,
        architecture.fusion_features,
        architecture.embedding,
        axis_name,
        architecture.dropout,
    )
    return Network(architecture, layers, dict(augmentation or {}))


def _maker(own: Mapping[str, Any], dtype: str, axis_name: str | None) -> Callable[..., nn.Module]:
    """A function of `name` that makes an encoder's module with its settings."""
    row = ENCODERS[own["kind"]]
    file, _, name = row.module.partition(":")
    module = getattr(importlib.import_module(f"sketchjax.models.{file}"), name)
    settings = {key: value for key, value in own.items() if key != "kind"}
    known = {"dtype": jnp.dtype(dtype), "axis_name": axis_name}
    fields = module.__dataclass_fields__
    return partial(module, **settings, **{key: v for key, v in known.items() if key in fields})
