"""The start of the head: each method by another route, and codes that rank before any training."""

import jax
import numpy as np
import pytest

from sketchjax.errors import ConfigError, DataError
from sketchjax.losses.targets import class_targets
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.metrics import evaluate
from sketchjax.train.head_start import SPREAD, Seen, check_start, head_layer, look, started

CLASSES, WIDTH, BITS = 5, 24, 16
KINDS = pytest.mark.parametrize("kind", ["codewords", "itq", "lda"])


def clusters(seed=0, count=400, spread=0.7):
    """Features f32[n e] that a rectifier could have left, and labels i32[n]."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count).astype(np.int32)
    centers = np.random.default_rng(7).normal(size=(CLASSES, WIDTH))
    features = centers[labels] + spread * random.normal(size=(count, WIDTH)) + 0.5
    return np.maximum(features, 0).astype(np.float32), labels


def stream(features, labels, sizes=(100, 1, 0, 150)):
    """A pass over them, in parts of these sizes and one with the rest."""
    places = np.arange(len(labels))
    whole = Encoded(features, labels, labels, places, places.astype(np.uint64), 0.0 * places)
    start = 0
    for size in (*sizes, len(labels)):
        yield whole[places[start : start + size]]
        start += size


def seen(features, labels) -> Seen:
    return look(stream(features, labels), CLASSES, len(labels), seed=0)


def activations(layer, features):
    return features.astype(np.float64) @ layer["kernel"] + layer["bias"]


def test_one_pass_sees_moments_classes_and_a_sample(monkeypatch):
    features, labels = clusters()
    labels = np.where(labels == 3, 2, labels)  # a class without sketches
    found = seen(features, labels)
    wide = features.astype(np.float64)
    np.testing.assert_allclose(found.moments.mean, wide.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.moments.covariance, np.cov(wide.T, ddof=0), atol=1e-6)
    for label in range(CLASSES):
        own = wide[labels == label]
        assert found.counts[label] == len(own)
        wanted = own.mean(0) if len(own) else np.zeros(WIDTH)
        np.testing.assert_allclose(found.means[label], wanted, atol=1e-6)
    np.testing.assert_array_equal(found.sample, features)
    monkeypatch.setattr("sketchjax.train.head_start.SAMPLE", 50)
    part = seen(features, labels).sample
    assert part.shape == (50, WIDTH)
    assert len(np.unique(np.concatenate([part, features]), axis=0)) == len(features)
    np.testing.assert_array_equal(part, seen(features, labels).sample)


def test_codewords_are_least_squares():
    """Against numpy's own, on features with a column of ones."""
    features, labels = clusters()
    layer = head_layer("codewords", seen(features, labels), BITS, seed=0)
    padded = np.concatenate([features, np.ones((len(features), 1))], 1).astype(np.float64)
    targets = class_targets(CLASSES, BITS, "codebook")[labels].astype(np.float64)
    solution, *_ = np.linalg.lstsq(padded, targets)
    fitted = padded @ solution
    found = activations(layer, features)
    scale = SPREAD / np.sqrt((fitted**2).mean())
    np.testing.assert_allclose(found, scale * fitted, atol=2e-3)


def plain_itq(projected, seed, iterations=50):
    """Gong et al. 2013: B = sign(V R), then R of B'V = S Σ Ŝ' as Ŝ S', fifty times."""
    start = np.random.default_rng(seed).standard_normal((projected.shape[1],) * 2)
    turned = start
    for _ in range(iterations):
        signs = np.where(projected @ turned >= 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(signs.T @ projected)
        turned = right.T @ left.T
    return turned


def test_itq_is_principal_components_rotated_to_codes():
    features, labels = clusters()
    layer = head_layer("itq", seen(features, labels), BITS, seed=3)
    wide = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    _, _, axes = np.linalg.svd(wide, full_matrices=False)
    axes = axes[:BITS].T
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(BITS)])  # as we orient them
    wanted = wide @ axes @ plain_itq(wide @ axes, 3)
    found = activations(layer, features)
    # Values near 0 may round to the other side in some iteration: nearly all bits agree.
    assert ((found > 0) == (wanted > 0)).mean() > 0.98
    away = lambda v: ((np.where(v > 0, 1, -1) - v) ** 2).mean()  # noqa: E731
    scale = np.sqrt((wanted**2).mean() / (found**2).mean())
    assert away(found * scale) == pytest.approx(away(wanted), rel=0.01)
    # A rotation of principal components has their variances in all.
    variances = np.sort(np.linalg.eigvalsh(np.cov(found.T, ddof=0)))
    plain = np.sort((wide @ axes).var(0))
    np.testing.assert_allclose(variances / variances.sum(), plain / plain.sum(), atol=1e-5)


