"""The network: encoders, a head over all of them, and a classifier for each output.

A network has a side of sketches, of photos, or both. The sides share the classifier of their heads
and what makes codes from its posterior, but nothing else: encoders, head layers and batch
statistics are each side's own. Only an encoder that `shares` a part reads the kernels of an encoder
of sketches. An output is what a stage's losses read of a side: `head` or `photo_head`, or an
encoder's name for that encoder's classifier.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.data.inputs import PHOTO, SIDES, SKETCH, Pictures, Strokes
from sketchjax.models.architecture import Architecture
from sketchjax.models.layers import Projection
from sketchjax.models.posterior import Posterior
from sketchjax.models.table import (
    CLASSIFIER,
    EMBEDDING,
    EMBEDDINGS,
    ENCODERS,
    FUSION,
    HEAD,
    HEADS,
    SHARES,
    SIDE_OF_HEAD,
    of_side,
)
from sketchjax.models.views import VIEWS
from sketchjax.ops.augment import augment
from sketchjax.ops.augment_pictures import augment_pictures
from sketchjax.ops.dropout import dropout
from sketchjax.ops.mirror import mean_of_mirror_images, with_mirror_images
from sketchjax.ops.signs import signs, straight_through

# Folded into the keys, as encoders fold in the numbers of their layers: a number none of them has.
_HEAD_DROPOUT = 1 << 16

ACTIVATIONS: dict[str, Callable] = {"sigmoid": nn.sigmoid, "relu": nn.relu, "": lambda x: x}


# Of an encoder: its name, its view, and what makes its module, called as maker(name=).
Made = tuple[str, str, Callable[..., nn.Module]]


class Output(NamedTuple):
    """What the losses of a stage read of a side.

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

    encoders: of sketches, in the order in which the head reads them.
    head: a row of HEADS.
    width: d, the head's features.
    classes: l.
    fusion_features: width of a dense layer between encoders and head; 0: none.
    embedding: how the head's activations are normalised, of EMBEDDINGS.
    dropout: of what the head reads, in training.
    axis_name: the devices' axis for the batch statistics of an embedding; None for one device.
    photo_encoders: of photos.
    projection: width of the embedding that the classifier of a posterior head reads; 0: none.
    """

    encoders: tuple[Made, ...]
    head: str
    width: int
    classes: int
    fusion_features: int = 0
    embedding: str = EMBEDDINGS[0]
    axis_name: str | None = None
    dropout: float = 0.0
    photo_encoders: tuple[Made, ...] = ()
    projection: int = 0

    @nn.compact
    def __call__(
        self,
        views: Mapping[str, tuple[jax.Array, ...]],
        output: str = HEAD,
        train: bool = False,
        keys: jax.Array | None = None,
        fused_only: bool = False,
        mirrored: bool = False,
    ) -> Any:
        """The output of these layers, or with fused_only what the head reads, f32[b f].

        views: by name, those that this output's encoders read.
        output: `head`, `photo_head` or an encoder's name.
        train: whether batch normalisation uses the statistics of the batch.
        keys: b PRNG keys for dropout, one per sketch; None: no dropout.
        fused_only: stop in front of the head.
        mirrored: the views hold items and after them their mirror images; what the encoders make
          of both is averaged.
        """
        encoded = {
            name: make(name=self.part_of(name))(*views[view], train=train, keys=keys)
            for name, view, make in self.encoders_of(output)
        }
        if mirrored:
            encoded = jax.tree.map(mean_of_mirror_images, encoded)
        if output not in SIDE_OF_HEAD:
            return self.classified(output, encoded)
        if self.is_initializing():  # all parameters of a side, with each encoder traced once
            for name in encoded:
                self.classified(name, encoded)
        side = SIDE_OF_HEAD[output]
        fused = jnp.concatenate(list(encoded.values()), axis=-1)
        if self.fusion_features:
            fused = nn.relu(nn.Dense(self.fusion_features, name=of_side(FUSION, side))(fused))
        if fused_only:
            return fused
        if keys is not None and self.dropout:
            own_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, _HEAD_DROPOUT)
            fused = dropout(fused, self.dropout, own_keys)
        project = partial(
            Projection,
            use_bias=self.embedding != "batch_norm",  # which would subtract it again
            embedding=self.embedding,
            axis_name=self.axis_name,
            train=train,
        )
        if HEADS[self.head].of_posterior:
            if self.projection:
                fused = project(self.projection, name=of_side(EMBEDDING, side))(fused)
            logits = nn.Dense(self.classes, name=CLASSIFIER)(fused)
            features = Posterior(self.width, name=self.head)(logits)
            return Output(logits, features, features)
        activations = project(self.width, name=of_side(self.head, side))(fused)
        features = ACTIVATIONS[HEADS[self.head].activation](activations)
        read = features
        if HEADS[self.head].classifies_signs:
            read = straight_through(signs(activations), activations)
        logits = nn.Dense(self.classes, name=CLASSIFIER)(read)
        return Output(logits, features, activations)

    @nn.nowrap
    def classified(self, encoder: str, encoded: Mapping[str, jax.Array]) -> Output:
        """What an encoder's own classifier makes of its features."""
        classify = nn.Dense(self.classes, name=f"{encoder}_{CLASSIFIER}")
        return Output(classify(encoded[encoder]))

    @property
    def sides(self) -> dict[str, tuple[Made, ...]]:
        """The encoders of each side that the network has."""
        both = {SKETCH: self.encoders, PHOTO: self.photo_encoders}
        return {side: encoders for side, encoders in both.items() if encoders}

    @nn.nowrap
    def encoders_of(self, output: str) -> tuple[Made, ...]:
        """The encoders that an output depends on."""
        if output in SIDE_OF_HEAD:
            return self.sides.get(SIDE_OF_HEAD[output], ())
        return tuple(made for made in (*self.encoders, *self.photo_encoders) if made[0] == output)

    @nn.nowrap
    def part_of(self, encoder: str) -> str:
        """The part with an encoder's parameters: its own, or that of the encoder it `shares`."""
        for name, _, make in self.photo_encoders:
            if name == encoder:
                return getattr(make, "keywords", {}).get(SHARES) or encoder
        return encoder

    @nn.nowrap
    def side_of(self, output: str) -> str:
        """The side that an output is of."""
        if output in SIDE_OF_HEAD:
            return SIDE_OF_HEAD[output]
        return PHOTO if any(name == output for name, _, _ in self.photo_encoders) else SKETCH

    @nn.nowrap
    def parts_of(self, names: tuple[str, ...], output: str) -> tuple[str, ...]:
        """The parameters, by top-level name, that a stage trains.

        names: encoders, `head` and `photo_head`.
        output: what its losses read; its classifier is added.
        """
        parts: list[str] = []
        for name in names:
            side = SIDE_OF_HEAD.get(name)
            parts += self._head_of(side) if side else [self.part_of(name)]
        parts.append(CLASSIFIER if output in SIDE_OF_HEAD else f"{output}_{CLASSIFIER}")
        return tuple(dict.fromkeys(parts))

    @nn.nowrap
    def _head_of(self, side: str) -> list[str]:
        """The parameters of a side between its encoders and the classifier, and of its codes."""
        fusion = [of_side(FUSION, side)] if self.fusion_features else []
        if not HEADS[self.head].of_posterior:
            return [*fusion, of_side(self.head, side)]
        projection = [of_side(EMBEDDING, side)] if self.projection else []
        return [*fusion, *projection, self.head]

    @nn.nowrap
    def head_parts(self) -> tuple[str, ...]:
        """The parameters of the heads of all sides, by top-level name."""
        return self.parts_of(tuple(of_side(HEAD, side) for side in self.sides), HEAD)


