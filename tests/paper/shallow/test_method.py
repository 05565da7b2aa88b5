"""What holds for all shallow methods: blocks, seeds, codes, errors."""

import numpy as np
import pytest

from sketchjax.errors import ConfigError, DataError
from sketchjax.paper.shallow import SHALLOW
from sketchjax.paper.shallow.method import blocks, sample_rows

ALL = pytest.mark.parametrize("name", SHALLOW)
SUPERVISED = {"sdh", "cca_itq"}


def test_the_table_has_the_methods_of_the_paper():
    assert set(SHALLOW) == {"lsh", "pca_itq", "pcah", "sh", "sklsh", "dsh", "sdh", "cca_itq"}
    assert {name for name, method in SHALLOW.items() if method.needs_labels} == SUPERVISED


@ALL
def test_blocks_of_seven_rows_fit_and_encode_as_all_at_once(name, clusters, only_slices):
    rows, labels = clusters
    whole = SHALLOW[name](8, 3).fit(rows, labels)
    parts = SHALLOW[name](8, 3, block=7).fit(only_slices(rows), labels)
    codes = whole.encode(rows)
    assert codes.dtype == bool
    assert codes.shape == (400, 8)
    assert np.mean(codes != parts.encode(only_slices(rows))) < 1e-3
    np.testing.assert_allclose(parts.project(rows), whole.project(rows), rtol=0.01, atol=0.01)
    # A row's code does not depend on what it is encoded with.
    np.testing.assert_array_equal(codes[13:20], whole.encode(rows[13:20]))


@ALL
def test_a_seed_gives_the_same_codes_again(name, clusters):
    rows, labels = clusters
    first, again, other = (
        SHALLOW[name](8, seed).fit(rows, labels).encode(rows) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    # PCAH and spectral hashing have nothing random.
    assert (first == other).all() == (name in {"pcah", "sh"})


@ALL
def test_near_rows_have_near_codes(name, clusters):
    rows, labels = clusters
    codes = SHALLOW[name](8).fit(rows, labels).encode(rows)
    apart = (codes[:, None] != codes).mean(axis=2)
    same = labels[:, None] == labels
    assert apart[same].mean() < 0.7 * apart[~same].mean()


@ALL
def test_a_shift_of_all_features_changes_no_code(name, clusters):
    rows, labels = clusters
    here = SHALLOW[name](8).fit(rows, labels).encode(rows)
    there = SHALLOW[name](8).fit(rows + np.float32(64), labels).encode(rows + np.float32(64))
    assert np.mean(here != there) < 2e-3


@pytest.mark.parametrize("name", sorted(SUPERVISED))
def test_names_of_classes_are_free_and_labels_are_checked(name, clusters):
    rows, labels = clusters
    codes = SHALLOW[name](8).fit(rows, labels).encode(rows)
    np.testing.assert_array_equal(codes, SHALLOW[name](8).fit(rows, labels * 10 - 7).encode(rows))
    with pytest.raises(ConfigError, match="supervised: give fit the labels"):
        SHALLOW[name](8).fit(rows)
    with pytest.raises(DataError, match=r"integers \[400\].* int64 \(399,\)"):
        SHALLOW[name](8).fit(rows, labels[1:])
    with pytest.raises(DataError, match="float64"):
        SHALLOW[name](8).fit(rows, labels / 2)
    with pytest.raises(DataError, match="two classes"):
        SHALLOW[name](8).fit(rows, labels * 0)


@ALL
def test_what_cannot_be_is_refused(name, clusters):
    rows, labels = clusters
    with pytest.raises(ConfigError, match="bits=0") as raised:
        SHALLOW[name](0, block=0)
    assert len(raised.value.problems) == 2
    method = SHALLOW[name](4)
    with pytest.raises(ConfigError, match="only after fit"):
        method.encode(rows)
    with pytest.raises(DataError, match="1 rows"):
        method.fit(rows[:1], labels[:1])
    method.fit(rows, labels)
    with pytest.raises(DataError, match="11 columns, those of fit had 12"):
        method.encode(rows[:, 1:])
    broken = rows.copy()
    broken[300, 2] = np.nan
    for work in (lambda: method.encode(broken), lambda: SHALLOW[name](4).fit(broken, labels)):
        with pytest.raises(DataError, match="not finite in row 300"):
            work()


@pytest.mark.parametrize("name", ["pcah", "pca_itq"])
def test_more_bits_than_principal_directions_are_refused(name, clusters):
    with pytest.raises(ConfigError, match=r"bits=13.*take 12 bits or fewer"):
        SHALLOW[name](13).fit(*clusters)


@pytest.mark.parametrize("name", sorted(set(SHALLOW) - {"pcah", "pca_itq"}))
def test_other_methods_give_more_bits_than_columns(name, clusters):
    codes = SHALLOW[name](20).fit(*clusters).encode(clusters[0])
    assert codes.shape == (400, 20)
    assert len(np.unique(codes.T, axis=0)) > 12


def test_a_sample_is_the_same_rows_whatever_the_block(only_slices):
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
def test_features_that_are_no_table_of_numbers_are_refused(wrong):
    with pytest.raises(DataError, match=r"numbers \[n e\]"):
        next(blocks(wrong, 3))
