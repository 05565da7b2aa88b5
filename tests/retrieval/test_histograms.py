"""Histograms compared with a double loop and a stable sort; the backends agree."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.errors import DataError
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.histograms import histograms


def some_codes(seed, queries, gallery, bits, classes):
    rng = np.random.default_rng(seed)
    q, n = rng.random((queries, bits)) < 0.3, rng.random((gallery, bits)) < 0.3
    # Labels need not be small or consecutive; some classes lack a gallery or queries.
    names = np.array([-7, 3, 4, 10**9, 2, 8])
    return q, names[rng.integers(0, classes, queries)], n, names[rng.integers(1, 6, gallery)]


def by_sorting(q, own, n, labels, exclude_self=False):
    """Counts one pair at a time, and average precision from a stable sort of each ranking."""
    everything, relevant = np.zeros((2, len(q), q.shape[1] + 1), np.int64)
    stable = np.full(len(q), np.nan)
    for row in range(len(q)):
        items = np.array([i for i in range(len(n)) if not (exclude_self and i == row)], int)
        distances = (q[row] != n[items]).sum(1)
        for item, distance in zip(items, distances, strict=True):
            everything[row, distance] += 1
            relevant[row, distance] += labels[item] == own[row]
        hits = (labels[items] == own[row])[np.argsort(distances, kind="stable")]
        if hits.any():
            stable[row] = np.mean(np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1))
    return everything, relevant, stable


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 23),
    st.integers(1, 60),
    st.sampled_from([8, 16, 64, 72, 128, 256]),
    st.integers(1, 6),
)
@settings(deadline=None, max_examples=40)
def test_numba_equals_a_double_loop_and_a_stable_sort(seed, queries, gallery, bits, classes):
    q, own, n, labels = some_codes(seed, queries, gallery, bits, classes)
    counted = histograms(pack_codes(q), own, pack_codes(n), labels, backend="numba")
    everything, relevant, stable = by_sorting(q, own, n, labels)
    np.testing.assert_array_equal(counted.all, everything)
    np.testing.assert_array_equal(counted.relevant, relevant)
    np.testing.assert_allclose(counted.stable_average_precision, stable, rtol=1e-12)


@pytest.mark.parametrize("backend", ["numba", "jax"])
def test_repeated_queries_keep_their_own_class(backend):
    """Three codes with two classes each, most of them repeated."""
    q, own, n, labels = some_codes(1, 3, 50, 16, 6)
    rows = np.random.default_rng(0).integers(0, 3, 30)
    own = np.where(np.arange(30) % 2, own[rows], 3)
    counted = histograms(pack_codes(q[rows]), own, pack_codes(n), labels, backend=backend)
    everything, relevant, stable = by_sorting(q[rows], own, n, labels)
    np.testing.assert_array_equal(counted.all, everything)
    np.testing.assert_array_equal(counted.relevant, relevant)
    if backend == "numba":
        np.testing.assert_allclose(counted.stable_average_precision, stable, rtol=1e-12)


@pytest.mark.parametrize("backend", ["numba", "jax"])
def test_a_list_against_itself_excludes_each_item(backend):
    q, own, _, _ = some_codes(3, 41, 1, 16, 6)
    codes = pack_codes(q)
    counted = histograms(codes, own, codes, own, exclude_self=True, backend=backend)
    everything, relevant, stable = by_sorting(q, own, q, own, exclude_self=True)
    np.testing.assert_array_equal(counted.all, everything)
    np.testing.assert_array_equal(counted.relevant, relevant)
    if backend == "numba":
        np.testing.assert_allclose(counted.stable_average_precision, stable, rtol=1e-12)


@pytest.mark.parametrize("devices", [1, 2, 4])
@pytest.mark.parametrize("queries", [103, 3])
def test_jax_counts_alike_on_any_number_of_devices(devices, queries, monkeypatch):
    use = jax.local_devices()[:devices]
    monkeypatch.setattr(jax, "local_devices", lambda: use)
    q, own, n, labels = some_codes(5, queries, 5000, 24, 6)
    arguments = pack_codes(q), own, pack_codes(n), labels
    ours, other = (histograms(*arguments, backend=backend) for backend in ("jax", "numba"))
    np.testing.assert_array_equal(ours.all, other.all)
    np.testing.assert_array_equal(ours.relevant, other.relevant)
    assert other.all.sum() == queries * 5000
    assert ours.stable_average_precision is None


def test_indexing_gives_some_of_the_histograms():
    q, own, n, labels = some_codes(6, 9, 30, 16, 6)
    counted = histograms(pack_codes(q), own, pack_codes(n), labels)
    some = counted[np.array([4, 2])]
    assert len(some) == 2
    np.testing.assert_array_equal(some.all, counted.all[[4, 2]])
    np.testing.assert_array_equal(
        some.stable_average_precision, counted.stable_average_precision[[4, 2]]
    )


CODES, LABELS = np.zeros((3, 2), np.uint8), np.zeros(3, np.int32)


@pytest.mark.parametrize(
    "change, error, says",
    [
        ({"query_codes": np.zeros((3, 4), np.uint8)}, ValueError, "32 bits .* 16"),
        ({"query_codes": np.zeros((3, 16), bool)}, ValueError, "query_codes is bool.*pack_codes"),
        ({"gallery_codes": np.zeros(3, np.uint8)}, ValueError, "gallery_codes"),
        ({"gallery_labels": np.zeros(4, np.int32)}, ValueError, "gallery_labels.*3 gallery codes"),
        ({"query_labels": np.zeros(3)}, ValueError, "query_labels is float64"),
        ({"gallery_codes": CODES[:0], "gallery_labels": LABELS[:0]}, DataError, "no gallery codes"),
        ({"backend": "torch"}, ValueError, "numba or jax"),
        ({"query_codes": CODES + 1, "exclude_self": True}, ValueError, "exclude_self"),
    ],
)
def test_invalid_arguments_are_refused(change, error, says):
    whole = {
        "query_codes": CODES,
        "query_labels": LABELS,
        "gallery_codes": CODES,
        "gallery_labels": LABELS,
    }
    with pytest.raises(error, match=says):
        histograms(**{**whole, **change})