@dataclass(frozen=True)
class Network:
    """The layers with what comes before them: augmentation and the views.

    architecture: what it was built from.
    layers: the trainable part.
    augmentation: the amounts that `ops.augment.augment` takes, for training. Raster sketches have
      those of them that `ops.augment_pictures` knows; a photo is mirrored as its sketch is.
    photo_augmentation: of photos, the other amounts that `ops.augment_pictures` takes.
    """

    architecture: Architecture
    layers: Layers
    augmentation: Mapping[str, float] = field(default_factory=dict)
    photo_augmentation: Mapping[str, float] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return {own.name: getattr(self, own.name) for own in fields(self)}  # nothing compiled

    def initialise(self, key: jax.Array) -> Any:
        """All parameters and batch statistics."""

        def everything(layers: Layers) -> None:
            for side in layers.sides:
                head = of_side(HEAD, side)
                layers(self.views(self.blank(side), head), head)

        return nn.init(everything, self.layers)(key)

    def blank(self, side: str = SKETCH) -> Any:
        """Inputs of one item of a side without content, which have the shapes."""
        form = self.architecture.forms[side]
        if form.kind == "strokes":
            return Strokes.of(np.zeros((1, form.size, 3), np.uint8), np.ones(1, np.int32))
        whole = np.zeros((1, form.size, form.size, 3 if side == PHOTO else 1), np.uint8)
        return Pictures(whole, whole[..., :1] if form.contours else None)

    def augmented(self, keys: jax.Array, flips: jax.Array, inputs: Any, side: str = SKETCH) -> Any:
        """Inputs of b items of a side, changed at random.

        keys: b PRNG keys, one per item.
        flips: those that decide whether an item is mirrored; for a sketch and its photo the same.
        """
        if isinstance(inputs, Strokes):
            return augment(keys, inputs, **self.augmentation)
        amounts = self.photo_augmentation if side == PHOTO else self.augmentation
        return augment_pictures(
            keys, flips, inputs, flip=self.augmentation.get("flip", 0.0), amounts=amounts
        )

    def augmenting(self, times: float) -> Network:
        """The network with all amounts of augmentation multiplied."""

        def scaled(amounts: Mapping[str, float]) -> dict[str, float]:
            return {name: times * amount for name, amount in amounts.items()}

        return replace(
            self,
            augmentation=scaled(self.augmentation),
            photo_augmentation=scaled(self.photo_augmentation),
        )

    def shapes(self) -> Any:
        """Shapes and types of all parameters and batch statistics, without computing them."""
        return self._shapes

    @cached_property
    def initialiser(self) -> Any:
        """`initialise`, compiled by jax: what asks for shapes and what runs it trace it once."""
        return jax.jit(self.initialise)

    @cached_property
    def _shapes(self) -> Any:
        return self.initialiser.eval_shape(jax.random.key(0))

    def apply(self, variables: Any, inputs: Any, output: str = HEAD) -> Output:
        """The network without augmentation and dropout.

        variables: parameters and batch statistics.
        inputs: what its encoders read, such as `Strokes` of b sketches.
        output: `head`, `photo_head` or an encoder's name.
        """
        return cast(Output, self._apply(variables, inputs, output))

    def fused(self, variables: Any, inputs: Any, side: str = SKETCH) -> jax.Array:
        """What the head of a side reads of these inputs: the fused features f32[b f]."""
        return cast(jax.Array, self._apply(variables, inputs, of_side(HEAD, side), fused_only=True))

    def _apply(self, variables: Any, inputs: Any, output: str, fused_only: bool = False) -> Any:
        """The layers on these inputs, and on their mirror images where the architecture says so."""
        mirrored = self.architecture.mirrored
        views = self.views(with_mirror_images(inputs) if mirrored else inputs, output)
        return self.layers.apply(variables, views, output, fused_only=fused_only, mirrored=mirrored)

    def apply_in_training(
        self, variables: Any, inputs: Any, output: str, keys: jax.Array
    ) -> tuple[Output, Any]:
        """The network with augmentation and dropout; also the new batch statistics.

        variables: parameters and batch statistics.
        inputs: what its encoders read, such as `Strokes` of b sketches.
        output: `head`, `photo_head` or an encoder's name.
        keys: b PRNG keys, one per item. A sketch and its photo have the same, and random numbers of
          their own in all but the mirroring.
        """
        masks = 2 * SIDES.index(self.layers.side_of(output)) + 1
        result, changed = self.layers.apply(
            variables,
            self.views(self.seen_in_training(inputs, output, keys), output),
            output,
            train=True,
            keys=_fold(keys, masks),
            mutable=["batch_stats"],
        )
        return cast(Output, result), changed.get("batch_stats", {})

    def seen_in_training(self, inputs: Any, output: str, keys: jax.Array) -> Any:
        """The augmented inputs that `apply_in_training` looks at, given the same arguments."""
        side, flips = self.layers.side_of(output), _fold(keys, 0)
        own = 2 * SIDES.index(side)
        return self.augmented(_fold(keys, own) if own else flips, flips, inputs, side)

    def views(self, inputs: Any, output: str) -> dict[str, tuple[jax.Array, ...]]:
        """What the encoders of an output look at, each view made once.

        Raises TypeError when the inputs are not of the kind that a view reads.
        """
        wanted = dict.fromkeys(view for _, view, _ in self.layers.encoders_of(output))
        for view in wanted:
            if not isinstance(inputs, VIEWS[view].reads):
                known = " or ".join(kind.__name__ for kind in VIEWS[view].reads)
                raise TypeError(f"the view {view} reads {known}, not {type(inputs).__name__}")
        return {view: VIEWS[view].make(inputs, self.architecture.drawing) for view in wanted}


