"""Word vectors from files written here number by number, and vectors by spelling."""

import gzip
import struct
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from sketchjax.data.sources.word_vectors import read_word_vectors, spelling_vectors
from sketchjax.errors import ConfigError, DataError

QUICKDRAW = (
    resources.files("sketchjax.data.sources").joinpath("categories.txt").read_text().splitlines()
)


def write(path, entries, heading=None, end="\n"):
    lines = [" ".join([word, *map(str, numbers)]) + end for word, numbers in entries]
    text = "".join(([heading + "\n"] if heading else []) + lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def read(tmp_path, entries, categories, **how):
    return read_word_vectors(write(tmp_path / "vectors.txt", entries, **how), categories).tolist()


ENTRIES = [("the", (9, 9, 9)), ("cat", (1, 2, 3)), ("dog", (-0.5, 2.5e-1, 0)), ("hot", (1, 0, 1))]


@pytest.mark.parametrize("name", ("vectors.txt", "vectors.txt.gz"))
@pytest.mark.parametrize(
    "how", ({}, {"heading": "4 3"}, {"heading": "4 3", "end": " \n"}, {"end": "\r\n"})
)
def test_glove_and_word2vec_plain_and_gzip(tmp_path, name, how):
    found = read_word_vectors(write(tmp_path / name, ENTRIES, **how), ["dog", "cat", "dog"])
    assert found.dtype == np.float32
    assert found.tolist() == [[-0.5, 0.25, 0], [1, 2, 3], [-0.5, 0.25, 0]]


@pytest.mark.parametrize("form", ("hot_dog", "hot-dog", "hotdog", "hot dog", "Hot_Dog"))
def test_a_joined_form_goes_before_the_mean(tmp_path, form):
    assert read(tmp_path, [*ENTRIES, (form, (7, 7, 7))], ["hot dog"]) == [[7, 7, 7]]


def test_joined_forms_have_their_order(tmp_path):
    forms = ["eiffel_tower", "Eiffel_Tower", "the_eiffel_tower", "TheEiffelTower"]
    forms += ["The-Eiffel-Tower", "The_Eiffel_Tower"]
    # In its own case whole, without "The", then in lower case; the best of them comes last.
    for best, last in ((6, 5), (5, 4), (4, 3), (3, 1), (2, 1), (1, 0)):
        entries = [(form, (rank, 0)) for rank, form in enumerate(forms[:best])]
        assert read(tmp_path, entries, ["The Eiffel Tower"]) == [[last, 0]]


def test_else_the_mean_of_the_words(tmp_path):
    entries = [*ENTRIES, ("Mona", (2, 0, 0)), ("lisa", (4, 2, 0)), ("of", (99, 99, 99))]
    entries += [("t", (1, 1, 1)), ("shirt", (3, 3, 3))]
    names = ["hot dog", "The Mona Lisa", "t-shirt", "dog of the cat", "The"]
    found = read(tmp_path, entries, names)
    assert found[:3] == [[0.25, 0.125, 0.5], [3, 1, 0], [2, 2, 2]]
    assert found[3:] == [[0.25, 1.125, 1.5], [9, 9, 9]]


def test_exact_case_comes_first(tmp_path):
    entries = [("CAT", (0, 0)), ("cat", (1, 1)), ("cat", (2, 2)), ("Dog", (3, 3)), ("DOG", (4, 4))]
    assert read(tmp_path, entries, ["cat", "dog"]) == [[1, 1], [3, 3]]


def test_words_with_spaces_are_read_from_the_right(tmp_path):
    entries = [("a", (1, 2)), (". . .", (3, 4)), ("at name@domain.com", (5, 6)), ("dog", (7, 8))]
    assert read(tmp_path, entries, ["dog"]) == [[7, 8]]
    assert read(tmp_path, entries[1:], ["dog"]) == [[7, 8]]
    # White space and line ends of Unicode inside a word split nothing.
    odd = [("a\u00a0b", (1, 2)), ("x\u2028y", (1, 2)), ("\x85", (1, 2)), ("dog", (7, 8))]
    assert read(tmp_path, odd, ["dog"]) == [[7, 8]]


def test_all_missing_categories_are_listed(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, ENTRIES, ["cat", "hot tub", "zebra", "dog"])
    assert "2 of 4 categories: hot tub, zebra;" in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    (
        (b"a 1 2\ncat 1\ndog 1 2\n", "line 2: a word and 2 numbers expected, found 2 fields"),
        (b"a 1 2\ndog 1 2\nb 1 2 3\n", "line 3: 2 numbers expected, found 3 after 'b'"),
        (b"a 1 2\ndog 1 x2\n", "line 2: 'x2' is not a number"),
        (b"a 1 2\ndog 1 nan\n", "line 2: NaN or infinite"),
        (b"a 1 2\ndog 1 1e99\n", "line 2: NaN or infinite"),
        (b"2 3\na 1 2 3\ndog 1 2\n", "line 3: a word and 3 numbers"),
        (b"3 2\na 1 2\ndog 1 2\n", "promises 3 words but it has 2"),
        (b"dog\ncat\n", "line 1: a word and some numbers"),
        (b"", "no word vectors"),
        (b"PK\x03\x04" + bytes(99), "zip archive; unpack it"),
        (b"x" * (2 << 20), "line 1: the line is longer than 1,048,576"),
        (gzip.compress(b"a 1 2\n" * 99_999, mtime=0)[:-99], ": the gzip stream ends too early"),
        (b"\x1f\x8b\x08garbage", "line 1: the gzip stream ends too early"),
    ),
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, text, message):
    path = tmp_path / "vectors.txt"
    path.write_bytes(text)
    with pytest.raises(DataError, match=r"vectors\.txt") as caught:
        read_word_vectors(path, ["dog"])
    assert message in str(caught.value)


