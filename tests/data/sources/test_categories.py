"""Names of categories as users' files and records have them. Oracle: Google's list of 345."""

import json
import unicodedata

import numpy as np
import pytest

from sketchjax.data import sources
from sketchjax.data.sources.categories import (
    all_categories,
    canonical,
    category_of_name,
    category_of_number,
    look_alike,
)

BREAD = "cre\u0300me bru\u0302le\u0301e"  # each accent a character of its own


@pytest.mark.parametrize(
    "name, category",
    [
        ("cat.bin", "cat"),
        ("full_binary_cat.bin", "cat"),
        ("full_raw_spoon.ndjson", "spoon"),
        ("full_simplified_hot dog.ndjson", "hot dog"),
        ("FULL_SIMPLIFIED_HOT DOG.NDJSON", "hot dog"),
        ("quickdraw_dataset_full_binary_owl.bin.gz", "owl"),
        ("sketchrnn_cat.full.npz", "cat"),
        ("sketchrnn_sketchrnn.npz", "sketchrnn"),
        ("sketchrnn%2Fcat.npz", "cat"),
        ("full%2Fsimplified%2FThe%20Eiffel%20Tower.ndjson", "The Eiffel Tower"),
        ("hot%20dog.bin", "hot dog"),
        ("hot+dog.bin", "hot dog"),
        ("hot_dog.bin", "hot dog"),
        ("hotdog.npz", "hot dog"),
        ("Hot-Dog.ndjson.gz", "hot dog"),
        ("teddy bear.bin", "teddy-bear"),
        ("TShirt.bin", "t-shirt"),
        ("the_great_wall_of_china.npz", "The Great Wall of China"),
        ("cat (1).bin", "cat"),
        ("cat(12).bin", "cat"),
        ("cat%20(1).bin", "cat"),
        ("cat.bin (1)", "cat"),
        ("cat.full (2).npz", "cat"),
        ("Copy of cat.bin", "cat"),
        ("cat - Copy.ndjson", "cat"),
        ("carbon copy.bin", "carbon copy"),
        ("bear (animal).bin", "bear (animal)"),
        ("\u00a0hot\u00a0dog \u3000.bin", "hot dog"),
        ("hot\u200bdog.bin", "hot dog"),
        (f"{BREAD}.bin", unicodedata.normalize("NFC", BREAD)),
        ("my_own thing.jsonl", "my_own thing"),
        ("cat.csv.gz", "cat"),
        ("%E0%A4%A.bin", "%E0%A4%A"),
        (".npz", ""),
    ],
)
def test_category_of_a_file_name(name, category):
    assert category_of_name(name) == category
    assert category_of_name(f"some/folder_{name}/{name}") == category


def test_quickdraw_names_survive_every_spelling():
    for name in all_categories():
        spellings = [name, name.upper(), name.replace(" ", "_"), name.replace(" ", ""), f" {name} "]
        assert {canonical(spelling) for spelling in spellings} == {name}
        assert {category_of_name(f"{spelling}.bin") for spelling in spellings} == {name}


def test_other_names_keep_case_and_separators():
    for name in ("My_Thing", "catfish", "cats", "ab-c", "C++", "42", "Кот"):
        assert canonical(name) == name


def test_words_in_several_spellings_are_one_category(tmp_path):
    words = ["hot dog", "Hot_Dog", "hot-dog", " hot\u00a0dog", BREAD, "crème brûlée", "my_cat"]
    lines = [
        json.dumps({"word": word, "key_id": str(key), "drawing": [[[0, 255, key], [key, 9, 1]]]})
        for key, word in enumerate(words)
    ]
    (tmp_path / "mixed.ndjson").write_text("\n".join(lines))
    reading = sources.read(tmp_path / "mixed.ndjson")
    (part,) = reading
    assert part.categories == ["hot dog"] * 4 + ["crème brûlée"] * 2 + ["my_cat"]
    assert "the word 'Hot_Dog' is read as 'hot dog'" in reading.notes
    assert len(reading.notes) == 4


def test_the_name_of_a_file_is_noted_where_it_is_not_the_category(tmp_path):
    arrays = np.empty(1, object)
    arrays[0] = np.array([[0, 0, 0], [9, -3, 1]], np.int16)
    for name in ("sketchrnn%2Fhot_dog.npz", "hot dog.npz"):
        np.savez(tmp_path / "x.npz", train=arrays)
        (tmp_path / "x.npz").rename(tmp_path / name)
        reading = sources.read(tmp_path / name)
        assert next(reading).categories == ["hot dog"]
        noted = "the file's name stands for the category 'hot dog'" in reading.notes
        assert noted == (name != "hot dog.npz")


def test_look_alikes_are_grouped():
    names = ["my cat", "my_cat", "My Cat", "cafe", "café", "\u0441at", "cat", "dog", "++", "--"]
    assert look_alike(names) == [
        ["My Cat", "my cat", "my_cat"],
        ["cafe", "café"],
        ["cat", "\u0441at"],
    ]
    assert look_alike(all_categories()) == []


def test_class_numbers_are_in_the_order_of_file_names():
    numbered = [category_of_number(number) for number in range(345)]
    assert sorted(numbered) == all_categories()
    assert numbered[:2] == ["aircraft carrier", "airplane"]
    # As the data set's card lists them.
    for name, number in {"baseball bat": 16, "baseball": 17, "cat": 64, "zigzag": 344}.items():
        assert numbered[number] == name
    assert numbered.index("The Eiffel Tower") == numbered.index("tent") + 1
