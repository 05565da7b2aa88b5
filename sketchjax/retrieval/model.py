"""A trained model as a value: loaded from one file, it encodes drawings without a data folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from sketchjax.data.feed.batch import pad_points
from sketchjax.data.inputs import Strokes
from sketchjax.data.sketch import Sketches
from sketchjax.errors import CheckpointError, DataError
from sketchjax.fields import home_path
from sketchjax.models import network as networks
from sketchjax.models.architecture import Architecture
from sketchjax.models.network import Network
from sketchjax.models.table import HEAD, HEADS
from sketchjax.models.weights import Card, fingerprint, load_weights, save_weights
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.outputs import Outputs

FILE = "model.safetensors"
_BATCH = 256  # sketches encoded at once


@dataclass(frozen=True)
class Model:
    """A network with its trained variables. `load` makes one.

    network: of the card's architecture.
    variables: of the network, by collection.
    card: what its file says about it.
    """

    network: Network
    variables: Any
    card: Card

    @property
    def architecture(self) -> Architecture:
        """What the network is built from."""
        return self.card.architecture

    @property
    def categories(self) -> list[str]:
        """The categories it was trained on, in the order of their labels."""
        return self.architecture.categories

    @property
    def output(self) -> str:
        """What its last stage of training read: `head`, or the encoder that was trained by itself.

        `predict` uses the classifier of this output.
        """
        return self.card.output or HEAD

    @property
    def bits(self) -> int | None:
        """Bits of a code; None for a model that recognises only."""
        return None if self._threshold is None else self.architecture.width

    @property
    def _threshold(self) -> float | None:
        """A feature above it is a 1; None without codes, as while the encoders are trained."""
        return HEADS[self.architecture.head].threshold if self.output == HEAD else None

    @property
    def fingerprint(self) -> str:
        """A sha256 of all weights and the architecture; codes carry it."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.variables, self.architecture)

    def save(self, path: str | Path) -> Path:
        """Write the model as one safetensors file, whole or not at all; returns its path."""
        path = home_path(path)
        save_weights(path, self.variables, self.card)
        return path

    def encode(self, drawings: Any) -> Codes:
        """The codes of drawings.

        drawings: one drawing, several of them, or `Sketches` as `sketchjax.read` gives them. A
          drawing is points u8[t 3] (x and y from 0 to 255, y downwards, and end of stroke), or
          strokes as [[xs, ys], ...]. Strokes in QuickDraw's simplified form (whole numbers, the
          least x and y 0, the largest coordinate 255) are taken as they are; any others, on a
          canvas of any size, are simplified as QuickDraw's raw drawings are.
        Raises DataError for a drawing of no such form, or when the model makes no codes.
        """
        return self.outputs(drawings).codes

    def outputs(self, drawings: Any) -> Outputs:
        """Codes, features and probabilities of drawings, in one pass; drawings as for `encode`.

        Raises DataError for a drawing of no such form, or when the model makes no codes.
        """
        threshold = self._threshold
        if threshold is None:
            trained = "" if self.output == HEAD else f", trained up to its encoder {self.output},"
            raise DataError(
                f"a model with the head {self.architecture.head}{trained} makes no codes; use a "
                "model whose last stage trained a head with codes"
            )
        sketches = as_sketches(drawings)
        labels = {name: label for label, name in enumerate(self.categories)}
        parts = zip(*self._outputs(sketches), strict=True)
        features, logits = (np.concatenate(part) for part in parts)
        codes = Codes(
            pack_codes(features > threshold),
            np.array([labels.get(name, -1) for name in sketches.categories], np.int32),
            sketches.key_ids.astype(np.uint64),
            np.arange(len(sketches), dtype=np.int64),
            categories=tuple(self.categories),
            model=self.fingerprint,
        )
        return Outputs(codes, features, np.asarray(jax.nn.softmax(logits, axis=-1)))

    def features(self, drawings: Any) -> np.ndarray:
        """The head's features of drawings, f32[n d]; drawings as `encode` takes them.

        Raises DataError for a drawing of no such form, or when the head is not trained.
        """
        if self.output != HEAD:
            raise DataError(
                f"the head of this model is not trained: its last stage trained {self.output}"
            )
        return np.concatenate([part for part, _ in self._outputs(as_sketches(drawings))])

    def predict(self, drawings: Any) -> np.ndarray:
        """Probability of each category, f32[n l]; drawings as `encode` takes them.

        Raises DataError for a drawing of no such form.
        """
        logits = np.concatenate([part for _, part in self._outputs(as_sketches(drawings))])
        return np.asarray(jax.nn.softmax(logits, axis=-1))

    @cached_property
    def _forward(self) -> Any:
        def forward(variables: Any, inputs: Any) -> tuple[jax.Array, jax.Array]:
            output = self.network.apply(variables, inputs, self.output)
            features = output.logits[:, :0] if output.features is None else output.features
            return features, output.logits

        return jax.jit(forward)

    def _outputs(self, sketches: Sketches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features f32[b d] and logits f32[b l], batch by batch."""
        points, length = pad_points(sketches.points, sketches.offsets, self.architecture.points)
        for first in range(0, len(length), _BATCH):
            count = len(length[first : first + _BATCH])
            # Powers of two: at most nine programs are compiled, whatever the number of drawings.
            size = 1 << (count - 1).bit_length()
            places = np.minimum(np.arange(first, first + size), first + count - 1)
            inputs = Strokes.of(points[places], length[places])
            features, logits = self._forward(self.variables, inputs)
            yield np.asarray(features)[:count], np.asarray(logits)[:count]


def load(path: str | Path) -> Model:
    """The model of a finished run's workdir, of an exported folder or of a model file.

    path: of the folder or the file.
    Raises CheckpointError when there is none, the file is damaged, or it is not a model of this
    version of sketchjax.
    """
    path = home_path(path)
    if path.is_dir():
        if not (path / FILE).exists():
            raise CheckpointError(
                f"{path} has no {FILE}: a run writes it when it finishes; the models of finished "
                "stages are in its folder weights"
            )
        path = path / FILE
    variables, card = load_weights(path)
    if unknown := card.architecture.unknown():
        raise CheckpointError(
            f"{path} needs what this version of sketchjax does not have: {'; '.join(unknown)}; "
            "use the version that wrote it, or a newer one"
        )
    network = networks.build(card.architecture)
    wanted, there = _shapes(network.shapes()), _shapes(variables)
    if wanted != there:
        differing = sorted(name for name, _ in wanted.items() ^ there.items())
        raise CheckpointError(
            f"{path} does not hold the arrays that its architecture has in this version of "
            f"sketchjax: {differing[0]}, ...; use the version that wrote it"
        )
    return Model(network, jax.device_put(variables), card)


def _shapes(tree: Any) -> dict[str, tuple[Any, str]]:
    """Shape and type of each array by its path."""
    flat: dict[str, Any] = traverse_util.flatten_dict(tree, sep="/")
    return {name: (leaf.shape, str(leaf.dtype)) for name, leaf in flat.items()}