def test_binary_word2vec_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "vectors.bin"
    numbers = np.random.default_rng(0).normal(size=(9, 50)).astype("<f4")
    body = b"".join(b"word%d " % i + struct.pack("<50f", *row) for i, row in enumerate(numbers))
    path.write_bytes(b"9 50\n" + body)
    with pytest.raises(DataError, match="save_word2vec_format"):
        read_word_vectors(path, ["dog"])


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_word_vectors(tmp_path / "none.txt", ["dog"])
    with pytest.raises(DataError, match="it is a folder; give one file"):
        read_word_vectors(tmp_path, ["dog"])


def test_plain_words_give_all_quickdraw_names(tmp_path):
    words = sorted({word for name in QUICKDRAW for word in name.lower().replace("-", " ").split()})
    random = np.random.default_rng(0)
    entries = [(word, random.normal(size=4).round(3)) for word in words]
    found = read_word_vectors(write(tmp_path / "vectors.txt", entries), QUICKDRAW)
    assert found.shape == (345, 4)
    known = dict(entries)
    place = QUICKDRAW.index("The Great Wall of China")
    wanted = np.mean([known[word] for word in ("great", "wall", "china")], axis=0)
    np.testing.assert_allclose(found[place], wanted, rtol=1e-6)


def test_names_of_like_spelling_are_near():
    names = ["wine bottle", "wine glass", "hockey puck", "hockey stick", "moon", "t-shirt"]
    found = spelling_vectors([*names, "t shirt", "T-Shirt"], dimensions=1024)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    near = found @ found.T
    assert min(near[0, 1], near[2, 3]) > 0.2
    assert abs(near[0, 2:6]).max() < 0.1
    np.testing.assert_array_equal(found[6:], found[[5, 5]])


def test_cosine_is_about_the_share_of_runs_in_common():
    def runs(name):
        text = f" {name} "
        return [text[i : i + size] for size in (3, 4, 5) for i in range(len(text) - size + 1)]

    first, second = "baseball", "baseball bat"
    both = sorted({*runs(first), *runs(second)})
    a, b = ([runs(name).count(run) for run in both] for name in (first, second))
    wanted = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    found = spelling_vectors([first, second], dimensions=8192)
    assert found[0] @ found[1] == pytest.approx(wanted, abs=0.04)


def test_spelling_vectors_differ_in_every_size():
    for dimensions in (20, 64):
        found = spelling_vectors(QUICKDRAW, dimensions)
        assert found.shape == (345, dimensions)
        assert found.dtype == np.float32
        near = found @ found.T - 2 * np.eye(345)
        assert near.max() < 0.99
    with pytest.raises(ValueError, match="must be at least 1"):
        spelling_vectors(QUICKDRAW, 0)


def test_spelling_is_the_same_in_every_process():
    program = (
        "from sketchjax.data.sources.word_vectors import spelling_vectors as s; import sys;"
        "print((s(['cat'], 16)[0] > 0).astype(int).tolist(), 'jax' in sys.modules)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    own = (spelling_vectors(["cat"], 16)[0] > 0).astype(int).tolist()
    assert outputs == {f"{own} False\n"}
