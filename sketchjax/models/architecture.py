"""What a network is built from, and what a model file says about it. No jax here."""

from __future__ import annotations

from typing import Any

import msgspec

from sketchjax.data.inputs import PHOTO, SKETCH, Form
from sketchjax.models.table import EMBEDDINGS, ENCODERS, HEADS

# What a side of sketches reads; the first is the default.
SKETCHES = ("strokes", "raster")
# What of a raster sketch is read; the first is the default.
FITS = ("canvas", "ink")


class Drawing(msgspec.Struct, frozen=True):
    """How strokes become what the encoders read.

    size: side of the picture, in pixels.
    stroke_width: of the picture, in pixels.
    offset_scale: what the offsets of the sequence are divided by, in drawing units.
    """

    size: int
    stroke_width: float
    offset_scale: float

    def __post_init__(self) -> None:
        # A config may give whole numbers; a file gives floats back, and both are the same model.
        for name in ("stroke_width", "offset_scale"):
            msgspec.structs.force_setattr(self, name, float(getattr(self, name)))


class Architecture(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """A whole network: the same architecture and variables give the same codes anywhere.

    A network has a side of sketches, of photos, or both, each with encoders and a head layer of its
    own. Fields with a default are left out of files and digests that have it, as older versions of
    sketchjax do not know them.

    encoders: of sketches, by name, in the order in which the head reads them, each as {"kind": a
      row of ENCODERS, SETTING: ...}.
    head: a row of HEADS.
    width: d, the head's features.
    fusion_features: width of a dense layer between encoders and head; 0: none.
    dtype: of the computation, `float32` or `bfloat16`.
    drawing: how strokes are drawn.
    points: t; longer sketches are cut to their first points.
    categories: the name of each label.
    embedding: of EMBEDDINGS.
    dropout: of what the head reads, in training.
    sketches: of SKETCHES, how sketches come.
    photo_encoders: of photos, like `encoders`.
    photo_size: side of a photo as its encoders read it, in pixels.
    fit: whether raster sketches are cut to their ink.
    projection: width of the embedding that the classifier of a posterior head reads; 0: it reads
      what the encoders give. Sides of sketches and photos need one to share a classifier.
    mirrored: whether an item is encoded together with its mirror image, and the head reads the mean
      of both. Training sees items one by one; codes that a loss makes meanwhile are of both.
    """

    encoders: dict[str, dict[str, Any]]
    head: str
    width: int
    fusion_features: int
    dtype: str
    drawing: Drawing
    points: int
    categories: list[str]
    embedding: str = EMBEDDINGS[0]
    dropout: float = 0.0
    sketches: str = SKETCHES[0]
    photo_encoders: dict[str, dict[str, Any]] = {}
    photo_size: int = 0
    fit: bool = False
    projection: int = 0
    mirrored: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # By its JSON: msgspec leaves out what is the default itself, and a copy of the word "raw"
        # is not. The digest, which is a model's fingerprint, would be another one.
        return _of_json, (msgspec.json.encode(self),)

    @property
    def sides(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The encoders of each side that the network has."""
        both = {SKETCH: self.encoders, PHOTO: self.photo_encoders}
        return {side: encoders for side, encoders in both.items() if encoders}

    @property
    def forms(self) -> dict[str, Form]:
        """How the items of each side that the network has are read."""
        size = self.points if self.sketches == SKETCHES[0] else self.drawing.size
        views = (ENCODERS[own["kind"]].view for own in self.photo_encoders.values())
        both = {
            SKETCH: Form(self.sketches, size, fit=self.fit),
            PHOTO: Form(PHOTO, self.photo_size, "picture_and_contour" in views),
        }
        return {side: both[side] for side in self.sides}

    @property
    def classes(self) -> int:
        """l, the number of categories."""
        return len(self.categories)

    def unknown(self) -> list[str]:
        """One line for each part that this version of sketchjax cannot build."""
        problems = []
        if self.head not in HEADS:
            problems.append(f"the head {self.head!r} (there are {', '.join(HEADS)})")
        if self.embedding not in EMBEDDINGS:
            known = ", ".join(EMBEDDINGS)
            problems.append(f"the embedding {self.embedding!r} (there are {known})")
        if self.sketches not in SKETCHES:
            known = ", ".join(SKETCHES)
            problems.append(f"sketches as {self.sketches!r} (there are {known})")
        for name, own in {**self.encoders, **self.photo_encoders}.items():
            kind = own.get("kind")
            if kind not in ENCODERS:
                known = ", ".join(ENCODERS)
                problems.append(f"the encoder {name} of kind {kind!r} (there are {known})")
                continue
            extra = own.keys() - {"kind", *ENCODERS[kind].settings}
            problems += [f"the setting {key!r} of the encoder {name}" for key in sorted(extra)]
        return problems


def _of_json(content: bytes) -> Architecture:
    return msgspec.json.decode(content, type=Architecture)
