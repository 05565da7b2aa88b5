"""What all shallow methods share: blocks, seeds, codes, errors."""

import numpy as np
import pytest

from sketchjax.errors import ConfigError, DataError
from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.shallow.hasher import blocks, sample_rows

ALL = pytest.mark.parametrize("name", HASHERS)
SUPERVISED = {"sdh", "cca_itq"}


def test_table_has_the_methods_of_the_paper():
    assert set(HASHERS) == {"lsh", "pca_itq", "pcah", "sh", "sklsh", "dsh", "sdh", "cca_itq"}
    assert {name for name, method in HASHERS.items() if method.needs_labels} == SUPERVISED


@ALL
def test_blocks_give_the_same_codes_as_one_pass(name, clusters, only_slices):
    rows, labels = clusters
    whole = HASHERS[name](8, 3).fit(rows, labels)
    parts = HASHERS[name](8, 3, block=7).fit(only_slices(rows), labels)
    codes = whole.encode(rows)
    assert codes.dtype == bool
    assert codes.shape == (400, 8)
    assert np.mean(codes != parts.encode(only_slices(rows))) < 1e-3
    np.testing.assert_allclose(parts.project(rows), whole.project(rows), rtol=0.01, atol=0.01)
    # A row's code does not depend on the rows encoded with it.
    np.testing.assert_array_equal(codes[13:20], whole.encode(rows[13:20]))


@ALL
def test_a_seed_gives_the_same_codes_again(name, clusters):
    rows, labels = clusters
    first, again, other = (
        HASHERS[name](8, seed).fit(rows, labels).encode(rows) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    # PCAH and spectral hashing use no randomness.
    assert (first == other).all() == (name in {"pcah", "sh"})


@ALL
def test_arrays_restore_what_was_fitted(name, clusters):
    rows, labels = clusters
    fitted = HASHERS[name](8, 3).fit(rows, labels)
    restored = HASHERS[name](8).restore(fitted.arrays())
    np.testing.assert_array_equal(restored.encode(rows), fitted.encode(rows))


@ALL
def test_similar_rows_have_similar_codes(name, clusters):
    rows, labels = clusters
    codes = HASHERS[name](8).fit(rows, labels).encode(rows)
    apart = (codes[:, None] != codes).mean(axis=2)
    same = labels[:, None] == labels
    assert apart[same].mean() < 0.7 * apart[~same].mean()


@ALL
def test_shifting_all_features_changes_no_code(name, clusters):
    rows, labels = clusters
    here = HASHERS[name](8).fit(rows, labels).encode(rows)
    there = HASHERS[name](8).fit(rows + np.float32(64), labels).encode(rows + np.float32(64))
    assert np.mean(here != there) < 2e-3


@pytest.mark.parametrize("name", sorted(SUPERVISED))
def test_labels_may_be_any_integers_and_are_checked(name, clusters):
    rows, labels = clusters
    codes = HASHERS[name](8).fit(rows, labels).encode(rows)
    np.testing.assert_array_equal(codes, HASHERS[name](8).fit(rows, labels * 10 - 7).encode(rows))
    with pytest.raises(ConfigError, match="supervised: pass labels"):
        HASHERS[name](8).fit(rows)
    with pytest.raises(DataError, match=r"integers \[400\].* int64 \(399,\)"):
        HASHERS[name](8).fit(rows, labels[1:])
    with pytest.raises(DataError, match="float64"):
        HASHERS[name](8).fit(rows, labels / 2)
    with pytest.raises(DataError, match="two classes"):
        HASHERS[name](8).fit(rows, labels * 0)


@ALL
def test_invalid_arguments_are_rejected(name, clusters):
    rows, labels = clusters
    with pytest.raises(ConfigError, match="bits=0") as raised:
        HASHERS[name](0, block=0)
    assert len(raised.value.problems) == 2
    method = HASHERS[name](4)
    with pytest.raises(ConfigError, match="call fit before encode"):
        method.encode(rows)
    with pytest.raises(DataError, match="1 rows"):
        method.fit(rows[:1], labels[:1])
    method.fit(rows, labels)
    with pytest.raises(DataError, match="11 columns, but fit saw 12"):
        method.encode(rows[:, 1:])
    broken = rows.copy()
    broken[300, 2] = np.nan
    for work in (lambda: method.encode(broken), lambda: HASHERS[name](4).fit(broken, labels)):
        with pytest.raises(DataError, match="not finite in row 300"):
            work()


@pytest.mark.parametrize("name", ["pcah", "pca_itq"])
def test_more_bits_than_columns_are_rejected(name, clusters):
    with pytest.raises(ConfigError, match=r"bits=13.*use at most 12 bits"):
        HASHERS[name](13).fit(*clusters)


@pytest.mark.parametrize("name", sorted(set(HASHERS) - {"pcah", "pca_itq"}))
def test_other_methods_allow_more_bits_than_columns(name, clusters):
    codes = HASHERS[name](20).fit(*clusters).encode(clusters[0])
    assert codes.shape == (400, 20)
    assert len(np.unique(codes.T, axis=0)) > 12


def test_a_sample_does_not_depend_on_the_block(only_slices):
    rows = np.arange(100, dtype=np.float32)[:, None]
    drawn = sample_rows(rows, 30, seed=4)
    np.testing.assert_array_equal(drawn, sample_rows(only_slices(rows), 30, seed=4, block=7))
    assert len(np.unique(drawn)) == 30
    assert (np.diff(drawn[:, 0]) > 0).all()
    assert not np.array_equal(drawn, sample_rows(rows, 30, seed=5))
    np.testing.assert_array_equal(sample_rows(rows, 300, seed=4), rows)


def test_a_sample_is_uniform():
    rows = np.arange(20, dtype=np.float32)[:, None]
    drawn = np.concatenate([sample_rows(rows, 5, seed, block=6)[:, 0] for seed in range(2000)])
    # 500 each, with a standard deviation of about 19.
    assert np.abs(np.bincount(drawn.astype(int), minlength=20) - 500).max() < 90


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((5, 2, 2)), np.full((5, 2), "a")])
def test_features_must_be_a_table_of_numbers(wrong):
    with pytest.raises(DataError, match=r"numbers \[n e\]"):
        next(blocks(wrong, 3))
