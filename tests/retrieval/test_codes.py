"""Codes as a value and a file: whole or refused, and their nearest neighbours against numpy."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import sketchjax
from sketchjax.errors import ConfigError, DataError
from sketchjax.retrieval.codes import FORMAT, Codes
from sketchjax.tensors import save_tensors


def codes(n=20, bits=16, seed=0, **fields) -> Codes:
    random = np.random.default_rng(seed)
    return Codes(
        random.integers(0, 256, (n, bits // 8)).astype(np.uint8),
        random.integers(-1, 3, n).astype(np.int32),
        random.integers(0, 2**64, n, np.uint64),
        np.arange(100, 100 + n),
        **{"split": "gallery", "categories": ("cat", "größer", "sun"), "model": "0f" * 32} | fields,
    )


def test_codes_are_the_public_value():
    assert sketchjax.Codes is Codes


def test_bits_are_counted_and_unpacked_in_their_order():
    own = codes(bits=24)
    assert (len(own), own.bits) == (20, 24)
    bits = own.unpacked()
    assert bits.shape == (20, 24)
    assert bits.dtype == bool
    for j in range(24):
        np.testing.assert_array_equal(bits[:, j], own.packed[:, j // 8] >> (j % 8) & 1)


@pytest.mark.parametrize(
    "items",
    [slice(3, 9, 2), 4, -1, np.int8(3), [7, 7, 0], (1, 2), [], (), np.arange(20) % 3 == 0,
     [True] * 20, np.array(5), np.array([], int)],
)  # fmt: skip
def test_some_of_them_keep_everything(items):
    own = codes()
    some = own[items]
    for name in ("packed", "labels", "key_ids", "places"):
        own_items = getattr(own, name)
        expected = own_items[items if isinstance(items, slice) else [*np.ravel(items).tolist()]]
        np.testing.assert_array_equal(getattr(some, name), expected)
    assert (some.split, some.categories, some.model) == (own.split, own.categories, own.model)
    with pytest.raises(IndexError):
        own[20]


def test_equal_codes_are_equal_in_everything():
    assert codes() == codes()
    assert codes() != codes()[:19]
    for name, value in {
        "packed": np.zeros((20, 2), np.uint8),
        "labels": np.zeros(20, np.int32),
        "key_ids": np.zeros(20, np.uint64),
        "places": np.zeros(20, np.int64),
        "split": "query",
        "categories": ("cat",),
        "model": "",
    }.items():
        assert replace(codes(), **{name: value}) != codes(), name
    assert codes() != 3
    with pytest.raises(TypeError):
        hash(codes())


@pytest.mark.parametrize(
    "name, value",
    [
        ("packed", np.zeros((20, 2), np.int8)),
        ("packed", np.zeros(20, np.uint8)),
        ("labels", np.zeros(19, np.int32)),
        ("labels", np.zeros(20, np.int64)),
        ("key_ids", np.zeros((20, 1), np.uint64)),
        ("places", np.zeros(20, np.int32)),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is|labels is int32.*of 20"):
        replace(codes(), **{name: value})


# --- neighbours ------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 60),
    q=st.integers(1, 7),
    bits=st.sampled_from([16, 64]),  # `test_index` has all widths
    k=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_nearest_is_a_stable_sort_by_distance(n, q, bits, k, seed):
    # Few values a byte: most distances are ties.
    gallery, queries = codes(n, bits, seed), codes(q, bits, seed + 1)
    gallery, queries = (replace(each, packed=each.packed & 5) for each in (gallery, queries))
    distances, places = gallery.nearest(queries, k)
    assert distances.shape == places.shape == (q, min(k, n))
    for row in range(q):
        every = (gallery.unpacked() != queries.unpacked()[row]).sum(1)
        order = np.argsort(every, kind="stable")[:k]
        np.testing.assert_array_equal(places[row], order)
        np.testing.assert_array_equal(distances[row], every[order])


def test_codes_of_another_model_are_refused():
    with pytest.raises(DataError, match=r"model 0f0f0f0f0f0f .* model aaaaaaaaaaaa; encode both"):
        codes().nearest(codes(model="a" * 64), 3)
    # Of codes whose model is not known nothing can be said.
    codes().nearest(codes(model=""), 3)
    codes(model="").nearest(codes(), 3)


def test_codes_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="codes of 24 bits do not compare with 16 bits"):
        codes().nearest(codes(bits=24), 3)
    for gallery, queries in ((codes()[:0], codes()), (codes(), codes()[:0])):
        with pytest.raises(DataError):
            gallery.nearest(queries, 3)
    with pytest.raises(ValueError, match="k=0"):
        codes().nearest(codes(), 0)


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [codes(), codes(0), codes(3, 64, split="", categories=())])
def test_codes_come_back_as_they_were(own, tmp_path):
    path = own.save(tmp_path / "not" / "there" / "gallery")
    assert path == tmp_path / "not" / "there" / "gallery.safetensors"
    assert [file.name for file in path.parent.iterdir()] == ["gallery.safetensors"]
    for name in (path, str(path), path.with_suffix(""), str(path.with_suffix(""))):
        found = Codes.load(name)
        assert found == own
        assert found.packed.dtype == np.uint8
    assert own[1:].save(path) == path
    assert Codes.load(path) == own[1:]


def test_a_slice_with_steps_is_saved_as_it_is(tmp_path):
    some = codes()[::-3]
    assert Codes.load(some.save(tmp_path / "some")) == some


SAVE = """
import hashlib, sys
sys.path[:0] = sys.argv[2:]
from test_codes import codes
for _ in range(4):
    print(hashlib.sha256(codes().save(sys.argv[1]).read_bytes()).hexdigest())
