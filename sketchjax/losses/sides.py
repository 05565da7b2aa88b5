"""Batches of two sides, sketches and photos, and what a loss over pairs compares in them.

A batch of two sides is one `LossInputs`: the sketches are its first rows, the photos the others. So
a loss of single items, such as cross entropy, sees both sides as one batch, and a loss over pairs
can be limited to pairs across the sides by masks. `merged` joins the two sides and `apart` gives
them back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import LossInputs
from sketchjax.losses.pairs import Pairs, mask_pairs

# Of a loss over pairs: its settings of these names say what it compares.
COMPARE, MATCH = "compare", "match"

_ROWS = ("logits", "labels", "features", "activations", "codes", "instances", "teacher")


def merged(sketch: LossInputs, photo: LossInputs) -> LossInputs:
    """The batch of two sides, the sketches first.

    sketch: of b sketches; photo: of c photos. Of the other fields, those of `sketch` are kept.
    Raises ValueError when only one side has a field of rows.
    """
    rows = {}
    for name in _ROWS:
        both = getattr(sketch, name), getattr(photo, name)
        if (both[0] is None) != (both[1] is None):
            raise ValueError(f"only one side has {name}; give it for both or for neither")
        rows[name] = None if both[0] is None else jnp.concatenate(both)
    return sketch._replace(**rows, sketches=len(sketch.labels))


def apart(seen: LossInputs) -> tuple[LossInputs, LossInputs]:
    """The two sides of a batch: the inverse of `merged`.

    Raises ValueError for a batch of one side.
    """
    count = _sketches(seen)

    def side(rows: slice) -> LossInputs:
        own = {name: getattr(seen, name) for name in _ROWS}
        cut = {name: None if each is None else each[rows] for name, each in own.items()}
        return seen._replace(**cut, sketches=None)

    return side(slice(None, count)), side(slice(count, None))


def compared(seen: LossInputs, compare: str = "all", match: str = "category") -> Pairs:
    """The pairs of a batch, as masks f[b b] over its rows; row i has the anchor i.

    compare: `all`, any two items; `across`, a sketch and a photo, each once the anchor;
      `sketch_to_photo`, a sketch as anchor and a photo.
    match: what the two of a positive pair share. `category`; `instance`, the photo that the sketch
      draws. Two items of one category, one of them of an unknown instance, are then no pair at all;
      two of different categories are a negative one.
    Raises ValueError when the batch lacks the sides or instances that this needs.
    """
    same, other = mask_pairs(seen.labels)
    if match == "instance":
        if seen.instances is None:
            raise ValueError("match=instance needs a batch with instance numbers")
        known = seen.instances >= 0
        own = (seen.instances[:, None] == seen.instances[None]) & known[:, None]
        same, other = same & own, other | (~own & known[:, None] & known[None])
    if compare != "all":
        is_sketch = jnp.arange(len(seen.labels)) < _sketches(seen)
        counted = is_sketch[:, None] & ~is_sketch[None]
        if compare == "across":
            counted |= counted.T
        same, other = same & counted, other & counted
    return Pairs(*(mask.astype(jnp.float32) for mask in (same, other)))


def of_pairs(loss: Callable[..., jax.Array]) -> Callable[[LossInputs], jax.Array]:
    """The value of a loss (activations, pairs, **settings) over the pairs its settings name."""

    def value(seen: LossInputs) -> jax.Array:
        pairs, settings = pairs_and_settings(seen)
        return loss(seen.activations, pairs, **settings)

    return value


def pairs_and_settings(seen: LossInputs) -> tuple[Pairs, dict[str, Any]]:
    """The pairs that a loss's settings name, and its other settings."""
    asked = {key: value for key, value in seen.settings.items() if key in (COMPARE, MATCH)}
    others = {key: value for key, value in seen.settings.items() if key not in asked}
    return compared(seen, **asked), others


class Paired(NamedTuple):
    """A batch of b pairs of a sketch and a photo.

    sketch, photo: the sides, row i of both being pair i.
    together: bool[b], whether the two are a positive pair.
    other: bool[b b], whether sketch i and photo j are a negative one.
    """

    sketch: LossInputs
    photo: LossInputs
    together: jax.Array
    other: jax.Array


def paired(seen: LossInputs, match: str = "instance") -> Paired:
    """A batch whose photos are those of its sketches, in their order.

    match: as in `compared`.
    Raises ValueError when the batch has one side, more of one side, or lacks instances.
    """
    sketch, photo = apart(seen)
    count = len(sketch.labels)
    if count != len(photo.labels):
        raise ValueError(
            f"{count} sketches and {len(photo.labels)} photos are no pairs; a batch needs the "
            "photo of each sketch"
        )
    same, other = (mask[:count, count:] > 0 for mask in compared(seen, "sketch_to_photo", match))
    return Paired(sketch, photo, jnp.diagonal(same), other)


def _sketches(seen: LossInputs) -> int:
    if seen.sketches is None:
        raise ValueError("a loss across sides needs a batch of sketches and photos")
    return seen.sketches
