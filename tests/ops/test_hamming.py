"""Packed codes compared with faiss and with bytes by hand; histograms with a double loop."""

import faiss
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.ops.hamming import (
    distance_histograms,
    hamming_distances,
    pack_codes,
    unpack_codes,
)

histograms = jax.jit(distance_histograms, static_argnames="chunk")


def double_loop(queries, gallery, query_labels, gallery_labels, query_mask, gallery_mask):
    """The histograms, counted from bits one pair at a time."""
    everything = np.zeros((len(queries), queries.shape[1] + 1), np.int64)
    relevant = np.zeros_like(everything)
    for q in range(len(queries)):
        for n in range(len(gallery)):
            if query_mask[q] and gallery_mask[n]:
                distance = int((queries[q] != gallery[n]).sum())
                everything[q, distance] += 1
                relevant[q, distance] += query_labels[q] == gallery_labels[n]
    return everything, relevant


def test_bit_order_by_hand():
    bits = np.zeros((1, 16), bool)
    bits[0, [0, 1, 7, 10]] = True
    assert pack_codes(bits).tolist() == [[0b10000011, 0b00000100]]
    assert pack_codes(bits.astype(np.float32)).tolist() == [[0b10000011, 0b00000100]]


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.sampled_from([8, 16, 24, 64, 136]))
@settings(deadline=None, max_examples=25)
def test_unpack_inverts_pack(seed, count, bits):
    codes = np.random.default_rng(seed).random((count, bits)) < 0.5
    packed = pack_codes(codes)
    assert packed.dtype == np.uint8
    assert packed.shape == (count, bits // 8)
    np.testing.assert_array_equal(unpack_codes(packed), codes)


@pytest.mark.parametrize("wrong", [np.zeros((2, 12)), np.zeros(8), np.zeros((2, 0))])
def test_wrong_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="multiple of 8"):
        pack_codes(wrong)


def test_wrong_values_and_types_are_refused():
    with pytest.raises(ValueError, match="other than 0 and 1"):
        pack_codes(np.full((1, 8), 0.7))
    with pytest.raises(ValueError, match="int64"):
        unpack_codes(np.zeros((1, 8), np.int64))


@pytest.mark.parametrize("bits", [8, 16, 24, 64, 136, 256])
def test_distances_equal_those_of_faiss(bits):
    rng = np.random.default_rng(bits)
    queries, gallery = (pack_codes(rng.random((n, bits)) < 0.5) for n in (7, 50))
    index = faiss.IndexBinaryFlat(bits)
    index.add(gallery)
    nearest, places = index.search(queries, len(gallery))
    expected = np.empty((7, 50), np.int32)
    np.put_along_axis(expected, places, nearest, axis=1)
    np.testing.assert_array_equal(hamming_distances(queries, gallery), expected)


# Queries, gallery and chunk: chunks that fill the gallery, that leave a rest, and larger ones.
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(((1, 1, 1), (9, 40, 8), (8, 7, 1), (6, 23, 3), (5, 1, 50), (3, 12, 12))),
)
@settings(deadline=None, max_examples=15)
def test_histograms_equal_a_double_loop(seed, sizes):
    queries, gallery, chunk = sizes
    rng = np.random.default_rng(seed)
    q, n = rng.random((queries, 16)) < 0.3, rng.random((gallery, 16)) < 0.3
    labels, own = rng.integers(0, 3, gallery), rng.integers(0, 3, queries)
    masks = rng.random(queries) < 0.8, rng.random(gallery) < 0.8
    counted = histograms(
        *(pack_codes(q), pack_codes(n), own, labels),
        query_mask=masks[0],
        gallery_mask=masks[1],
        chunk=chunk,
    )
    for ours, expected in zip(counted, double_loop(q, n, own, labels, *masks), strict=True):
        assert ours.dtype == jnp.int32
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_pmap_over_any_number_of_devices(devices):
    """103 queries, which leave a remainder; then a split gallery, whose parts add up."""
    rng = np.random.default_rng(1)
    q, n = rng.random((103, 24)) < 0.4, rng.random((201, 24)) < 0.4
    own, labels = rng.integers(0, 4, 103), rng.integers(0, 4, 201)

    def cut(array):
        fill = -len(array) % devices
        padded = np.pad(array, [(0, fill)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(devices, -1, *array.shape[1:])

    expected = double_loop(q, n, own, labels, np.ones(103), np.ones(201))
    use = jax.local_devices()[:devices]

    def of_queries(codes, names, mask):
        return distance_histograms(
            codes, jnp.asarray(pack_codes(n)), names, jnp.asarray(labels), query_mask=mask, chunk=64
        )

    by_query = jax.pmap(of_queries, devices=use)(
        cut(pack_codes(q)), cut(own), cut(np.ones(103, bool))
    )

    def of_gallery(codes, names, mask):
        parts = distance_histograms(
            jnp.asarray(pack_codes(q)), codes, jnp.asarray(own), names, gallery_mask=mask, chunk=64
        )
        return jax.lax.psum(parts, "gallery")

    by_gallery = jax.pmap(of_gallery, axis_name="gallery", devices=use)(
        cut(pack_codes(n)), cut(labels), cut(np.ones(201, bool))
    )
    for queries_cut, gallery_cut, whole in zip(by_query, by_gallery, expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(np.asarray(queries_cut))[:103], whole)
        np.testing.assert_array_equal(gallery_cut[0], whole)
