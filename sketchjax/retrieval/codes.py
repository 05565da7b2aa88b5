"""Binary codes as a value and as a file, with all that is needed to use them anywhere.

No jax here: a server that searches codes starts without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sketchjax.data.inputs import side_and_split
from sketchjax.data.sketch import Sketches
from sketchjax.errors import DataError
from sketchjax.fields import home_path
from sketchjax.retrieval.index import search
from sketchjax.tensors import SUFFIX, load_tensors, save_tensors

FORMAT = "sketchjax codes 1"
_ARRAYS = {
    "packed": np.uint8,
    "labels": np.int32,
    "key_ids": np.uint64,
    "places": np.int64,
    "instances": np.int64,
}


class _About(msgspec.Struct, frozen=True):
    """What a file of codes says about them besides the arrays."""

    split: str
    categories: tuple[str, ...]
    model: str


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of n sketches or photos.

    packed: u8[n d/8], bit j of a code is bit j % 8 of its byte j // 8.
    labels: i32[n], places in `categories`; -1 where the category is not known.
    key_ids: u64[n], the items' own identifiers; 0 where there is none.
    places: i64[n], the record of each in its split, or its place among what was encoded.
    split: the split of the data folder, such as `gallery` or `photo/gallery`; empty for others.
    categories: the name of each label.
    model: fingerprint of the model that made them; codes of different models do not compare.
    instances: i64[n], the photo that each is or draws; -1 where unknown, which is the default.
    Raises ValueError when an array has another type or shape.
    """

    packed: np.ndarray
    labels: np.ndarray
    key_ids: np.ndarray
    places: np.ndarray
    split: str = ""
    categories: tuple[str, ...] = ()
    model: str = ""
    instances: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        if self.instances is None:
            object.__setattr__(self, "instances", np.full(len(self.packed), -1, np.int64))
        for name, dtype in _ARRAYS.items():
            array = getattr(self, name)
            rank = 2 if name == "packed" else 1
            if array.dtype != dtype or array.ndim != rank or len(array) != len(self.packed):
                raise ValueError(
                    f"{name} is {array.dtype}{list(array.shape)}; it must be {np.dtype(dtype)} "
                    f"with {rank} axes, the first of {len(self.packed)}"
                )

    @classmethod
    def of(
        cls, packed: np.ndarray, sketches: Sketches, categories: Sequence[str], model: str
    ) -> Codes:
        """The codes of drawings, in their order.

        packed: u8[n d/8].
        sketches: the n drawings; one whose category is none of `categories` has the label -1.
        categories: of the model.
        model: its fingerprint.
        """
        labels = {name: label for label, name in enumerate(categories)}
        return cls(
            packed,
            np.array([labels.get(name, -1) for name in sketches.categories], np.int32),
            sketches.key_ids.astype(np.uint64),
            np.arange(len(sketches), dtype=np.int64),
            categories=tuple(categories),
            model=model,
        )

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, items: Any) -> Codes:
        """Some of the codes. items: a slice, a place, an array of places, or a mask bool[n]."""
        if not isinstance(items, slice):
            # A list, which may be empty; a tuple would be a place on several axes.
            items = [items] if np.ndim(items) == 0 else items
            items = [*items] if isinstance(items, tuple) else items
        return replace(self, **{name: getattr(self, name)[items] for name in _ARRAYS})

    @property
    def side(self) -> str:
        """`sketch` or `photo`."""
        return side_and_split(self.split)[0]

    @property
    def bits(self) -> int:
        """d, the number of bits of a code."""
        return self.packed.shape[1] * 8

    def unpacked(self) -> np.ndarray:
        """The bits of all codes, bool[n d]."""
        return np.unpackbits(self.packed, axis=1, bitorder="little").astype(bool)

    def nearest(self, queries: Codes, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k codes nearest to each query, ties in the order of these codes.

        queries: q codes of the same model.
        k: results per query, at least 1.
        Returns Hamming distances i32[q min(k, n)] and indices into these codes i64[q min(k, n)].
        Raises DataError when one side is empty, or the queries come from another model or have
        another number of bits; ValueError for k < 1.
        """
        if self.model and queries.model and self.model != queries.model:
            raise DataError(
                f"these codes come from model {self.model[:12]} and the queries from model "
                f"{queries.model[:12]}; encode both with one model"
            )
        if self.bits != queries.bits:
            raise DataError(f"codes of {queries.bits} bits do not compare with {self.bits} bits")
        return search(queries.packed, self.packed, k)

    def save(self, path: str | Path) -> Path:
        """Write the codes as one safetensors file, whole or not at all; returns its path.

        path: with or without the ending .safetensors.
        """
        path = _with_suffix(path)
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if (self.instances < 0).all():  # the file of an older version, byte for byte
            del arrays["instances"]
        about = _About(self.split, self.categories, self.model)
        save_tensors(path, arrays, about, format=FORMAT)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Codes:
        """Read what `save` wrote.

        path: with or without the ending .safetensors.
        Raises DataError when the file is missing, damaged or holds no codes.
        """
        path = _with_suffix(path)
        remedy = "encode the drawings again, or give a file that a run or Codes.save wrote"
        arrays, about = load_tensors(
            path, _About, format=FORMAT, noun="file of codes", error=DataError, remedy=remedy
        )
        try:
            own = {name: arrays[name] for name in _ARRAYS if name in arrays or name != "instances"}
            return cls(**own, split=about.split, categories=about.categories, model=about.model)
        except (ValueError, KeyError) as error:
            raise DataError(f"{path} holds no codes ({error}); {remedy}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Codes) and all(
            np.array_equal(getattr(self, own.name), getattr(other, own.name))
            for own in fields(self)
        )


def _with_suffix(path: str | Path) -> Path:
    path = home_path(path)
    return path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)
