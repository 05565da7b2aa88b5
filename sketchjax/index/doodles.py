"""Synthetic doodles as a source: a gallery for whoever has no drawings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources import doodles
from sketchjax.retrieval.outputs import Encoder, Outputs


class DoodleSource:
    """Doodles of all synthetic categories, none of them spoilt. See `sources.Source`.

    each: of a category.
    """

    name = "synthetic doodles"
    key = doodles.__file__  # this version's programs draw them, and nothing else is read
    paths: Sequence[Path] = (Path(key),)

    def __init__(self, each: int):
        self._each = each

    def count(self) -> int:
        """Of all categories."""
        return self._each * len(doodles.CATEGORIES)

    def parts(self, encoder: Encoder, start: int) -> Iterator[tuple[Sketches, Outputs]]:
        """A category is a part."""
        for name in doodles.CATEGORIES[start // self._each :]:
            sketches = doodles.sketches(name, self._each, seed=0, spoilt=False)
            yield sketches, encoder.outputs(sketches)
