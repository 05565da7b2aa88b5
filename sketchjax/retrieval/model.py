"""A trained model as a value: loaded from one file, it encodes drawings without any data folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sketchjax.data.feed.batch import pad_points
from sketchjax.data.inputs import Strokes
from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import Sketches, points_of_strokes
from sketchjax.errors import CheckpointError, DataError
from sketchjax.models import network as networks
from sketchjax.models.architecture import Architecture
from sketchjax.models.network import Network
from sketchjax.models.table import HEADS
from sketchjax.models.weights import Card, fingerprint, load_weights, save_weights
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.codes import Codes

FILE = "model.safetensors"
_BATCH = 256  # sketches encoded at once


@dataclass(frozen=True)
class Model:
    """A network with its trained variables. `load` makes one."""

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
    def bits(self) -> int | None:
        """Bits of a code; None for a model that recognises only."""
        has_codes = HEADS[self.architecture.head].threshold is not None
        return self.architecture.width if has_codes else None

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of all weights and the architecture; codes carry it."""
        return fingerprint(self.variables, self.architecture)

    def save(self, path: str | Path) -> Path:
        """Write the model as one safetensors file, whole or not at all; returns its path."""
        path = Path(path).expanduser()
        save_weights(path, self.variables, self.card)
        return path

    def encode(self, drawings: Any) -> Codes:
        """The codes of drawings.

        drawings: one drawing or a sequence of them, or `Sketches` as `sketchjax.read` gives them. A
          drawing is points u8[t 3] (x, y from 0 to 255, end of stroke), or strokes as [[xs, ys],
          ...]: strokes in QuickDraw's simplified form (whole numbers, the least x and y 0, the
          largest coordinate 255) are taken as they are; any others, on a canvas of any size, are
          simplified as QuickDraw's raw drawings are.
        Raises DataError for a drawing without points, or a model without codes.
        """
        threshold = HEADS[self.architecture.head].threshold
        if threshold is None:
            raise DataError(f"a model with the head {self.architecture.head} makes no codes")
        sketches = as_sketches(drawings)
        labels = {name: label for label, name in enumerate(self.categories)}
        features = np.concatenate([part for part, _ in self._outputs(sketches)])
        return Codes(
            pack_codes(features > threshold),
            np.array([labels.get(name, -1) for name in sketches.categories], np.int32),
            sketches.key_ids,
            np.arange(len(sketches), dtype=np.int64),
            categories=tuple(self.categories),
            model=self.fingerprint,
        )

    def features(self, drawings: Any) -> np.ndarray:
        """The head's features of drawings, f32[n d]; drawings as `encode` takes them."""
        return np.concatenate([part for part, _ in self._outputs(as_sketches(drawings))])

    def predict(self, drawings: Any) -> np.ndarray:
        """Probability of each category, f32[n l]; drawings as `encode` takes them."""
        logits = np.concatenate([part for _, part in self._outputs(as_sketches(drawings))])
        return np.asarray(jax.nn.softmax(logits, axis=-1))

    @cached_property
    def _forward(self) -> Any:
        def forward(variables: Any, inputs: Any) -> tuple[jax.Array, jax.Array]:
            output = self.network.apply(variables, inputs)
            assert output.features is not None, "the head has features"
            return output.features, output.logits

        return jax.jit(forward)

    def _outputs(self, sketches: Sketches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features f32[b d] and logits f32[b l], batch by batch."""
        points, length = pad_points(sketches.points, sketches.offsets, self.architecture.points)
        for first in range(0, len(length), _BATCH):
            some = slice(first, first + _BATCH)
            count = len(length[some])
            # Powers of two: at most nine programs are compiled, whatever the number of drawings.
            size = 1 << (count - 1).bit_length()
            places = np.minimum(np.arange(first, first + size), first + count - 1)
            inputs = Strokes.of(points[places], length[places])
            features, logits = self._forward(self.variables, inputs)
            yield np.asarray(features)[:count], np.asarray(logits)[:count]


def load(path: str | Path) -> Model:
    """The model of a finished run's workdir, of an exported folder or of a model file.

    Raises CheckpointError when there is none, or the file is damaged or of another project.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        if not (path / FILE).exists():
            raise CheckpointError(
                f"{path} has no {FILE}: a run writes it when it finishes; the models of finished "
                "stages are in its folder weights"
            )
        path = path / FILE
    variables, card = load_weights(path)
    return Model(networks.build(card.architecture), jax.device_put(variables), card)


def as_sketches(drawings: Any) -> Sketches:
    """Drawings of any form that `Model.encode` takes, as `Sketches`."""
    if isinstance(drawings, Sketches):
        return drawings
    parts = [_points(drawing) for drawing in ([drawings] if _is_one(drawings) else drawings)]
    if not parts:
        raise DataError("there is no drawing to encode")
    lengths = [len(part) for part in parts]
    return Sketches(
        points=np.concatenate(parts),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        categories=[""] * len(parts),
        key_ids=np.zeros(len(parts), np.uint64),
        recognized=np.full(len(parts), -1, np.int8),
        places=np.arange(len(parts), dtype=np.int64),
    )


def _is_one(drawings: Any) -> bool:
    """Whether it is one drawing: points, or a list of strokes, each with x and y."""
    if isinstance(drawings, np.ndarray):
        return drawings.ndim == 2
    first: Any = drawings
    depth = 0
    while isinstance(first, Sequence | np.ndarray) and len(first):
        first, depth = first[0], depth + 1
    return depth == 3 and not isinstance(drawings[0], np.ndarray)


def _points(drawing: Any) -> np.ndarray:
    """The points u8[t 3] of one drawing."""
    if isinstance(drawing, np.ndarray):
        if drawing.ndim != 2 or drawing.shape[1] != 3 or not len(drawing):
            raise DataError(
                f"an array of shape {list(drawing.shape)} is no drawing; give points [t 3], with "
                "x, y and end of stroke, or strokes as [[xs, ys], ...]"
            )
        if drawing.dtype != np.uint8:
            raise DataError(
                f"points are u8[t 3] with x and y from 0 to 255, not {drawing.dtype}; give strokes "
                "as [[xs, ys], ...] to have them scaled"
            )
        points = drawing.copy()
        points[-1, 2] = 1
        return points
    strokes = [_stroke(stroke) for stroke in drawing]
    if not strokes:
        raise DataError("a drawing needs at least one stroke")
    joined = np.concatenate(strokes)
    # What Google's simplified form always is: at the corner, whole numbers, 255 the largest.
    is_simplified = (
        not joined.min(axis=0).any() and joined.max() == 255 and (joined == np.rint(joined)).all()
    )
    return points_of_strokes(strokes) if is_simplified else simplify(strokes)


def _stroke(stroke: Any) -> np.ndarray:
    """One stroke [xs, ys, ...] as f64[t 2]."""
    try:
        xs, ys = (np.asarray(axis, np.float64) for axis in list(stroke)[:2])
    except (TypeError, ValueError) as error:
        raise DataError(f"a stroke is [xs, ys], two lists of numbers ({error})") from None
    if xs.ndim != 1 or xs.shape != ys.shape or not len(xs):
        raise DataError(
            f"a stroke is [xs, ys], two lists of equal length, not {list(xs.shape)} and "
            f"{list(ys.shape)} numbers"
        )
    return np.stack([xs, ys], axis=1)
