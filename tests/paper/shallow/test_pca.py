"""PCAH against the signs of scikit-learn's PCA; PCA-ITQ rotates components towards codes."""

import numpy as np
import pytest

from sketchjax.ops.rotation import quantization_error
from sketchjax.paper.shallow import HASHERS


def test_pcah_is_the_signs_of_principal_components(clusters):
    decomposition = pytest.importorskip(
        "sklearn.decomposition", reason="scikit-learn: pip install 'sketchjax[study]'"
    )
    rows, _ = clusters
    theirs = decomposition.PCA(5).fit_transform(rows.astype(np.float64)) > 0
    ours = HASHERS["pcah"](5).fit(rows).encode(rows)
    same = (ours == theirs).mean(axis=0)
    np.testing.assert_allclose(np.maximum(same, 1 - same), 1)  # up to the sign of a direction


def test_pca_itq_rotates_components_towards_codes(clusters):
    decomposition = pytest.importorskip(
        "sklearn.decomposition", reason="scikit-learn: pip install 'sketchjax[study]'"
    )
    rows, _ = clusters
    components = decomposition.PCA(8).fit_transform(rows.astype(np.float64))
    method = HASHERS["pca_itq"](8).fit(rows)
    values = method.project(rows).astype(np.float64)
    rotated, *_ = np.linalg.lstsq(components, values)
    np.testing.assert_allclose(components @ rotated, values, atol=1e-3)
    np.testing.assert_allclose(rotated.T @ rotated, np.eye(8), atol=1e-4)
    at_random = [
        quantization_error(
            components, np.linalg.qr(np.random.default_rng(s).normal(size=(8, 8)))[0]
        )
        for s in range(20)
    ]
    assert quantization_error(values, np.eye(8)) < min(at_random)
    # The published number of iterations is enough: more hardly change anything.
    more = HASHERS["pca_itq"](8, iterations=500).fit(rows).project(rows)
    assert quantization_error(values, np.eye(8)) < 1.01 * quantization_error(more, np.eye(8))


def test_a_sample_for_the_rotation_is_enough(clusters):
    rows, _ = clusters
    part = HASHERS["pca_itq"](6, sample=200).fit(rows)
    whole = HASHERS["pca_itq"](6).fit(rows)
    error, least = (quantization_error(method.project(rows), np.eye(6)) for method in (part, whole))
    assert error != least
    assert error < 1.1 * least
