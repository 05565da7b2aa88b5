"""d1 and d2 compared with a loop over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.errors import DataError
from sketchjax.retrieval.class_distances import class_distances


def all_pairs(features, labels):
    intra, inter = [], []
    for name in np.unique(labels):
        own, others = features[labels == name], features[labels != name]
        if len(own) < 2:
            continue
        pairs = [((a - b) ** 2).sum() for i, a in enumerate(own) for b in own[:i]]
        intra.append(np.mean(pairs))
        inter.append(np.mean([((a - b) ** 2).sum() for a in own for b in others]))
    return np.mean(intra), np.mean(inter), np.mean(np.divide(intra, inter))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(4, 30),
    st.integers(1, 5),
    st.sampled_from([0.0, 1.0, 1e7]),
)
@settings(deadline=None, max_examples=30)
def test_distances_equal_a_loop_over_pairs(seed, count, width, offset):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[5, 5, 8, 8], rng.integers(3, 9, count - 4)])
    features = rng.random((count, width)) + offset
    ours = class_distances(features, labels)
    d1, d2, ratio = all_pairs(features, labels)
    assert ours.d1 == pytest.approx(d1, rel=1e-6)
    assert ours.d2 == pytest.approx(d2, rel=1e-6)
    assert ours.mean_ratio == pytest.approx(ratio, rel=1e-6)
    assert ours.d1_over_d2 == pytest.approx(d1 / d2, rel=1e-6)


def test_bits_give_hamming_distances_without_padding():
    bits = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1, 1, 0], [0, 1, 0]], bool)
    labels = np.array([0, 0, 1, 1, 0])
    ours = class_distances(bits, labels, np.array([True, True, True, True, False]))
    assert (ours.d1, ours.d2) == pytest.approx((1.0, 2.5))  # (3 + 2 + 2 + 3) / 4


def test_float32_features_lose_nothing():
    rng = np.random.default_rng(0)
    features = (0.999 + 1e-3 * rng.random((2000, 8))).astype(np.float32)
    labels = np.arange(2000) % 2
    chosen = features[:300].astype(np.float64), labels[:300]
    assert class_distances(features[:300], labels[:300]).d1 == pytest.approx(
        all_pairs(*chosen)[0], rel=1e-9
    )


def test_too_few_classes_are_refused():
    with pytest.raises(DataError, match="two classes"):
        class_distances(np.zeros((3, 2)), np.zeros(3, int))
    with pytest.raises(DataError, match="two items"):
        class_distances(np.zeros((3, 2)), np.arange(3))
    with pytest.raises(ValueError, match="do not match"):
        class_distances(np.zeros((3, 2)), np.arange(4))
    with pytest.raises(ValueError, match=r"mask is int64\[4\]: must be bool\[4\]"):
        class_distances(np.zeros((4, 2)), np.arange(4) % 2, np.array([1, 1, 1, 0]))
