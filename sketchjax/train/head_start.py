"""The start of the head: its dense layer in closed form, from features of the training sketches.

`train.head_start` names the method. It happens once, before the first step of the first stage that
trains the head, and needs one pass over the training sketches for what the head reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve

from sketchjax.errors import ConfigError, DataError
from sketchjax.losses.targets import class_targets
from sketchjax.ops.moments import (
    Moments,
    canonical_directions,
    class_sums,
    moments_of,
    principal_directions,
)
from sketchjax.ops.rotation import rotation
from sketchjax.retrieval.encode import Encoded

SAMPLE = 20_000  # sketches that a rotation is learned from: 100 MB of 1,280 float32
RIDGE = 1e-4  # on a covariance's diagonal, as a fraction of its mean, as CCA-ITQ has it
# Root mean square of the activations: the sigmoid of 1 is 0.73, and has 0.8 of its largest slope.
SPREAD = 1.0


class Seen(NamedTuple):
    """What a start looks at.

    moments: of all features f[n e].
    means: f64[l e], of each class; 0 for a class without sketches.
    counts: i64[l], sketches of each class.
    sample: f32[s e], some of the features.
    """

    moments: Moments
    means: np.ndarray
    counts: np.ndarray
    sample: np.ndarray


def check_start(kind: str, layer: Any, trained: Iterable[str], head: str) -> None:
    """Raise ConfigError when the head cannot start like that.

    kind: `train.head_start`.
    layer: the parameters of the head's dense layer.
    trained: parts that come trained from other runs, by top-level name.
    head: that of the head.
    """
    if kind == "random":
        return
    if head in trained:
        raise ConfigError(
            f"train.head_start={kind}, but train.pretrained brings a trained {head} layer; set "
            "train.head_start=random to train it further"
        )
    width, bits = layer["kernel"].shape
    if kind == "itq" and bits > width:
        raise ConfigError(
            f"train.head_start=itq has at most one bit for each of the {width} features that the "
            f"head reads, and model.bits={bits}; choose codewords or lda"
        )


def look(parts: Iterable[Encoded], classes: int, sketches: int, seed: int) -> Seen:
    """One pass over features, in the order of the stream; the sample is drawn with the seed.

    parts: of the training set, with the fused features.
    classes: l.
    sketches: of the whole set; the sample is SAMPLE of them.
    """
    chosen = np.random.default_rng(seed).permutation(sketches)[:SAMPLE]
    sums: np.ndarray | float = 0.0
    counts, sample = np.zeros(classes, np.int64), []

    def features() -> Iterator[np.ndarray]:
        nonlocal sums
        for part in parts:
            if not len(part.labels):  # all are of classes kept out of training
                continue
            sums = sums + class_sums(part.features.astype(np.float64), part.labels, classes)
            np.add.at(counts, part.labels, 1)
            sample.append(part.features[np.isin(part.places, chosen)])
            yield part.features

    moments = moments_of(features())
    means = sums / np.maximum(counts, 1)[:, None]
    return Seen(moments, means, counts, np.concatenate(sample))


def head_layer(kind: str, seen: Seen, bits: int, seed: int) -> dict[str, np.ndarray]:
    """The kernel f32[e d] and bias f32[d] of the head's dense layer.

    `codewords`: least squares to the codeword of each sketch's class. `itq`: the first d principal
    directions, rotated towards codes (Gong et al., TPAMI 2013); it does not read the labels. `lda`:
    the directions of canonical correlation with the classes, those of linear discriminant
    analysis, as many as there are up to d, each times its correlation, then rotated likewise
    (CCA-ITQ there). One factor scales all bits, so that no sigmoid is saturated.

    kind: one of these.
    seen: the features.
    bits: d.
    seed: of the rotation's random start.
    Raises DataError when all features are alike, or `lda` sees only one class.
    """
    mean, covariance = seen.moments.mean, seen.moments.covariance
    if not np.trace(covariance) > 0:
        raise DataError(
            f"train.head_start={kind}: what the head reads is the same for all training sketches; "
            "train the encoders first, or choose train.head_start=random"
        )
    if kind == "lda" and np.count_nonzero(seen.counts) < 2:
        raise DataError(
            "train.head_start=lda needs sketches of at least two classes; choose itq or random"
        )
    if kind == "codewords":
        kernel, bias = _regression(seen, class_targets(len(seen.counts), bits, "codebook"))
    else:
        directions = _directions(kind, seen, bits)
        kernel = directions @ rotation((seen.sample - mean) @ directions, seed)
        bias = -mean @ kernel
    squares = ((covariance @ kernel) * kernel).sum(0) + (mean @ kernel + bias) ** 2
    scale = SPREAD / np.sqrt(squares.mean())
    return {
        "kernel": (scale * kernel).astype(np.float32),
        "bias": (scale * bias).astype(np.float32),
    }


def _regression(seen: Seen, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kernel f64[e d] and bias f64[d] of ridge regression on the targets i8[l d]."""
    mean, covariance, rows = seen.moments
    shares = seen.counts / rows
    products = ((seen.means - mean) * shares[:, None]).T @ targets
    ridge = RIDGE * np.trace(covariance) / len(mean)
    kernel = solve(covariance + ridge * np.eye(len(mean)), products, assume_a="pos")
    return kernel, shares @ targets - mean @ kernel


def _directions(kind: str, seen: Seen, bits: int) -> np.ndarray:
    """The directions f64[e d] to rotate; columns of zeros where there are fewer than d."""
    if kind == "itq":
        return principal_directions(seen.moments.covariance, bits)[0]
    known = seen.counts > 0
    found, correlations = canonical_directions(
        seen.moments, seen.means[known], seen.counts[known], RIDGE
    )
    scaled = (found * correlations)[:, :bits]
    return np.pad(scaled, ((0, 0), (0, bits - scaled.shape[1])))


def started(variables: dict[str, Any], head: str, layer: dict[str, np.ndarray]) -> dict[str, Any]:
    """The variables of a network with this dense layer in its head."""
    own = {name: jnp.asarray(array) for name, array in layer.items()}
    return variables | {"params": variables["params"] | {head: own}}
