"""The classifier that posterior codes come from: the network's own, or one fitted to features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.data.inputs import SKETCH
from sketchjax.models.network import Network
from sketchjax.models.table import CLASSIFIER, FUSION
from sketchjax.ops.augment import augment
from sketchjax.retrieval.encode import Encoded, concatenate
from sketchjax.retrieval.passes import Passes
from sketchjax.run.posterior.source import Settings, Source
from sketchjax.train.classifier import LinearClassifier, fit_classifier

NEVER = -1e4  # bias of a category kept out of training: exp(NEVER / T) is 0 at any temperature T
_ROWS = 400_000  # training rows that a classifier is fitted to: 2 GB of 1,280 numbers
_TRAINING = 100_000  # training rows that codes are trained on


@dataclass(frozen=True)
class Classifier:
    """A linear classifier, what it was trained on, and what it says of the splits.

    linear: its bias is far below 0 for categories kept out of training.
    training: what codes are trained on: features f32[n f] that it reads, and labels i[n].
    splits: sketches and photos by part; their features are logits f32[n l].
    embedded: likewise, with the embeddings that the logits are of; empty for other heads.
    """

    linear: LinearClassifier
    training: tuple[np.ndarray, np.ndarray]
    splits: dict[str, Encoded]
    embedded: dict[str, Encoded] = field(default_factory=dict)


def classify(source: Source, settings: Settings, note: Callable[[str], None]) -> Classifier:
    """The classifier of a posterior head, or one fitted to what another head reads.

    note: gets what was decided, line by line.
    """
    if source.has_classifier:
        note("the codes are made from the classifier that the run has trained: none is fitted")
    if not source.embedded:
        return _of_features(source, settings, note)
    if settings.copies:
        note("pictures are read as they are: the codes are trained without augmented copies")
    return _of_embeddings(source)


def _of_embeddings(source: Source) -> Classifier:
    """The classifier that sketches and photos share, and what it says of their embeddings."""
    linear, passes = trained_classifier(source), source.passes(source.model.network)
    sides = [passes.encode(source.model.variables, part) for part in source.parts("train")]
    seen = [side[~source.unseen[side.labels]] for side in sides]
    rows, labels = (np.concatenate([getattr(s, of) for s in seen]) for of in ("features", "labels"))
    embedded = {part: passes.encode(source.model.variables, part) for part in source.classified}
    splits = {part: classified(every, linear) for part, every in embedded.items()}
    return Classifier(linear, rows_for_codes(rows, labels, 0), splits, embedded)


def _of_features(source: Source, settings: Settings, note: Callable[[str], None]) -> Classifier:
    """A classifier of the fused features of strokes, the network's own where it has one."""
    passes = source.passes(source.model.network)
    rows, labels, _ = training_rows(source, settings, passes, note)
    if source.has_classifier:
        linear = trained_classifier(source)
    else:
        linear = fit_linear(rows, labels, source.unseen, settings.epochs, settings.seed)
    splits = {}
    for part in source.classified:
        some = passes.stream(source.model.variables, part, FUSION)
        splits[part] = concatenate(classified(each, linear) for each in some)
    return Classifier(linear, rows_for_codes(rows, labels, settings.copies), splits)


def rows_for_codes(
    rows: np.ndarray, labels: np.ndarray, copies: int
) -> tuple[np.ndarray, np.ndarray]:
    """At most 100,000 rows f32[m f], evenly taken, and their labels i[m].

    Of the copies, where there are any: the classifier is much surer of the drawings themselves than
    of drawings that it has not seen.
    rows: f32[n f], labels: i[n]: drawings, then as many of each copy.
    """
    first = -(-len(rows) // (1 + copies)) if copies else 0
    rows, labels = rows[first:], labels[first:]
    every = -(-len(rows) // _TRAINING)
    return rows[::every], labels[::every]


def trained_classifier(source: Source) -> LinearClassifier:
    """The classifier of a network that has one (`Source.has_classifier`).

    One fitted to the features is a little more accurate, but codes made from it rank no better.
    """
    own = jax.device_get(source.model.variables["params"][CLASSIFIER])
    return LinearClassifier(
        np.where(source.unseen, 0, own["kernel"]), np.where(source.unseen, NEVER, own["bias"])
    )


def fit_linear(
    rows: np.ndarray, labels: np.ndarray, unseen: np.ndarray, epochs: int, seed: int
) -> LinearClassifier:
    """A linear classifier of the categories trained on.

    rows: f32[n f]; labels: i[n]; unseen: bool[l].
    """
    seen = np.flatnonzero(~unseen)
    numbers = np.full(len(unseen), -1)
    numbers[seen] = np.arange(len(seen))
    kernel = np.zeros((rows.shape[1], len(unseen)), np.float32)
    bias = np.full(len(unseen), NEVER, np.float32)
    kernel[:, seen], bias[seen] = fit_classifier(
        rows, numbers[labels], len(seen), epochs=epochs, seed=seed
    )
    return LinearClassifier(kernel, bias)


def classified(sketches: Encoded, classifier: LinearClassifier) -> Encoded:
    """Sketches or photos with logits f32[n l] in place of features, and their predictions."""
    logits = np.asarray(_logits(classifier, sketches.features))
    return replace(sketches, features=logits, predictions=logits.argmax(1).astype(np.int32))


class _Varied(Network):
    """A network that augments what it fuses.

    Its variables have one collection more: {"copy": {"number": i32[]}}. A sketch's changes depend
    on that number and its own points, not on its batch.
    """

    def fused(self, variables: Any, inputs: Any, side: str = SKETCH) -> jax.Array:
        key = jax.random.key(variables["copy"]["number"])
        points = inputs.points.astype(jnp.uint32).reshape(len(inputs.points), -1)
        # Any fingerprint will do: multiples of an odd number, which overflow.
        weights = np.arange(points.shape[1], dtype=np.uint32) * np.uint32(0x9E3779B1) | 1
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, (points * weights).sum(1))
        return super().fused(variables, augment(keys, inputs, **self.augmentation), side)


def training_rows(
    source: Source, settings: Settings, passes: Passes, note: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fused features f32[n f] of the training split and its copies, labels i[n], entropy f32[n].

    passes: of the source's own network.
    note: gets what was decided, line by line.
    """
    model = source.model
    total = source.manifest.counts["train"] * (1 + settings.copies)
    every = -(-total // _ROWS)
    if every > 1:
        note(
            f"the classifier is fitted to one in {every} of {total:,} training sketches and copies"
        )
    varied = _Varied(model.network.architecture, model.network.layers, source.augmentation)
    varied_passes = source.passes(varied)
    parts = []
    for copy in range(1 + settings.copies):
        own, variables, name = passes, model.variables, ""
        if copy:
            number = {"number": jnp.int32(settings.seed * 1000 + copy)}
            own, variables = varied_passes, {**model.variables, "copy": number}
            name = f"encoding copy {copy} of train"
        for part in own.stream(variables, "train", FUSION, name=name):
            kept = ~source.unseen[part.labels] & ((part.places + copy) % every == 0)
            parts.append((part.features[kept], part.labels[kept], part.entropy[kept]))
    rows, labels, entropy = (np.concatenate(column) for column in zip(*parts, strict=True))
    return rows, labels, entropy


_logits = jax.jit(LinearClassifier.logits)