def test_lda_sees_only_what_separates_classes():
    """Its activations lie in the l - 1 directions of scikit-learn's discriminant analysis."""
    discriminant = pytest.importorskip(
        "sklearn.discriminant_analysis", reason="scikit-learn: pip install 'sketchjax[study]'"
    )
    features, labels = clusters()
    layer = head_layer("lda", seen(features, labels), BITS, seed=0)
    analysis = discriminant.LinearDiscriminantAnalysis(solver="eigen").fit(features, labels)
    theirs = analysis.transform(features)[:, : CLASSES - 1]
    found = activations(layer, features)
    assert np.linalg.matrix_rank(found, tol=1e-3) == CLASSES - 1
    padded = np.concatenate([theirs, np.ones((len(theirs), 1))], 1)
    fitted = padded @ np.linalg.lstsq(padded, found)[0]
    np.testing.assert_allclose(found, fitted, atol=5e-3)


@KINDS
def test_no_sigmoid_is_saturated_and_bits_are_balanced(kind):
    features, labels = clusters()
    layer = head_layer(kind, seen(features, labels), BITS, seed=0)
    assert {name: array.dtype for name, array in layer.items()} == dict.fromkeys(
        ("kernel", "bias"), np.float32
    )
    found = activations(layer, features)
    assert np.sqrt((found**2).mean()) == pytest.approx(SPREAD, rel=1e-3)
    assert np.abs(found).max() < 6
    if kind != "codewords":  # the first of these is the same for all classes
        assert np.abs(found.mean(0)).max() < 1e-3


@KINDS
def test_codes_of_new_sketches_rank_better_than_random_ones(kind):
    features, labels = clusters()
    gallery, query = clusters(seed=1), clusters(seed=2, count=100)
    layer = head_layer(kind, seen(features, labels), BITS, seed=0)
    random = np.random.default_rng(0).normal(size=(WIDTH, BITS))
    plain = {"kernel": random, "bias": np.zeros(BITS)}

    def score(layer):
        packed = [pack_codes(activations(layer, rows) > 0) for rows, _ in (query, gallery)]
        return evaluate(packed[0], query[1], packed[1], gallery[1], bits=BITS).map

    assert score(layer) > score(plain) + 0.1


@KINDS
def test_a_seed_gives_the_same_bits(kind):
    found = seen(*clusters())
    first, again, other = (head_layer(kind, found, BITS, seed)["kernel"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (kind == "codewords")


def test_features_that_are_all_alike_are_refused():
    features, labels = clusters()
    found = seen(np.zeros_like(features), labels)
    for kind in ("codewords", "itq", "lda"):
        with pytest.raises(DataError, match=rf"train.head_start={kind}: .* the same for all"):
            head_layer(kind, found, BITS, seed=0)


def test_one_class_has_no_discriminant():
    features, labels = clusters()
    found = seen(features, np.zeros_like(labels))
    with pytest.raises(DataError, match="at least two classes"):
        head_layer("lda", found, BITS, seed=0)
    for kind in ("codewords", "itq"):
        head_layer(kind, found, BITS, seed=0)


def test_a_start_that_cannot_be_is_refused():
    layer = {"kernel": np.zeros((8, 16))}
    check_start("random", layer, ("hash",), "hash")
    for kind in ("codewords", "lda"):
        check_start(kind, layer, ("cnn",), "hash")
    with pytest.raises(ConfigError, match=r"at most one bit for each of the 8 features"):
        check_start("itq", layer, (), "hash")
    with pytest.raises(ConfigError, match=r"train.pretrained brings a trained hash layer"):
        check_start("lda", layer, ("cnn", "hash"), "hash")


def test_only_the_head_s_layer_is_replaced():
    params = {"cnn": {"kernel": np.ones(2)}, "hash": {"kernel": np.ones(3), "bias": np.ones(1)}}
    variables = {"params": params, "batch_stats": {"cnn": {"mean": np.zeros(1)}}}
    layer = {"kernel": np.full(3, 2.0), "bias": np.zeros(1)}
    found = started(variables, "hash", layer)
    assert found["batch_stats"] is variables["batch_stats"]
    assert found["params"]["cnn"] is params["cnn"]
    jax.tree.map(np.testing.assert_array_equal, found["params"]["hash"], layer)
    assert params["hash"]["bias"] == 1


def test_a_pass_without_some_class_still_starts():
    features, labels = clusters()
    found = seen(features, np.where(labels == 3, 2, labels))
    for kind in ("codewords", "itq", "lda"):
        layer = head_layer(kind, found, BITS, seed=0)
        assert np.isfinite(layer["kernel"]).all()
