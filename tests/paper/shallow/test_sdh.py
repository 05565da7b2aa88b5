"""SDH against a plain version; its objective never rises and classes become codes."""

import numpy as np
import pytest

from sketchjax.errors import ConfigError
from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.shallow.sdh import descend


def plain_sdh(kernels, labels, codes, turns, ridge=1.0, projection_ridge=1e-2, weight=1e-5):
    """SDH as published, on whole matrices in float64: codes, P and objectives."""
    onehot = np.eye(labels.max() + 1)[labels]

    def solved(codes):
        width, bits = kernels.shape[1], codes.shape[1]
        projection = np.linalg.solve(
            kernels.T @ kernels + projection_ridge * np.eye(width), kernels.T @ codes
        )
        classifier = np.linalg.solve(codes.T @ codes + ridge * np.eye(bits), codes.T @ onehot)
        value = ((onehot - codes @ classifier) ** 2).sum() + ridge * (classifier**2).sum()
        fit = ((codes - kernels @ projection) ** 2).sum()
        value += weight * (fit + projection_ridge * (projection**2).sum())
        return classifier, projection, value

    codes = codes.astype(np.float64).copy()
    classifier, projection, value = solved(codes)
    objectives = [value]
    for _ in range(turns):
        q = weight * kernels @ projection + onehot @ classifier.T
        for _ in range(10):
            before = codes.copy()
            for k in range(codes.shape[1]):
                rest = np.delete(np.arange(codes.shape[1]), k)
                force = q[:, k] - codes[:, rest] @ classifier[rest] @ classifier[k]
                codes[:, k] = np.where(force == 0, codes[:, k], np.sign(force))
            if (codes == before).all():
                break
        classifier, projection, value = solved(codes)
        objectives.append(value)
    return codes, projection, objectives


@pytest.mark.parametrize("weight", [1e-5, 0.1])
def test_it_matches_the_published_method(clusters, weight):
    rows, labels = clusters
    method = HASHERS["sdh"](6, 2, anchors=20, projection_weight=weight, block=64, turns=3)
    method.fit(rows, labels)
    start = np.random.default_rng(2).integers(0, 2, (400, 6), np.int8) * 2 - 1
    kernels = method.kernels(rows).astype(np.float64)
    _, projection, objectives = plain_sdh(kernels, labels, start, 3, weight=weight)
    np.testing.assert_allclose(method.objectives, objectives, rtol=1e-4)
    np.testing.assert_allclose(method.project(rows), kernels @ projection, atol=0.02)


@pytest.mark.parametrize("weight", [1e-5, 1e-2, 1.0])
@pytest.mark.parametrize("bits", [4, 16])
def test_the_objective_never_rises(clusters, weight, bits):
    rows, labels = clusters
    noisy = rows + 4 * np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    method = HASHERS["sdh"](bits, projection_weight=weight, anchors=50, turns=8)
    objectives = np.array(method.fit(noisy, labels).objectives)
    assert len(objectives) == 9
    assert (np.diff(objectives) < 1e-7 * objectives[0]).all()
    assert objectives[-1] < 0.9 * objectives[0]


def test_separable_classes_have_one_code_each(clusters):
    rows, labels = clusters
    codes = HASHERS["sdh"](12).fit(rows, labels).encode(rows)
    own = [np.unique(codes[labels == label], axis=0) for label in range(6)]
    assert [len(found) for found in own] == [1] * 6
    assert len(np.unique(np.concatenate(own), axis=0)) == 6


def test_kernels_are_gaussians_of_anchors_and_one(clusters):
    rows, labels = clusters
    method = HASHERS["sdh"](4, anchors=30).fit(rows, labels)
    kernels = method.kernels(rows[:25])
    # Anchors are rows, so each row has a kernel of 1 with itself.
    every = HASHERS["sdh"](4, anchors=400).fit(rows, labels).kernels(rows)
    np.testing.assert_allclose(np.diag(every[:, :-1]), 1, atol=1e-4)
    distances = ((rows[:, None].astype(np.float64) - rows) ** 2).sum(axis=2)
    np.testing.assert_allclose(every[:, :-1], np.exp(-distances / distances.mean()), atol=1e-3)
    assert kernels.shape == (25, 31)
    assert (kernels[:, -1] == 1).all()
    near = HASHERS["sdh"](4, anchors=400, width=0.5).fit(rows, labels).kernels(rows)
    np.testing.assert_allclose(near[:, :-1], np.exp(-distances / 0.5), atol=1e-3)


def test_descent_ends_where_no_bit_flip_helps():
    rng = np.random.default_rng(1)
    classifier = rng.standard_normal((6, 4))
    between, wanted = classifier @ classifier.T, rng.standard_normal((50, 6)) * 3
    codes = rng.integers(0, 2, (50, 6), np.int8) * 2 - 1
    found = codes.astype(np.int8).copy()
    descend(found, wanted.astype(np.float32), between)

    def value(code, q):
        return code @ between @ code - 2 * q @ code

    for before, code, q in zip(codes, found, wanted, strict=True):
        least = value(code.astype(float), q)
        assert least <= value(before.astype(float), q)
        for k in range(6):
            other = code.astype(float)
            other[k] *= -1
            assert value(other, q) >= least - 1e-5
    still = np.ones((1, 6), np.int8)
    descend(still, np.zeros((1, 6), np.float32), np.zeros((6, 6)))
    assert (still == 1).all()


def test_width_must_be_positive():
    with pytest.raises(ConfigError, match="width=-1"):
        HASHERS["sdh"](8, width=-1)