assert "jax" not in sys.modules, "codes are searched without jax"
"""


def test_the_same_codes_give_the_same_bytes_in_any_process(tmp_path):
    command = [sys.executable, "-c", SAVE, str(tmp_path / "other"), *sys.path]
    command.append(str(__file__).rpartition("/")[0])
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    own = codes().save(tmp_path / "own").read_bytes()
    assert len(found) == 4
    assert {*found} == {hashlib.sha256(own).hexdigest()}


def test_other_programs_read_the_arrays_by_name(tmp_path):
    arrays = load_file(codes().save(tmp_path / "gallery"))
    assert set(arrays) == {"packed", "labels", "key_ids", "places"}
    np.testing.assert_array_equal(arrays["packed"], codes().packed)


def refused(path) -> str:
    """What is said of a file that holds no codes."""
    with pytest.raises(DataError) as caught:
        Codes.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_flipped_bit_anywhere_is_refused(tmp_path):
    path = codes().save(tmp_path / "gallery")
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        line = refused(path)
        assert "encode the drawings again" in line or "give a file" in line, line
    path.write_bytes(content)
    assert Codes.load(path) == codes()


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -5])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = codes().save(tmp_path / "gallery")
    path.write_bytes(path.read_bytes()[:kept])
    assert "is not a readable file of codes" in refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "there is no file of codes" in refused(tmp_path / "gallery.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    assert "it is a folder" in refused(tmp_path / "folder.safetensors")


ARRAYS = {
    "packed": codes().packed,
    "labels": codes().labels,
    "key_ids": codes().key_ids,
    "places": codes().places,
}


@pytest.mark.parametrize(
    "arrays, metadata, reason",
    [
        ({"a": np.ones(3)}, None, "is not a file of codes of this version"),
        (ARRAYS, {"format": "pt"}, "is not a file of codes of this version"),
        (ARRAYS, {"sketchjax": "nothing"}, "is not a file of codes of this version"),
        (
            ARRAYS,
            {"sketchjax": '{"format": "sketchjax model 1", "sha256": "", "about": {}}'},
            "is not a file of codes of this version",
        ),
    ],
)
def test_a_safetensors_file_of_others_is_refused(tmp_path, arrays, metadata, reason):
    path = tmp_path / "w.safetensors"
    save_file(arrays, path, metadata)
    assert reason in refused(path)


class Said(msgspec.Struct):
    split: str = ""
    categories: tuple[str, ...] = ("cat",)
    model: str = ""


@pytest.mark.parametrize("change", ["missing", "longer", "wider"])
def test_arrays_that_do_not_fit_together_are_refused(tmp_path, change):
    """A file that says it holds codes, of another program that got it wrong."""
    arrays = dict(ARRAYS)
    if change == "missing":
        del arrays["labels"]
    elif change == "longer":
        arrays["places"] = np.arange(21)
    else:
        arrays["labels"] = arrays["labels"].astype(np.int64)
    save_tensors(tmp_path / "w.safetensors", arrays, Said(), format=FORMAT)
    assert "holds no codes" in refused(tmp_path / "w.safetensors")


def test_a_home_that_nobody_has_is_refused():
    with pytest.raises(ConfigError, match="~nobody-here/gallery"):
        Codes.load("~nobody-here/gallery")
    with pytest.raises(ConfigError, match="~nobody-here/run"):
        sketchjax.load("~nobody-here/run")