_fold = jax.vmap(jax.random.fold_in, (0, None))


def build(
    architecture: Architecture,
    *,
    axis_name: str | None = None,
    augmentation: Mapping[str, float] | None = None,
    photo_augmentation: Mapping[str, float] | None = None,
) -> Network:
    """The network of an architecture.

    architecture: encoders, head and drawing.
    axis_name: the devices' axis, over which training takes batch statistics; None: one device.
    augmentation, photo_augmentation: amounts by name, for training; None: no augmentation.
    """

    def made(encoders: Mapping[str, Mapping[str, Any]]) -> tuple[Made, ...]:
        return tuple(
            (name, ENCODERS[own["kind"]].view, _maker(own, architecture.dtype, axis_name))
            for name, own in encoders.items()
        )

    layers = Layers(
        made(architecture.encoders),
        architecture.head,
        architecture.width,
        architecture.classes,
        architecture.fusion_features,
        architecture.embedding,
        axis_name,
        architecture.dropout,
        made(architecture.photo_encoders),
        architecture.projection,
    )
    return Network(architecture, layers, dict(augmentation or {}), dict(photo_augmentation or {}))


def _maker(own: Mapping[str, Any], dtype: str, axis_name: str | None) -> Callable[..., nn.Module]:
    """A function of `name` that makes an encoder's module with its settings."""
    row = ENCODERS[own["kind"]]
    file, _, name = row.module.partition(":")
    module = getattr(importlib.import_module(f"sketchjax.models.{file}"), name)
    settings = {key: value for key, value in own.items() if key != "kind"}
    known = {"dtype": jnp.dtype(dtype), "axis_name": axis_name}
    fields = module.__dataclass_fields__
    return partial(module, **settings, **{key: v for key, v in known.items() if key in fields})
