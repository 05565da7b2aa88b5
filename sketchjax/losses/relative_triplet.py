"""Relative triplet loss between sketches and photos (Seddati et al. 2023), reconstructed.

The abstract names triplet terms weighted by the similarity of the anchors; the formula was not
available. Its reason is pairs of limited quality: where nearly the same was drawn for two photos,
neither photo is wrong for either drawing, and such a negative should not push.
"""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss, LossInputs
from sketchjax.losses.mining import mean_of_active
from sketchjax.losses.sides import paired
from sketchjax.ops.distances import squared_between, unit_length


def relative_triplet(
    sketches: jax.Array,
    photos: jax.Array,
    together: jax.Array,
    other: jax.Array,
    *,
    weights: str = "relative",
    margin: float = 0.2,
    mining: str = "all",
    mean: str = "all",
    anchors: str = "sketch",
) -> jax.Array:
    """Weighted mean over i ≠ j of [m d + ‖s_i - p_i‖² - ‖s_i - p_j‖²]₊ for pairs (s_i, p_i).

    The weight of a negative p_j is small where s_i looks like s_j, the sketch of p_j.

    sketches: s f[b d].
    photos: p f[b d], the photo of each sketch.
    together: bool[b], the pairs that count, such as those whose photo is known.
    other: bool[b b], where p_j is a negative of s_i.
    weights: without gradient. `relative`: ‖s_i - s_j‖² over the largest such distance to a negative
      of s_i; `cosine`: 1 - [cos(s_i, s_j)]₊; `photo`: the same of p_i and p_j; `none`: 1.
    margin: m, for each of the d features: with a mean of 0 and a variance of 1, unrelated pairs are
      at about 2 d, where they are at 2 if features have unit length.
    mining: `all`; `semi_hard`: the negatives farther than the anchor's own photo.
    mean: over the weights of `all` terms, or of the `active` ones, which are above 0.
    anchors: `sketch`, as above; `both`: the mean of that and of the same with photos as anchors.
    Returns f[]; 0 without a triplet.
    Raises ValueError when the shapes do not fit together.
    """
    if sketches.shape != photos.shape or together.shape != sketches.shape[:1]:
        raise ValueError(
            f"sketches {sketches.shape} and photos {photos.shape} with {together.shape[0]} pairs: "
            "must be as many sketches as photos, of one width"
        )
    negatives = other & together[:, None] & together
    far = squared_between(sketches, photos)

    def direction(far: jax.Array, own: jax.Array, negatives: jax.Array) -> jax.Array:
        """The triplets of one side. far: f[b b] from each anchor; own: f[b d], the anchors."""
        weight = negatives * _weights(weights, own, photos, negatives)
        nearest = jnp.diagonal(far)[:, None]
        if mining == "semi_hard":
            weight *= far > nearest
        terms = jax.nn.relu(margin * own.shape[1] + nearest - far)
        counted = weight * (terms > 0) if mean == "active" else weight
        return mean_of_active(weight * terms, counted)

    by_sketches = direction(far, sketches, negatives)
    if anchors == "sketch":
        return by_sketches
    return 0.5 * (by_sketches + direction(far.T, photos, negatives.T))


def _weights(kind: str, own: jax.Array, photos: jax.Array, negatives: jax.Array) -> jax.Array:
    """How much each negative counts, f32[b b] without gradient; own: f[b d], the anchors."""
    if kind == "none":
        return jnp.ones(negatives.shape)
    looked_at = jax.lax.stop_gradient(photos if kind == "photo" else own)
    if kind == "relative":
        apart = squared_between(looked_at, looked_at) * negatives
        return apart / jnp.maximum(apart.max(-1, keepdims=True), 1e-12)
    units = unit_length(looked_at.astype(jnp.float32))
    # Half a squared distance is 1 - cos, and exactly 0 between equal features.
    return jnp.minimum(0.5 * squared_between(units, units), 1.0)


def _of_batch(seen: LossInputs) -> jax.Array:
    settings = dict(seen.settings)
    pairs = paired(seen, settings.pop("match", "instance"))
    sketch, photo = pairs.sketch.activations, pairs.photo.activations
    return relative_triplet(sketch, photo, pairs.together, pairs.other, **settings)


LOSS = Loss(_of_batch)
