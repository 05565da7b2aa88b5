"""Categories kept out of training: by name, by draw, and which cannot be."""

import numpy as np
import pytest

from sketchjax.data.folder.unseen import unseen_categories
from sketchjax.errors import ConfigError

NAMES = tuple(f"category {number}" for number in range(40))


def drawn(count, seed=0, names=NAMES):
    return unseen_categories(names, (), count, seed)


def test_none_by_default():
    unseen = drawn(0)
    assert (unseen.shape, unseen.dtype, unseen.any()) == ((40,), np.dtype(bool), np.False_)


def test_by_name_in_any_order():
    unseen = unseen_categories(("cat", "clock", "face", "sun"), ("sun", "cat"), 0, 3)
    assert unseen.tolist() == [True, False, False, True]
    # Names are whole names.
    names = ("cat", "cat2", "face", "sun")
    assert unseen_categories(names, ("sun", "cat"), 0, 0).tolist() == [1, 0, 0, 1]
    assert not unseen_categories(("cat",), (), 0, 0).any()
    with pytest.raises(ConfigError, match="keep out at least two"):
        unseen_categories(names, ("cat",), 0, 0)


@pytest.mark.parametrize("count", [2, 7, 38])
def test_the_seed_draws_the_asked_number(count):
    unseen = drawn(count, seed=5)
    assert unseen.sum() == count
    np.testing.assert_array_equal(drawn(count, seed=5), unseen)


def test_the_draw_is_fair_and_nested():
    draws = np.stack([drawn(10, seed) for seed in range(400)])
    assert len({tuple(row) for row in draws.tolist()}) == 400
    # Each of 40 occurs in a quarter of 400 draws: 100, with a deviation of 8.7.
    assert np.abs(draws.sum(0) - 100).max() < 4.5 * 8.7
    for count in range(2, 6):
        fewer, more = drawn(count, 9), drawn(count + 1, 9)
        assert (more >= fewer).all()


def test_names_that_the_data_lacks_are_reported():
    with pytest.raises(ConfigError) as caught:
        unseen_categories(("face", "cat", "clock"), ("dog", "Cat", "clok"), 0, 0)
    assert caught.value.problems == [
        "data.unseen: the data has no category 'clok'; did you mean 'clock'?",
        "data.unseen: the data has no category 'dog'",
        "data.unseen: the data has cat, clock, face, as its manifest.json lists",
    ]


def test_names_may_be_spelt_otherwise():
    assert unseen_categories(("cat", "hot dog", "é", "X_y"), ("Hot_Dog", "X_y"), 0, 0).tolist() == [
        False, True, False, True]  # fmt: skip


@pytest.mark.parametrize("names, count", [((), 3), ((), 4), ((), 99), (("a", "b", "c"), 0)])
def test_two_categories_must_remain_to_train_on(names, count):
    with pytest.raises(ConfigError, match=r"leaves [01] of 4 categories to train on; keep out"):
        unseen_categories(("a", "b", "c", "d"), names, count, 0)
    assert unseen_categories(("a", "b", "c", "d"), names[:2], min(count, 2), 0).sum() == 2
