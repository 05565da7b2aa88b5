"""A trained model as a value: loaded from one file, it encodes drawings and photos anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from msgspec.structs import replace

from sketchjax import parallel
from sketchjax.data.feed.batch import pad_points, parts_of
from sketchjax.data.inputs import PHOTO, SKETCH, Form, Pictures, Strokes, items_of
from sketchjax.data.sketch import Sketches
from sketchjax.errors import CheckpointError, DataError
from sketchjax.fields import home_path
from sketchjax.models import network as networks
from sketchjax.models.architecture import Architecture
from sketchjax.models.card import model_file
from sketchjax.models.network import Network
from sketchjax.models.table import HEAD, HEADS, of_side
from sketchjax.models.weights import Card, fingerprint, load_weights, save_weights
from sketchjax.ops.hamming import pack_codes
from sketchjax.ops.precision import in_32_bits
from sketchjax.packaged import MODEL
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.drawings import are_strokes, as_sketches
from sketchjax.retrieval.outputs import Outputs
from sketchjax.retrieval.pictures import as_pictures, draw_pictures

_BATCH = 256  # items encoded at once


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

    def __getstate__(self) -> dict[str, Any]:
        # Not the compiled function: a worker to which the model is sent makes its own.
        return {own.name: getattr(self, own.name) for own in fields(self)}

    at_once = 1  # another number of drawings would be compiled first

    @property
    def architecture(self) -> Architecture:
        """What the network is built from."""
        return self.card.architecture

    @property
    def categories(self) -> list[str]:
        """The categories of its labels, in order; `card.unseen` were kept out of training."""
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
    def reads(self) -> frozenset[str]:
        """The kinds of items that it encodes, of `strokes`, `raster` and `photo`.

        For a model of raster sketches strokes are drawn.
        """
        return frozenset(form.kind for form in self.architecture.forms.values())

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

    def mirrored(self) -> Model:
        """The same model, encoding each item together with its mirror image.

        The head reads the mean of both: a drawing and its mirror image get one code, and encoding
        takes twice as long. A hash layer was trained on items one by one; `sketchjax recode
        --mirrored` fits posterior codes to the means.
        """
        card = replace(self.card, architecture=replace(self.architecture, mirrored=True))
        return Model(networks.build(card.architecture), self.variables, card)

    def save(self, path: str | Path) -> Path:
        """Write the model as one safetensors file, whole or not at all; returns its path."""
        path = home_path(path)
        save_weights(path, self.variables, self.card)
        return path

    def encode(self, drawings: Any) -> Codes:
        """The codes of drawings.

        drawings: one drawing, several of them, or `Sketches` as `sketchjax.read` gives them. A
          drawing is points u8[t 3] (x and y from 0 to 255, y downwards, and end of stroke), or
          strokes as [[xs, ys], ...], each of which may have a list of times as well. Strokes in
          QuickDraw's simplified form (whole numbers, the least x and y 0, the largest coordinate
          255) are taken as they are; any others, on a canvas of any size, are simplified as
          QuickDraw's raw drawings are. A model of raster sketches draws them first, and also takes
          pictures as `encode_photos` does, dark lines on white.
        Raises DataError for a drawing of no such form or one whose strokes may be lists of points,
        and when the model makes no codes.
        """
        if "raster" in self.reads and not are_strokes(drawings):
            return self._codes_of_pictures(SKETCH, drawings)
        return self.outputs(drawings).codes

    def outputs(self, drawings: Any) -> Outputs:
        """Codes, features and probabilities of drawings, in one pass.

        drawings: strokes, as for `encode`.
        Raises DataError for a drawing of no such form, or when the model makes no codes or reads no
        sketches.
        """
        threshold = self._code_threshold()
        sketches = as_sketches(drawings)
        features, logits = self._all(SKETCH, self._drawn(sketches))
        packed = pack_codes(features > threshold)
        codes = Codes.of(packed, sketches, self.categories, self.fingerprint)
        return Outputs(codes, features, _shares(logits))

    def picture_outputs(self, pictures: Any, contours: Any = None, *, side: str = PHOTO) -> Outputs:
        """Codes, features and probabilities of pictures, in one pass; as for `encode_photos`.

        side: `photo`, or `sketch` for raster sketches.
        """
        threshold = self._code_threshold()
        features, logits = self._all(side, self._given(side, pictures, contours))
        return Outputs(self._unnamed(pack_codes(features > threshold)), features, _shares(logits))

    def encode_photos(self, photos: Any, contours: Any = None) -> Codes:
        """The codes of photos, which compare with those of drawings.

        photos: one or several; each is the path of a JPEG, PNG or WebP file, the bytes of one, one
          that is open, a `PIL.Image`, or an array u8[h w 3].
        contours: as many contour maps, dark lines on white, where the model reads them.
        Raises DataError for anything else, and when the model makes no codes or has no photos.
        """
        return self._codes_of_pictures(PHOTO, photos, contours)

    def features(self, drawings: Any) -> np.ndarray:
        """The head's features of drawings, f32[n d]; drawings as `encode` takes them.

        Raises DataError for a drawing of no such form, or when the head is not trained.
        """
        self._check_head()
        return self._all(SKETCH, self._given(SKETCH, drawings))[0]

    def photo_features(self, photos: Any, contours: Any = None) -> np.ndarray:
        """The head's features of photos, f32[n d]; the arguments are those of `encode_photos`.

        Raises DataError as `encode_photos` does, or when the head is not trained.
        """
        self._check_head()
        return self._all(PHOTO, self._given(PHOTO, photos, contours))[0]

    def predict(self, drawings: Any) -> np.ndarray:
        """Probability of each category, f32[n l]; drawings as `encode` takes them.

        Raises DataError for a drawing of no such form.
        """
        return _shares(self._all(SKETCH, self._given(SKETCH, drawings))[1])

    def predict_photos(self, photos: Any, contours: Any = None) -> np.ndarray:
        """Probability of each category, f32[n l]; the arguments are those of `encode_photos`.

        Raises DataError as `encode_photos` does.
        """
        return _shares(self._all(PHOTO, self._given(PHOTO, photos, contours))[1])

    def _check_head(self) -> None:
        if self.output != HEAD:
            raise DataError(
                f"the head of this model is not trained: its last stage trained {self.output}"
            )

    def _code_threshold(self) -> float:
        if self._threshold is None:
            trained = "" if self.output == HEAD else f", trained up to its encoder {self.output},"
            raise DataError(
                f"a model with the head {self.architecture.head}{trained} makes no codes; use a "
                "model whose last stage trained a head with codes"
            )
        return self._threshold

    def _form(self, side: str) -> Form:
        forms = self.architecture.forms
        if side not in forms:
            raise DataError(
                f"this model reads {items_of(forms)} only: it has no encoder of {items_of([side])}"
            )
        return forms[side]

    def _given(self, side: str, given: Any, contours: Any = None) -> Sketches | Pictures:
        form = self._form(side)
        if form.kind == "strokes":
            return as_sketches(given)
        if side == SKETCH and are_strokes(given):
            return self._drawn(as_sketches(given))
        return as_pictures(given, form, contours)

    def _drawn(self, sketches: Sketches) -> Sketches | Pictures:
        """Sketches as the network reads them: drawn, for a model of raster sketches."""
        form = self._form(SKETCH)
        if form.kind == "strokes":
            return sketches
        return draw_pictures(sketches, form, self.architecture.drawing.stroke_width)

    def _codes_of_pictures(self, side: str, given: Any, contours: Any = None) -> Codes:
        threshold = self._code_threshold()
        features, _ = self._all(side, self._given(side, given, contours))
        return self._unnamed(pack_codes(features > threshold))

    def _unnamed(self, packed: np.ndarray) -> Codes:
        """Codes u8[n d/8] of items of which nothing else is known."""
        return Codes(
            packed,
            np.full(len(packed), -1, np.int32),
            np.zeros(len(packed), np.uint64),
            np.arange(len(packed), dtype=np.int64),
            categories=tuple(self.categories),
            model=self.fingerprint,
        )

    @cached_property
    def _forward(self) -> Any:
        def forward(variables: Any, inputs: Any, output: str) -> tuple[jax.Array, jax.Array]:
            found = self.network.apply(variables, inputs, output)
            features = found.logits[:, :0] if found.features is None else found.features
            return features, found.logits

        return jax.jit(forward, static_argnums=2)

    @in_32_bits
    def _all(self, side: str, given: Sketches | Pictures) -> tuple[np.ndarray, np.ndarray]:
        """Features f32[n d] and logits f32[n l] of all items."""
        width = self.architecture.width if self.output == HEAD else 0
        none = np.zeros((0, width), np.float32), np.zeros((0, len(self.categories)), np.float32)
        features, logits = zip(none, *self._outputs(side, given), strict=True)
        return np.concatenate(features), np.concatenate(logits)

    def _outputs(
        self, side: str, given: Sketches | Pictures
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features f32[b d] and logits f32[b l], batch by batch."""
        if isinstance(given, Sketches):
            arrays = pad_points(given.points, given.offsets, self.architecture.points)
        else:
            arrays = tuple(given)
        output, total = of_side(HEAD, side) if self.output == HEAD else self.output, len(arrays[0])
        for count, places in parts_of(total, _BATCH):
            own: list[Any] = [None if each is None else each[places] for each in arrays]
            inputs = Strokes.of(*own) if isinstance(given, Sketches) else Pictures(*own)
            features, logits = self._forward(self.variables, inputs, output)
            yield np.asarray(features)[:count], np.asarray(logits)[:count]


def _shares(logits: np.ndarray) -> np.ndarray:
    return np.asarray(jax.nn.softmax(logits, axis=-1))


@in_32_bits
def load(path: str | Path | None = None) -> Model:
    """The model of a finished run's workdir, of an exported folder or of a model file.

    path: of the folder or the file; None: the model that comes with sketchjax.
    Raises CheckpointError when there is none, the file is damaged, or it is not a model of this
    version of sketchjax; UnavailableError where jax finds no device.
    """
    path = MODEL if path is None else model_file(home_path(path))
    parallel.check_devices()
    variables, card = load_weights(path)
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
