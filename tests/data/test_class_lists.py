"""The named lists of categories, and their agreement with the sets at hand."""

from pathlib import Path

import numpy as np
import pytest

from sketchjax.data.class_lists import SOURCES, class_list, expanded, list_of
from sketchjax.data.folder.unseen import unseen_categories

SIZES = {
    "sketchy": 125,
    "sketchy-21": 21,
    "sketchy-25": 25,
    "sketchy-25-seed-0": 25,
    "tu-berlin": 250,
    "tu-berlin-30": 30,
    "quickdraw-30": 30,
}


def test_lists_have_their_sizes_and_no_doubles():
    assert {name: len(class_list(name)) for name in SOURCES} == SIZES
    for name in SOURCES:
        own = class_list(name)
        assert list(own) == sorted(set(own))
        assert all(entry == entry.strip() for entry in own)


@pytest.mark.parametrize(
    ("unseen", "whole"),
    (
        ("sketchy-21", "sketchy"),
        ("sketchy-25", "sketchy"),
        ("sketchy-25-seed-0", "sketchy"),
        ("tu-berlin-30", "tu-berlin"),
    ),
)
def test_unseen_categories_are_among_their_set(unseen, whole):
    assert set(class_list(unseen)) < set(class_list(whole))


def test_the_two_lists_of_sketchy_differ():
    """Four categories are in both."""
    both = set(class_list("sketchy-21")) & set(class_list("sketchy-25"))
    assert both == {"scissors", "tree", "wheelchair", "windmill"}


def test_a_list_is_known_by_its_categories():
    for name in SOURCES:
        assert list_of(class_list(name)) == name
        assert list_of(entry.replace("_", " ").upper() for entry in class_list(name)) == name
    assert list_of(class_list("sketchy-21")[1:]) == ""


def test_the_seed_s_list_is_what_numpy_draws():
    """As sem-pcyc's code does, with the legacy generator, whose draws numpy keeps."""
    whole = np.array(class_list("sketchy"))
    trained = np.random.RandomState(0).choice(whole, 100, replace=False)
    drawn = sorted(set(whole.tolist()) - set(trained.tolist()))
    assert drawn == list(class_list("sketchy-25-seed-0"))


def test_a_list_stands_for_its_categories():
    assert expanded(("cat", "sketchy-21", "dog")) == ["cat", *class_list("sketchy-21"), "dog"]
    unseen = unseen_categories(class_list("sketchy"), ("sketchy-25",), 0, 0)
    found = [name for name, out in zip(class_list("sketchy"), unseen, strict=True) if out]
    assert list_of(found) == "sketchy-25"


def test_an_unknown_list_is_refused():
    with pytest.raises(ValueError, match="take one of sketchy, sketchy-21"):
        class_list("sketchy-24")


def test_lists_are_those_of_the_real_set(real_data: Path):
    folder = real_data / "sketch-photo"
    assert sorted(path.name for path in (folder / "photo").iterdir()) == list(class_list("sketchy"))
    for file, name in (("unseen.txt", "sketchy-21"), ("unseen25.txt", "sketchy-25")):
        assert sorted((folder / file).read_text().split()) == list(class_list(name))
